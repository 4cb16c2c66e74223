"""Runs of the tracking server as the workflow knows them."""

import json
from typing import Any

from mlflow.entities import Run

from workflow.fingerprint import Summary
from workflow.plan import Earlier
from workflow.tags import BANNED, COMMIT, IDENTITY, OUTPUTS, UNUSABLE, USER


def earlier(run: Run) -> Earlier:
    """What the workflow needs to know of a published run."""
    tags = run.data.tags
    started, ended = run.info.start_time or 0, run.info.end_time or run.info.start_time or 0
    banned = f"banned: {tags[BANNED]}" if BANNED in tags else None
    return Earlier(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        artifact_uri=run.info.artifact_uri,
        started=started / 1000,
        seconds=(ended - started) / 1000,
        outputs=tags.get(OUTPUTS, ""),
        user=tags.get(USER, ""),
        commit=tags.get(COMMIT),
        unusable=banned or tags.get(UNUSABLE),
        summaries={
            key.removeprefix(f"{IDENTITY}."): read_summary(value)
            for key, value in tags.items()
            if key.startswith(f"{IDENTITY}.")
        },
        metrics=run.data.metrics,
        models=models_of(run),
    )


def models_of(run: Run) -> tuple[str, ...]:
    """The ids of the models that a run logged."""
    return tuple(output.model_id for output in run.outputs.model_outputs) if run.outputs else ()


def read_summary(text: str) -> Summary:
    """The summary in a tag; none if somebody edited it beyond recognition."""
    try:
        kinds: Any = json.loads(text)
    except ValueError:
        return {}
    return {k: v for k, v in kinds.items() if isinstance(v, dict)} if isinstance(kinds, dict) else {}
