"""Published runs as the workflow knows them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow_workflow.identity.fingerprint import Summary
from mlflow_workflow.server.tags import BANNED, COMMIT, IDENTITY, OUTPUTS, RECORD, UNUSABLE, USER

if TYPE_CHECKING:  # a refusal need not wait for MLflow
    from mlflow.entities import Run


@dataclass(frozen=True)
class Earlier:
    """A published run. `started` is in seconds since 1970, `seconds` how long it took.

    `outputs` is the digest of its outputs, `record` that of what it was seen to use, if it has one.
    `banned` and `damaged` say why it must not be reused; of a damaged one the digest is still true.
    `keys` are those of all its tags.
    """

    run_id: str
    experiment_id: str
    artifact_uri: str
    started: float
    seconds: float
    outputs: str
    user: str
    commit: str | None
    banned: str | None
    damaged: str | None
    record: str | None
    summaries: Mapping[str, Summary]
    metrics: Mapping[str, float]
    models: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()

    @property
    def unusable(self) -> str | None:
        """Why it must not be reused, if something is wrong with it."""
        return self.banned or self.damaged

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return time.time() - self.started


def earlier(run: "Run") -> Earlier:
    """What the workflow needs to know of a published run."""
    tags = run.data.tags
    started, ended = run.info.start_time or 0, run.info.end_time or run.info.start_time or 0
    unknown = None if OUTPUTS in tags else "nobody knows what its outputs were"
    return Earlier(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        artifact_uri=run.info.artifact_uri,
        started=started / 1000,
        seconds=(ended - started) / 1000,
        outputs=tags.get(OUTPUTS, ""),
        user=tags.get(USER, ""),
        commit=tags.get(COMMIT),
        banned=f"banned: {tags[BANNED]}" if BANNED in tags else unknown,
        damaged=tags.get(UNUSABLE),
        record=tags.get(RECORD),
        summaries=read_summaries(tags.get(IDENTITY, "")),
        metrics=run.data.metrics,
        models=models_of(run),
        keys=frozenset(tags),
    )


def models_of(run: "Run") -> tuple[str, ...]:
    """The ids of the models that a run logged."""
    return tuple(output.model_id for output in run.outputs.model_outputs) if run.outputs else ()


def read_summaries(text: str) -> dict[str, Summary]:
    """What a run was made of, by what counts as the code; nothing if the tag is not ours any more."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(found, dict) or not all(isinstance(kind, dict) for kind in found.values()):
        return {}
    commit = found.pop("commit", {})
    return {"code": found, "commit": {**found, "code": commit}}
