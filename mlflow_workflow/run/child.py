"""One child run, from its creation to its publication."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow_workflow.basics.processes import owner
from mlflow_workflow.identity.fingerprint import Identity, fingerprint
from mlflow_workflow.launch.local.launcher import Launcher
from mlflow_workflow.outputs import artifacts, manifest
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.handover import HandOver
from mlflow_workflow.outputs.manifest import Manifest, Outputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.names import child_name
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.server.earlier import models_of
from mlflow_workflow.server.lease import Claim, Claims, Held
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import ENTRY_POINT, FAILURE, OWNER, STEP, WHY

Identities = Mapping[str, Identity]


@dataclass(frozen=True)
class Inputs:
    """The upstream parameters of a step: as they are logged, and the folders it gets."""

    logged: Mapping[str, str]
    folders: Mapping[str, str]


@dataclass(frozen=True)
class Provenance:
    """Where the code comes from: tags of a child run, and the uncommitted changes as a file."""

    tags: Mapping[str, str]
    patch: Path | None


@dataclass
class ChildRuns:
    """Executes nodes in child runs.

    `identities` tells what a node's identity is now, `provenance` where the code is from now: it
    may have been edited since the workflow began.
    """

    store: Store
    launcher: Launcher
    claims: Claims | None
    mode: str
    handover: HandOver
    provenance: Callable[[], Provenance]
    identities: Callable[[Node], Identities]
    tell: Callable[[str], None]
    running: set[str] = field(default_factory=set)
    started: dict[str, tuple[Node, float]] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ends every step that is running; none is started any more."""
        self.stopping.set()
        for run_id in list(self.running):
            self.launcher.stop(run_id)

    def execute(self, node: Node, identities: Identities, reason: str, inputs: Inputs) -> Outcome | Held:
        """Runs a node and publishes it if all went well; or tells who is running the same already."""
        run_id = self.create(node, reason, inputs)
        try:
            claim = self.claim(node, identities, run_id)
            if isinstance(claim, Held):
                self.store.ask(lambda: self.store.client.delete_run(run_id))
                return claim
            self.tell(f"{node.name}: run {run_id[:8]} starts: {reason}")
            began, clock = time.time(), time.monotonic()
            self.started[run_id] = (node, began)
            failure, attempts = self.attempt(node, run_id, {**node.values, **inputs.folders})
            outcome = self.finish(node, identities, run_id, failure, claim=claim, inputs=inputs)
        except BaseException:
            self.give_up(run_id)
            raise
        else:
            self.store.untag(run_id, OWNER)  # before its heart stops
        finally:
            self.running.discard(run_id)
        if isinstance(outcome, Held):
            return outcome
        return replace(
            outcome,
            reason=with_attempts(reason, attempts),
            started=began,
            seconds=time.monotonic() - clock,
        )

    def give_up(self, run_id: str) -> None:
        """Ends a run that an error of ours cut short, if the server still listens."""
        with contextlib.suppress(Exception):
            self.store.end(run_id, "FAILED", even_finished=True)
            self.store.untag(run_id, OWNER)

    def create(self, node: Node, reason: str, inputs: Inputs) -> str:
        """The child run, before anything of the step starts: so it can always be closed."""
        own = {ENTRY_POINT: node.step.name, STEP: node.step.name, WHY: reason, OWNER: owner()}
        parameters = {**node.values, **inputs.logged}
        source = self.provenance()
        run_id = self.store.create_child(child_name(node), parameters, {**source.tags, **own})
        self.running.add(run_id)  # its heart beats from here on: a large patch takes a while
        if source.patch:
            self.store.log_file(run_id, source.patch)
        return run_id

    def claim(self, node: Node, identities: Identities, run_id: str) -> Claim | Held | None:
        """The right to execute; None where nobody is asked: forced, or told not to wait."""
        if node.forced_reason or self.claims is None:
            return None
        return self.claims.take(fingerprint(identities[self.mode]), run_id)

    def attempt(self, node: Node, run_id: str, parameters: Mapping[str, str]) -> tuple[str | None, int]:
        """How it failed (None if it did not), and after how many attempts."""
        failure: str | None = "stopped"
        attempts = 0
        while attempts <= node.step.retries and not self.stopping.is_set():
            attempts += 1
            failure = self.launcher.launch(node.step, parameters, run_id)
            if failure is None:
                break
            if attempts <= node.step.retries:
                self.tell(f"{node.name}: run {run_id[:8]} {failure}; tries again")
                artifacts.remove(Outputs(self.store.run(run_id).info.artifact_uri, node.step.name))
        return ("stopped" if self.stopping.is_set() and failure else failure), attempts

    def finish(
        self,
        node: Node,
        identities: Identities,
        run_id: str,
        failure: str | None,
        *,
        claim: Claim | None,
        inputs: Inputs,
    ) -> Outcome | Held:
        """Keeps the log, and publishes the run or says how it failed."""
        log = self.launcher.log_of(run_id)
        if log.exists():
            self.store.log_file(run_id, log)
        if failure is None:  # MLflow has set the status, unless the server was away just then
            self.store.end(run_id, "FINISHED")
        run = self.store.run(run_id)
        if claim and OWNER not in run.data.tags:
            return self.passed_over(node, run_id)
        if failure is None and run.info.status != "FINISHED":
            failure = f"ended its own run as {run.info.status}"
        outputs = Outputs(run.info.artifact_uri, node.step.name)
        try:
            made = None if failure else artifacts.check_names(outputs)
        except Damaged as error:
            failure = f"left no complete outputs ({error}): does it end its work in `with step()`?"
        if failure or made is None:
            return self.failed(node, run_id, str(failure))
        whole = replace(outputs, digest=manifest.digest_of(made))
        if claim and self.claims and not self.claims.confirm(claim, run_id):
            return self.passed_over(node, run_id)
        warning = self.publish(node, identities, run_id, str(whole.digest), inputs)
        self.tell(f"{node.name}: run {run_id[:8]} is done")
        return Outcome(
            node=node.name,
            step=node.step.name,
            state=State.RAN,
            reason="",
            run_id=run_id,
            uri=f"runs:/{run_id}/{node.step.name}",
            outputs=whole,
            digest=whole.digest,
            metrics=run.data.metrics,
            models=models_of(run),
            warning=warning or left_nothing(made),
        )

    def publish(
        self, node: Node, identities: Identities, run_id: str, digest: str, inputs: Inputs
    ) -> str | None:
        """Makes a run reusable, unless what it read may have changed while it ran: says so then."""
        if self.handover.touched(inputs.logged.values()):
            return "the outputs that it read were written to while it ran, so it is not reused later"
        if changed_meanwhile(identities, self.identities(node)):
            return "its code, data or packages changed while it ran, so it is not reused later"
        warning = self.compare(node, identities, run_id, digest)
        self.store.publish(run_id, identities, digest)
        return warning

    def compare(self, node: Node, identities: Identities, run_id: str, digest: str) -> str | None:
        """Marks runs of one identity whose outputs differ, and warns."""
        equal = self.store.find(node.step.name, self.mode, fingerprint(identities[self.mode]))
        others = [e.run_id for e in equal if e.outputs != digest and e.run_id != run_id]
        if not others:
            return None
        self.store.tag(run_id, {NOT_DETERMINISTIC: f"run {others[0]} gave other outputs"})
        self.store.tag(others[0], {NOT_DETERMINISTIC: f"run {run_id} gave other outputs"})
        return f"not deterministic: run {others[0][:8]} of the same gave other outputs"

    def failed(self, node: Node, run_id: str, failure: str) -> Outcome:
        """A run that nobody will reuse."""
        status = "KILLED" if self.stopping.is_set() else "FAILED"
        self.store.end(run_id, status, even_finished=True)
        self.store.tag(run_id, {FAILURE: failure})
        self.tell(f"{node.name}: run {run_id[:8]} {failure}")
        return Outcome(
            node=node.name,
            step=node.step.name,
            state=State.FAILED,
            reason="",
            failure=failure,
            run_id=run_id,
            log=tuple(self.launcher.last_lines(run_id)),
        )

    def passed_over(self, node: Node, run_id: str) -> Held:
        """Our heartbeats did not reach the server for long: another orchestrator runs the step."""
        self.store.end(run_id, "KILLED", even_finished=True)
        self.tell(f"{node.name}: run {run_id[:8]} was taken for dead and is not published")
        return Held(run_id, published=True)


NOT_DETERMINISTIC = "workflow.not_deterministic"


def left_nothing(made: Manifest) -> str | None:
    """A warning, since a step that writes elsewhere looks as if it were done."""
    return None if made else "it left nothing in the folder for its outputs"


def with_attempts(reason: str, attempts: int) -> str:
    """The reason, with the number of attempts if there was more than one."""
    return reason if attempts <= 1 else f"{reason}; {attempts} attempts"


def changed_meanwhile(before: Identities, now: Identities) -> bool:
    """Did the step's own files, its data or the packages change?

    Other files of the project do not matter here.
    """
    one, other = before["code"], now["code"]
    return (one.code, one.data, one.environment) != (other.code, other.data, other.environment)
