"""One child run: created and claimed before the step starts, published or failed after it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.processes import owner
from mlflow_workflow.launch.engine import Engine
from mlflow_workflow.outputs import artifacts, manifest
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.names import child_name
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.decide import Known
from mlflow_workflow.run.gather import World, identified
from mlflow_workflow.server import claims, lookup
from mlflow_workflow.server.claims import Holder
from mlflow_workflow.server.earlier import models_of
from mlflow_workflow.server.lookup import Identities
from mlflow_workflow.server.tags import (
    ENTRY_POINT,
    FAILURE,
    NOT_DETERMINISTIC,
    OWNER,
    STEP,
    WANTED,
    WHY,
)

LEASE_LOST = "lost its lease; result discarded"


@dataclass(frozen=True)
class Provenance:
    """Where the code comes from: tags of a child run, and the uncommitted changes as a file."""

    tags: Mapping[str, str]
    patch: Path | None


@dataclass
class Execution:
    """One execution of a node. `began` is in seconds since 1970, `attempts` counts starts."""

    node: Node
    known: Known
    reason: str
    run_id: str = ""
    began: float = 0.0
    seconds: float = 0.0
    attempts: int = 0

    @property
    def key(self) -> str:
        """What equal executions have in common; one that was forced is like no other."""
        return self.node.name if self.node.forced_reason else self.known.keys["commit"]


@dataclass(frozen=True)
class Obstacle:
    """What kept an execution from beginning: somebody else's run, or a change since it was decided."""

    holder: Holder | None = None


