"""Runs of the tracking server as the workflow knows them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_workflow.identity.fingerprint import Summary
from mlflow_workflow.server.tags import BANNED, COMMIT, IDENTITY, OUTPUTS, UNUSABLE, USER

if TYPE_CHECKING:  # a refusal need not wait for MLflow
    from mlflow.entities import Run


@dataclass(frozen=True)
class Earlier:
    """A published run. `started` is in seconds since 1970, `seconds` how long it took.

    `unusable` says why it must not be reused, if something is wrong with it.
    """

    run_id: str
    experiment_id: str
    artifact_uri: str
    started: float
    seconds: float
    outputs: str
    user: str
    commit: str | None
    unusable: str | None
    summaries: Mapping[str, Summary]
    metrics: Mapping[str, float]
    models: tuple[str, ...] = ()

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return time.time() - self.started


def earlier(run: "Run") -> Earlier:
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


def models_of(run: "Run") -> tuple[str, ...]:
    """The ids of the models that a run logged."""
    return tuple(output.model_id for output in run.outputs.model_outputs) if run.outputs else ()


def read_summary(text: str) -> Summary:
    """The summary in a tag; none if somebody edited it beyond recognition."""
    try:
        kinds: Any = json.loads(text)
    except ValueError:
        return {}
    return {k: v for k, v in kinds.items() if isinstance(v, dict)} if isinstance(kinds, dict) else {}
