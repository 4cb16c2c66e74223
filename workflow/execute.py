"""The one loop: for each step, upstream first, reuse an earlier run or launch a new one."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path

from mlflow.exceptions import MlflowException

from workflow import artifacts, manifest, plan
from workflow.artifacts import Damaged
from workflow.child import ChildRuns, Identities, Inputs
from workflow.errors import WorkflowError
from workflow.explain import in_words, nearest_run, usual_seconds
from workflow.facts import Compared
from workflow.fingerprint import Identity, fingerprint, near_keys, summary
from workflow.heartbeat import OWNER, close_dead, wait_for
from workflow.lease import Held
from workflow.manifest import Outputs
from workflow.plan import Earlier, Node, Outcome
from workflow.store import ENTRY_POINT, USER, Store
from workflow.store import earlier as earlier_of
from workflow.surroundings import Surroundings, identify

NOT_DONE = (plan.FAILED, plan.SKIPPED)


@dataclass
class Execution:
    """One invocation of the workflow.

    `look` reads code and environment as they are now. Without `children` it makes a plan instead:
    nothing is launched and nothing written. `folder` is for what has to be downloaded; `tell` gets
    a line for every event.
    """

    store: Store
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
    rejected: dict[str, str] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)
    handed: dict[str, Path] = field(default_factory=dict)
    locks: dict[str, threading.RLock] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)

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
                        waiting[pool.submit(self.settle, self.nodes[name])] = name
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        name = waiting.pop(future)
                        self.outcomes[name] = future.result()
                        sorter.done(name)
                        self.stop_starting_after(self.outcomes[name])
            except BaseException:
                self.stop()
                raise
        return {name: self.outcomes[name] for name in self.nodes}

    def stop_starting_after(self, outcome: Outcome) -> None:
        """A failure ends the rest, unless the user wants the other branches."""
        if outcome.state == plan.FAILED and not self.keep_going:
            self.stopping.set()

    def stop(self) -> None:
        """Ends every step that is running and starts no more."""
        self.stopping.set()
        if self.children:
            self.children.stop()

    # -- one step

    def settle(self, node: Node) -> Outcome:
        """Pinned, reused or run: what stands for this node."""
        if node.pin:
            return self.pinned(node)
        while True:
            failed = [u for u in node.upstream.values() if self.outcomes[u].state in NOT_DONE]
            if failed or self.stopping.is_set():
                reason = f"{failed[0]} {self.outcomes[failed[0]].state}" if failed else "stopped"
                return Outcome(node.name, node.step.name, plan.SKIPPED, reason)
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
        earlier = None if node.asked else self.reusable(node, identities, rejections)
        self.compared[node.name] = compared(identities[self.mode], earlier)
        if earlier:
            return self.reused(node, earlier)
        if self.heal_upstream(node):
            return None
        reason = self.reason(node, identities, rejections)
        if self.children is None:
            return self.planned(node, plan.RUN, reason)
        return self.children.execute(node, identities, reason, self.inputs(node))

    def identities(self, node: Node) -> dict[str, Identity]:
        """The identity of a node's execution, as things are now."""
        upstream = {step: self.outcomes[name].digest for step, name in node.upstream.items()}
        return identify(self.look(), node.step, node.values, upstream)

    def reusable(self, node: Node, identities: Identities, rejections: list[str]) -> Earlier | None:
        """The newest published run of this identity whose outputs are whole; else says why not."""
        found = self.store.find(node.step.name, self.mode, fingerprint(identities[self.mode]))
        for earlier in found:
            why = earlier.unusable or self.rejected.get(earlier.run_id) or self.damage(node, earlier)
            if why is None:
                return earlier
            rejections.append(in_a_sentence(earlier, why))
        if not found:
            rejections += self.deleted(node, identities)
        return None

    def deleted(self, node: Node, identities: Identities) -> list[str]:
        """What to say if there was such a run, and somebody deleted it."""
        key = fingerprint(identities[self.mode])
        gone = self.store.find_deleted(node.step.name, self.mode, key)
        return [f"run {earlier.run_id[:8]} was deleted" for earlier in gone]

    def damage(self, node: Node, earlier: Earlier) -> str | None:
        """What is wrong with a run's outputs. What the user will read is checked by content."""
        outputs = outputs_of(node, earlier)
        try:
            if node.wanted:
                artifacts.hand_over(outputs, self.folder / earlier.run_id)
            else:
                artifacts.check_names(outputs)
        except Damaged as error:
            self.reject(earlier.run_id, error)
            return str(error)
        return None

    def reject(self, run_id: str, damage: Damaged) -> None:
        """Never looks at a damaged run again."""
        self.rejected[run_id] = str(damage)
        if self.children and damage.lasting:
            self.store.mark_unusable(run_id, str(damage))

    def reason(self, node: Node, identities: Identities, rejections: Sequence[str]) -> str:
        """Why a node runs."""
        if node.asked:
            return node.asked
        if rejections:
            return "; ".join(rejections)
        nearest = nearest_run(self.store, self.mode, identities)
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
                if self.outcomes[name].run_id in self.rejected:
                    self.outcomes[name] = self.settle(self.nodes[name])
        return bool(damaged)

    def hand_over(self, name: str) -> bool:
        """Makes a node's outputs a local folder, every byte checked, once; False if damaged."""
        with self.locks[name]:
            upstream = self.outcomes[name]
            if upstream.outputs is None or upstream.run_id is None or upstream.uri in self.handed:
                return True
            try:
                into = self.folder / upstream.run_id
                self.handed[str(upstream.uri)] = artifacts.hand_over(upstream.outputs, into)
            except Damaged as error:
                self.reject(upstream.run_id, error)
                return False
            return True

    def inputs(self, node: Node) -> Inputs:
        """The upstream parameters of a node."""
        logged = {step: str(self.outcomes[name].uri) for step, name in node.upstream.items()}
        folders = {step: str(self.handed[uri]) for step, uri in logged.items()}
        data = self.look().data_of(node.step, node.values)
        local = {n: str(p) for n, p in data.items() if node.step.parameters[n].type == "path"}
        return Inputs(logged, {**folders, **local})

    # -- what stands for a node

    def pinned(self, node: Node) -> Outcome:
        """The outputs that the user named, whatever their identity."""
        uri = plan.pinned_uri(str(node.pin), node.step.name)
        folder, run_id = pinned_folder(self.store, uri, self.folder / f"pin {node.step.name}")
        self.handed[uri] = folder
        run = earlier_of(self.store.run(run_id)) if run_id else None
        return Outcome(
            node=node.name,
            step=node.step.name,
            state=plan.PINNED,
            reason=f"pinned to {uri}",
            run_id=run_id,
            uri=uri,
            digest=manifest.digest_of(manifest.read_folder(folder)),
            earlier=run,
            metrics=run.metrics if run else {},
            models=run.models if run else (),
        )

    def reused(self, node: Node, earlier: Earlier) -> Outcome:
        """An earlier run stands for this node."""
        return Outcome(
            node=node.name,
            step=node.step.name,
            state=plan.REUSED,
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
        return f"the same in experiment {name!r}{commit}, by {earlier.user or 'unknown'}"

    def planned(self, node: Node, state: str, reason: str) -> Outcome:
        """What a plan says of a step that would, or might, run; with how long that took lately."""
        seconds = usual_seconds(self.store.find_lately(node.step.name, 5))
        return Outcome(node.name, node.step.name, state, reason, seconds=seconds)

    def undecided(self, node: Node, identities: Identities) -> Outcome:
        """Below a step that would run: certain to run only if nothing earlier equals the rest."""
        if node.asked:
            return self.planned(node, plan.RUN, node.asked)
        now = identities[self.mode]
        for earlier in self.store.find_near(node.step.name, near_keys(now)["upstream"]):
            read = earlier.summaries.get(self.mode, {}).get("upstream", {})
            if not earlier.unusable and may_be_equal(summary(now)["upstream"], read):
                unknown = [u for u in node.upstream.values() if self.outcomes[u].digest is None]
                return self.planned(node, plan.DEPENDS, f"depends on what {unknown[0]} gives")
        nearest = nearest_run(self.store, self.mode, identities)
        return self.planned(node, plan.RUN, in_words(nearest))

    def is_bad(self, run_id: str) -> bool:
        """Was a published run found to be of no use? One that `find` did not give is of none either."""
        return run_id in self.rejected or run_id in self.met

    def await_other(self, node: Node, held: Held) -> None:
        """Waits for the run that has the claim, and closes it if its orchestrator died."""
        if held.published:
            self.met.add(held.run_id)
            return
        user = self.store.run(held.run_id).data.tags.get(USER, "?")
        self.tell(f"{node.name}: waits for run {held.run_id[:8]} of {user}")
        if not wait_for(self.store, held.run_id, self.stopping.is_set):
            self.tell(f"{node.name}: the orchestrator of run {held.run_id[:8]} died")
            close_dead(self.store, str(self.store.run(held.run_id).data.tags.get(OWNER)))


def compared(
    identity: Identity, earlier: Earlier | None, differences: tuple[str, ...] = ()
) -> Compared:
    """What a node was compared with, for the reports."""
    nearest = earlier.run_id if earlier else None
    return Compared(fingerprint(identity), summary(identity), nearest, differences)


def in_a_sentence(earlier: Earlier, why: str) -> str:
    """`run 3f2a1b9c is banned: …` or `outputs of run 3f2a1b9c are gone: train.csv`."""
    run = earlier.run_id[:8]
    return f"run {run} is {why}" if why.startswith("banned") else f"outputs of run {run} are {why}"


def may_be_equal(now: Mapping[str, str | None], then: Mapping[str, str]) -> bool:
    """Is what is known of the upstream outputs as it was? What nobody knows yet may be."""
    return "*" in then or all(value is None or then.get(step) == value for step, value in now.items())


def outputs_of(node: Node, earlier: Earlier) -> Outputs:
    """Where an earlier run's outputs are, and what they must be."""
    return Outputs(earlier.artifact_uri, node.step.name, earlier.outputs)


def pinned_folder(store: Store, uri: str, into: Path) -> tuple[Path, str | None]:
    """The outputs that a pin names as a local folder, and their run if they are a run's.

    Raises:
        WorkflowError: nothing is there, or it is not what the run's manifest says.
    """
    match = re.fullmatch(r"runs:/([0-9a-f]{32})/(.+)", uri)
    try:
        if match and store.run(match[1]).data.tags.get(ENTRY_POINT) == match[2].strip("/"):
            root = store.run(match[1]).info.artifact_uri
            return artifacts.hand_over(Outputs(root, match[2].strip("/")), into), match[1]
        folder = artifacts.local_folder(uri) or artifacts.download(uri, into)
    except Damaged as error:
        raise WorkflowError(f"cannot use the pin {uri}: its outputs are {error}") from None
    except (OSError, MlflowException) as error:
        raise WorkflowError(f"cannot use the pin {uri}: {error}") from None
    if not folder.is_dir():
        raise WorkflowError(f"cannot use the pin {uri}: there is no folder {folder}")
    return folder.resolve(), match and match[1]