@dataclass
class Children:
    """The child runs of one invocation. `stopping` tells that the workflow is to end."""

    world: World
    engine: Engine
    waits: bool
    provenance: Callable[[], Provenance]
    stopping: Callable[[], bool]
    made: set[str] = field(default_factory=set)

    # -- before the step

    def begin(self, execution: Execution) -> Obstacle | None:
        """Creates the run and claims its fingerprint; or says what came between."""
        known, store = execution.known, self.world.store
        self.world.look_again()
        now = identified(self.world, execution.node, known.upstream).identities
        if now != known.identities or (known.inputs and self.world.touched(known.inputs)):
            return Obstacle()
        execution.run_id = self.create(execution)
        if execution.node.forced_reason or not self.waits:
            return None
        key, keys = known.keys[self.world.mode], list(known.keys.values())
        other = claims.take(store, key, execution.run_id, keys, self.stopping)
        if other:
            store.withdraw(execution.run_id)
        return Obstacle(other) if other else None

    def create(self, execution: Execution) -> str:
        """The child run, before anything of the step starts: so it can always be closed."""
        node, known, source = execution.node, execution.known, self.provenance()
        own = {ENTRY_POINT: node.step.name, STEP: node.step.name, WHY: execution.reason, OWNER: owner()}
        claimed = dict.fromkeys(known.keys.values(), WANTED)
        logged = known.inputs.logged if known.inputs else {}
        run_id = self.world.store.create_child(
            child_name(node), {**node.values, **logged}, {**source.tags, **own, **claimed}
        )
        if source.patch:
            self.world.store.log_file(run_id, source.patch)
        return run_id

    def clear(self, execution: Execution) -> None:
        """Removes what a failed attempt left, before the next one."""
        run = self.world.store.run(execution.run_id)
        artifacts.remove(Outputs(run.info.artifact_uri, execution.node.step.name))

    # -- after the step

    def finish(self, execution: Execution, failure: str | None) -> Outcome:
        """Publishes the run if all went well, says how it failed if not, and keeps its log."""
        store, run_id = self.world.store, execution.run_id
        run = store.run(run_id)
        made = None
        if failure is None:
            made, failure = self.checked(execution, run)
        if failure or made is None:
            outcome = self.failed(execution, str(failure))
        else:
            outcome = self.succeeded(execution, run, made)
        problem = self.keep_log(run_id)
        store.untag(run_id, OWNER)
        return replace(
            outcome,
            reason=with_attempts(execution.reason, execution.attempts),
            warning=outcome.warning or problem,
            started=execution.began,
            seconds=execution.seconds,
        )

    def checked(self, execution: Execution, run: Run) -> tuple[manifest.Manifest | None, str | None]:
        """The manifest of what a step that ended well left, or why that is no result."""
        if OWNER not in run.data.tags:
            return None, LEASE_LOST
        if run.info.status not in ("RUNNING", "FINISHED"):
            return None, f"ended its own run as {run.info.status}"
        try:
            outputs = Outputs(run.info.artifact_uri, execution.node.step.name)
            return artifacts.check_names(outputs), None
        except Damaged as error:
            return None, f"left no complete outputs ({error}): does it end its work in `with step()`?"

    def succeeded(self, execution: Execution, run: Run, made: manifest.Manifest) -> Outcome:
        """The outcome of a step whose outputs are whole; published unless what it read has changed."""
        node, run_id = execution.node, execution.run_id
        self.made.add(run_id)
        if run.info.status != "FINISHED":
            self.world.store.end(run_id, "FINISHED")
        digest = manifest.digest_of(made)
        warning = self.changed_meanwhile(execution) or self.publish(execution, digest)
        return Outcome(
            node=node.name,
            step=node.step.name,
            state=State.RAN,
            reason="",
            run_id=run_id,
            uri=f"runs:/{run_id}/{node.step.name}",
            outputs=Outputs(run.info.artifact_uri, node.step.name, digest),
            digest=digest,
            metrics=run.data.metrics,
            models=models_of(run),
            warning=warning or left_nothing(made),
        )

    def changed_meanwhile(self, execution: Execution) -> str | None:
        """Why a result is not reused later: it may be of what was there before or after a change."""
        known = execution.known
        if known.inputs and self.world.touched(known.inputs):
            return "the outputs that it read were written to while it ran, so it is not reused later"
        self.world.look_again()
        now = identified(self.world, execution.node, known.upstream).identities
        if differ(known.identities, now):
            return "its code, data or packages changed while it ran, so it is not reused later"
        return None

    def publish(self, execution: Execution, digest: str) -> str | None:
        """Makes a run reusable. Says so if runs of the same gave other outputs."""
        known, store, run_id = execution.known, self.world.store, execution.run_id
        others = [e.run_id for e in known.earlier if e.outputs != digest]
        tags = lookup.published_tags(known.identities, digest, None)
        if others:
            tags[NOT_DETERMINISTIC] = f"run {others[0]} gave other outputs"
            store.remark(others[0], {NOT_DETERMINISTIC: f"run {run_id} gave other outputs"})
        lookup.publish(store, run_id, known.keys.values(), tags, execution.node.step.name)
        if others:
            return f"not deterministic: run {others[0][:8]} of the same gave other outputs"
        return None

    def failed(self, execution: Execution, failure: str) -> Outcome:
        """A run that nobody will reuse."""
        store, run_id = self.world.store, execution.run_id
        store.end(run_id, "KILLED" if self.stopping() or failure == LEASE_LOST else "FAILED")
        store.tag(run_id, {FAILURE: failure})
        store.untag(run_id, *execution.known.keys.values())
        node = execution.node
        lines = tuple(self.engine.last_lines(run_id))
        return Outcome(
            node.name, node.step.name, State.FAILED, "", run_id=run_id, failure=failure, log=lines
        )

    def give_up(self, execution: Execution) -> None:
        """Ends a run that an error of ours cut short, if the server still listens."""
        with suppress(Exception):
            if execution.run_id:
                self.world.store.end(execution.run_id, "KILLED" if self.stopping() else "FAILED")
                self.world.store.untag(execution.run_id, OWNER, *execution.known.keys.values())

    def keep_log(self, run_id: str) -> str | None:
        """Uploads what the step printed; that it cannot be kept is no reason to lose the result."""
        log = self.engine.log(run_id)
        try:
            if log.exists():
                self.world.store.log_file(run_id, log)
        except (OSError, MlflowException) as error:
            return f"its log could not be kept: {error}"
        return None


def left_nothing(made: manifest.Manifest) -> str | None:
    """A warning, since a step that writes elsewhere looks as if it were done."""
    return None if made else "it left nothing in the folder for its outputs"


def with_attempts(reason: str, attempts: int) -> str:
    """The reason, with the number of attempts if there was more than one."""
    return reason if attempts <= 1 else f"{reason}; {attempts} attempts"


def differ(before: Identities, now: Identities) -> bool:
    """Did the step's own files, its data or the packages change?

    Other files of the project do not matter here.
    """
    one, other = before["code"], now["code"]
    return (one.code, one.data, one.environment) != (other.code, other.data, other.environment)
