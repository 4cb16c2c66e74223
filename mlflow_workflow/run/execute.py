"""The one loop: for each step, upstream first, reuse an earlier run or launch a new one."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

from mlflow_workflow.identity.fingerprint import Identity, fingerprint, near_keys, summary
from mlflow_workflow.identity.project_state import Surroundings, identify
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.facts import Compared
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.candidates import Candidates, in_a_sentence, outputs_of
from mlflow_workflow.run.child import ChildRuns, Identities, Inputs
from mlflow_workflow.run.explain import in_words, nearest_run
from mlflow_workflow.run.pins import pinned
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.heartbeat import close_dead, wait_for
from mlflow_workflow.server.lease import Held
from mlflow_workflow.server.recent_runs import Lately
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import OWNER, USER

NOT_DONE = (State.FAILED, State.SKIPPED)
LOOK = 0.5
"""Seconds between two looks whether a signal asked the workflow to end."""


@dataclass
class Execution:
    """One invocation of the workflow.

    `look` reads code and environment as they are now. Without `children` it makes a plan instead:
    nothing is launched and nothing written. `folder` is for what has to be downloaded; `tell` gets
    a line for every event.
    """

    store: Store
    candidates: Candidates
    look: Callable[[], Surroundings]
    mode: str
    nodes: Mapping[str, Node]
    folder: Path
    tell: Callable[[str], None]
    children: ChildRuns | None = None
    jobs: int = 1
    keep_going: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    compared: dict[str, Compared] = field(default_factory=dict)
    locks: dict[str, threading.RLock] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.lately = Lately(self.store)

    def run(self) -> dict[str, Outcome]:
        """Settles every node, independent ones at the same time; returns their outcomes."""
        self.locks = {name: threading.RLock() for name in self.nodes}
        sorter = TopologicalSorter({n.name: n.upstream.values() for n in self.nodes.values()})
        sorter.prepare()
        waiting: dict[Future[Outcome], str] = {}
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="step") as pool:
            try:
                while sorter.is_active():
                    for name in sorter.get_ready():
                        waiting[pool.submit(self.settle_in_turn, self.nodes[name])] = name
                    # A signal that comes just before a wait is noticed only after it.
                    for future in wait(waiting, LOOK, FIRST_COMPLETED).done:
                        name = waiting.pop(future)
                        self.outcomes[name] = future.result()
                        sorter.done(name)
            except BaseException:
                self.stop()
                raise
        return {name: self.outcomes[name] for name in self.nodes}

    def settle_in_turn(self, node: Node) -> Outcome:
        """Settles a node in a worker's thread; a failure ends the rest, unless the user wants it."""
        outcome = self.settle(node)
        # Here, and not where the outcome is awaited: the worker takes the next node at once.
        if outcome.state == State.FAILED and not self.keep_going:
            self.stopping.set()
        if outcome.state == State.RAN and outcome.run_id:
            self.lately.add(outcome.step, outcome.run_id)
        return outcome

    def stop(self) -> None:
        """Ends every step that is running and starts no more."""
        self.stopping.set()
        self.store.patience.hurry()
        if self.children:
            self.children.stop()

    # -- one step

    def settle(self, node: Node) -> Outcome:
        """Pinned, reused or run: what stands for this node. Skipped, once the workflow is to end."""
        if node.pin and not self.stopping.is_set():
            return self.pinned(node)
        while True:
            failed = [u for u in node.upstream.values() if self.outcomes[u].state in NOT_DONE]
            if failed or self.stopping.is_set():
                reason = f"{failed[0]} {self.outcomes[failed[0]].state}" if failed else "stopped"
                return Outcome(node.name, node.step.name, State.SKIPPED, reason)
            outcome = self.reuse_or_run(node)
            if isinstance(outcome, Outcome):
                return outcome
            if outcome:
                self.await_other(node, outcome)

    def reuse_or_run(self, node: Node) -> Outcome | Held | None:
        """The decision, taken with what is known now; None if something upstream is new since."""
        identities = self.identities(node)
        if None in identities[self.mode].upstream.values():
            return None if self.heal_upstream(node) else self.undecided(node, identities)
        rejections: list[str] = []
        earlier = None if node.forced_reason else self.candidates.choose(node, identities, rejections)
        self.compared[node.name] = compared(identities[self.mode], earlier)
        if earlier:
            return self.reused(node, earlier)
        if self.heal_upstream(node):
            return None
        reason = self.reason(node, identities, rejections)
        if self.children is None:
            return self.planned(node, State.RUN, reason)
        return self.children.execute(node, identities, reason, self.inputs(node))

    def identities(self, node: Node) -> dict[str, Identity]:
        """The identity of a node's execution, as things are now."""
        upstream = {step: self.outcomes[name].digest for step, name in node.upstream.items()}
        return identify(self.look(), node.step, node.values, upstream)

    def reason(self, node: Node, identities: Identities, rejections: Sequence[str]) -> str:
        """Why a node runs."""
        if node.forced_reason:
            return node.forced_reason
        if rejections:
            return "; ".join(rejections)
        nearest = nearest_run(self.store, self.mode, identities, self.lately)
        if nearest:
            found = compared(identities[self.mode], nearest.earlier, nearest.differences)
            self.compared[node.name] = found
        return in_words(nearest)

    # -- what it reads

    def heal_upstream(self, node: Node) -> bool:
        """Hands the upstream outputs over; settles anew those that turn out damaged, if any."""
        damaged = [name for name in node.upstream.values() if not self.hand_over(name)]
        for name in damaged:
            with self.locks[name]:
                if self.outcomes[name].run_id in self.candidates.rejected:
                    self.outcomes[name] = self.settle(self.nodes[name])
        return bool(damaged)

    def hand_over(self, name: str) -> bool:
        """Makes a node's outputs a local folder, every byte checked; False if damaged."""
        with self.locks[name]:
            upstream = self.outcomes[name]
            if upstream.outputs is None or upstream.run_id is None:
                return True
            try:
                self.candidates.handover.over(str(upstream.uri), upstream.outputs)
            except Damaged as error:
                self.candidates.reject(upstream.run_id, error)
                return False
            return True

    def inputs(self, node: Node) -> Inputs:
        """The upstream parameters of a node."""
        logged = {step: str(self.outcomes[name].uri) for step, name in node.upstream.items()}
        handed = self.candidates.handover.handed
        folders = {step: str(handed[uri].folder) for step, uri in logged.items()}
        data = self.look().data_of(node.step, node.values)
        local = {n: str(p) for n, p in data.items() if node.step.parameters[n].type == "path"}
        return Inputs(logged, {**folders, **local})

    # -- what stands for a node

    def pinned(self, node: Node) -> Outcome:
        """The outputs that the user named, whatever their identity."""
        outcome, folder = pinned(self.store, node, self.folder / f"pin {node.step.name}")
        self.candidates.handover.keep(str(outcome.uri), folder)
        return outcome

    def reused(self, node: Node, earlier: Earlier) -> Outcome:
        """An earlier run stands for this node."""
        return Outcome(
            node=node.name,
            step=node.step.name,
            state=State.REUSED,
            reason=self.origin(earlier),
            run_id=earlier.run_id,
            uri=f"runs:/{earlier.run_id}/{node.step.name}",
            outputs=outputs_of(node, earlier),
            digest=earlier.outputs,
            seconds=earlier.seconds,
            earlier=earlier,
            metrics=earlier.metrics,
            models=earlier.models,
        )

    def origin(self, earlier: Earlier) -> str:
        """Why an earlier run is as good; of another experiment's, also where it is from."""
        if earlier.experiment_id == self.store.experiment_id:
            return "same code, parameters, data and environment"
        name = self.store.experiment_name(earlier.experiment_id)
        commit = f", commit {earlier.commit[:7]}" if earlier.commit else ""
        return f"the same in experiment {name!r}{commit}"

    def planned(self, node: Node, state: State, reason: str) -> Outcome:
        """What a plan says of a step that would, or might, run; with how long that took lately."""
        seconds = self.lately.usual_seconds(node.step.name)
        return Outcome(node.name, node.step.name, state, reason, seconds=seconds)

    def undecided(self, node: Node, identities: Identities) -> Outcome:
        """Below a step that would run: certain to run only if nothing earlier equals the rest."""
        if node.forced_reason:
            return self.planned(node, State.RUN, node.forced_reason)
        rejections: list[str] = []
        now = identities[self.mode]
        for earlier in self.store.find_near(node.step.name, near_keys(now)["upstream"]):
            read = earlier.summaries.get(self.mode, {}).get("upstream", {})
            if not may_be_equal(summary(now)["upstream"], read):
                continue
            if not earlier.unusable:
                unknown = [u for u in node.upstream.values() if self.outcomes[u].digest is None]
                return self.planned(node, State.DEPENDS, f"depends on what {unknown[0]} gives")
            rejections.append(in_a_sentence(earlier, earlier.unusable))
        return self.planned(node, State.RUN, self.reason(node, identities, rejections))

    def await_other(self, node: Node, held: Held) -> None:
        """Waits for the run that has the claim, and closes it if its orchestrator died."""
        if held.published:
            self.candidates.met.add(held.run_id)
            return
        user = self.store.run(held.run_id).data.tags.get(USER, "?")
        self.tell(f"{node.name}: waits for run {held.run_id[:8]} of {user}")
        if not wait_for(self.store, held.run_id, self.stopping.is_set):
            self.tell(f"{node.name}: the orchestrator of run {held.run_id[:8]} died")
            close_dead(self.store, str(self.store.run(held.run_id).data.tags.get(OWNER)))


def compared(identity: Identity, earlier: Earlier | None, differences: tuple[str, ...] = ()) -> Compared:
    """What a node was compared with, for the reports."""
    nearest = earlier.run_id if earlier else None
    return Compared(fingerprint(identity), summary(identity), nearest, differences)


def may_be_equal(now: Mapping[str, str | None], then: Mapping[str, str]) -> bool:
    """Is what is known of the upstream outputs as it was? What nobody knows yet may be."""
    return "*" in then or all(value is None or then.get(step) == value for step, value in now.items())
