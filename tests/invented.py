"""Facts of an invocation that never happened, for the tests of the reports."""

from dataclasses import replace
from typing import Any

from mlflow_workflow.report.facts import SCHEMA, CodeFacts, Facts, StepFacts, SweepFacts, VariantFacts

COMMIT = "c" * 40


def step(name: str, state: str = "ran", **changes: Any) -> StepFacts:
    found = StepFacts(
        node=name,
        step=name,
        state=state,
        reason="not done yet",
        run_id=f"{abs(hash(name)):032x}"[-32:],
        experiment_id="7",
        user=None,
        started=1000.0,
        seconds=2.5,
        parameters={"seed": "0"},
        upstream={},
        metrics={"accuracy": 0.75},
        main_metric="accuracy",
        models=(),
        outputs=f"file:///store/{name}",
        digest="d" * 64,
        fingerprint="f" * 64,
        identity={"parameters": {"seed": 0}, "data": {}},
        nearest=None,
        differences=(),
        warning=None,
        failure=None,
        log=(),
    )
    return replace(found, **changes)


def facts(*steps: StepFacts, **changes: Any) -> Facts:
    found = Facts(
        schema=SCHEMA,
        headline="train · 1 ran",
        task="train",
        description="",
        state="done",
        run_id="a" * 32,
        experiment_id="7",
        started=1000.0,
        seconds=3.0,
        saved_seconds=41.0,
        server=None,
        look="mlflow ui",
        command="mlflow run . -P task=train",
        settings={"task": "train"},
        code=CodeFacts("commit", COMMIT, False, (), None),
        steps=steps,
        sweep=None,
    )
    return replace(found, **changes)


def sweep(count: int) -> Facts:
    """A sweep of `count` seeds, each a train of its own."""
    steps = [
        step(f"train seed={i}", step="train", started=1000.0 + i, metrics={"accuracy": i / count})
        for i in range(count)
    ]
    variants = [
        VariantFacts({"seed": str(i)}, i / count, "done", {"train": f"train seed={i}"})
        for i in reversed(range(count))
    ]
    return facts(*steps, sweep=SweepFacts("accuracy", False, variants))
