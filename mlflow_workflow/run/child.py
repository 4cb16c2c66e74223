"""One child run: created and claimed before the step starts, published or failed after it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.processes import owner
from mlflow_workflow.launch.engine import Engine
from mlflow_workflow.outputs import artifacts, manifest
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.report.names import child_name
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.candidates import modes_to_bear
from mlflow_workflow.run.decide import Known
from mlflow_workflow.run.execution import Execution
from mlflow_workflow.run.gather import identified
from mlflow_workflow.run.provenance import Provenance
from mlflow_workflow.run.publish import publish
from mlflow_workflow.run.world import World
from mlflow_workflow.server import claims
from mlflow_workflow.server.claims import Holder
from mlflow_workflow.server.earlier import models_of
from mlflow_workflow.server.tags import (
    ENTRY_POINT,
    FAILURE,
    OWNER,
    PUBLISHED,
    STEP,
    WANTED,
    WHY,
)

LEASE_LOST = "lost its lease; result discarded"


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
    provenance: Provenance
    stopping: Callable[[], bool]
    made: set[str] = field(default_factory=set)

    # -- before the step

    def begin(self, execution: Execution) -> Obstacle | None:
        """Creates the run and claims its fingerprint; or says what came between."""
        known, store = execution.known, self.world.store
        self.world.read_again()
        now = identified(self.world, execution.node, known.upstream).identities
        if now != known.identities or (known.inputs and self.world.touched(known.inputs)):
            return Obstacle()
        execution.run_id = self.create(execution)
        if execution.node.forced_reason or not self.waits:
            return None
        key, keys = known.keys[self.world.mode], self.keys(known)
        other = claims.take(store, key, execution.run_id, keys, self.stopping)
        if other:
            store.withdraw(execution.run_id)
        return Obstacle(other) if other else None

    def keys(self, known: Known) -> list[str]:
        """What a run is to be found by."""
        return [known.keys[mode] for mode in modes_to_bear(self.world, known)]

    def create(self, execution: Execution) -> str:
        """The child run, before anything of the step starts: so it can always be closed."""
        node, known, code = execution.node, execution.known, self.world.reading.code
        own = {ENTRY_POINT: node.step.name, STEP: node.step.name, WHY: execution.reason, OWNER: owner()}
        claimed = dict.fromkeys(self.keys(known), WANTED)
        logged = known.inputs.logged if known.inputs else {}
        run_id = self.world.store.create_child(
            child_name(node), {**node.values, **logged}, {**self.provenance.tags(code), **own, **claimed}
        )
        if patch := self.provenance.patch(code):
            self.world.store.log_file(run_id, patch)
        return run_id

    def clear(self, execution: Execution) -> None:
        """Removes what a failed attempt left, before the next one."""
        run = self.world.store.run(execution.run_id)
        artifacts.remove(Outputs(run.info.artifact_uri, execution.node.step.name))

    # -- after the step

    def finish(self, execution: Execution, failure: str | None) -> Outcome:
        """Publishes the run if all went well, says how it failed if not, and keeps its log."""
        execution.finishing = True
        store, run_id = self.world.store, execution.run_id
        run = store.run(run_id)
        made = None
        if OWNER not in run.data.tags:
            failure = LEASE_LOST
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
        warning = publish(self.world, execution, digest)
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
        store, run_id = self.world.store, execution.run_id
        with suppress(Exception):
            if run_id and PUBLISHED not in store.run(run_id).data.tags:
                store.end(run_id, "KILLED" if self.stopping() else "FAILED")
                store.untag(run_id, *execution.known.keys.values())
            if run_id:
                store.untag(run_id, OWNER)

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
