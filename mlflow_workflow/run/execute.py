"""The one loop over the nodes of a request. Every node goes one way:

    ready → gather → decide ─┬→ use, reuse, fail ───────────────────────────→ done
                             ├→ run → begin (create, claim) → job → finish ─→ done
                             ├→ wait until somebody else's run is over ─────→ ready
                             └→ heal: what it reads is done again ──────────→ ready

The loop alone holds the state of all nodes. What takes time is done by workers, a job by the engine, and
what comes of it is an event for the loop. A plan is the same without `begin`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.facts import Compared
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.board import Board
from mlflow_workflow.run.child import Children
from mlflow_workflow.run.decide import (
    Decision,
    Depends,
    Fail,
    Heal,
    Known,
    Policy,
    Reuse,
    Run,
    Use,
    Wait,
    decide,
    skip_reason,
)
from mlflow_workflow.run.execution import Execution
from mlflow_workflow.run.gather import gather
from mlflow_workflow.run.outcomes import failed, planned, reused, skipped
from mlflow_workflow.run.under_way import UnderWay
from mlflow_workflow.run.workers import Workers
from mlflow_workflow.run.world import World
from mlflow_workflow.server.claims import Holder
from mlflow_workflow.server.heartbeat import LEASE_TIMEOUT, Watch

LOOK = 0.5
"""Seconds between two looks whether a signal asked the workflow to end."""
EXPECTED = (WorkflowError, MlflowException, OSError)
"""Errors that are one node's, if the others shall go on."""


@dataclass
class Loop:
    """One execution of a request; a plan, if its policy is dry.

    `tell` gets a line for every event. `waits` maps nodes to the runs of others that they wait for.
    """

    world: World
    board: Board
    workers: Workers
    policy: Policy
    tell: Callable[[str], None]
    keep_going: bool = False
    waits: dict[str, str] = field(default_factory=dict)
    compared: dict[str, Compared] = field(default_factory=dict)
    looked: float = 0.0
    stopping: bool = False
    acting: UnderWay | None = None

    def act(self, children: Children, jobs: int) -> None:
        """From here on it is no plan: so many nodes are executed at a time."""
        self.acting = UnderWay(
            children=children,
            workers=self.workers,
            jobs=jobs,
            tell=self.tell,
            done=self.done,
            again=self.board.look_again,
            wait=self.wait,
            broken=self.broken,
        )

    def run(self) -> dict[str, Outcome]:
        """The outcome of every node. Raises what ends the workflow, after every step has ended."""
        self.watch = Watch(self.world.store)
        try:
            while not self.board.finished:
                self.look_at_ready()
                self.look_at_others()
                if self.acting:
                    self.acting.begin_queued()
                    self.acting.look_at_jobs()
                self.workers.take_events(0 if self.board.ready else LOOK)
        except BaseException:
            self.stop()
            raise
        finally:
            self.workers.close(LOOK)
        return {name: self.board.done[name] for name in self.board.nodes}

    def stop(self) -> None:
        """Ends every step; a server that is away is not waited for."""
        self.stopping = True
        self.world.store.patience.hurry()
        if self.acting:
            self.acting.stop()

    # -- gather, decide, act

    def look_at_ready(self) -> None:
        """Gathers what is known of the nodes whose upstream is done."""
        for name in self.board.take_ready():
            node, upstream = self.board.nodes[name], self.board.upstream(name)
            if reason := skip_reason(node, upstream, self.stopping):
                self.done(skipped(node, reason))
                continue
            self.workers.do(
                partial(gather, self.world, node, upstream, needed=name in self.board.needed),
                partial(self.act_on, node),
                partial(self.broken, name),
            )

    def act_on(self, node: Node, known: Known) -> None:
        """Does what is decided about a node; what it reads may have been reopened meanwhile."""
        if not node.pin and self.board.upstream(node.name) != known.upstream:
            self.board.await_upstream(node.name)
            return
        if known.compared:
            self.compared[node.name] = known.compared
        decision = decide(node, known, self.situation())
        outcome = self.outcome_of(node, known, decision)
        if outcome:
            self.done(outcome)
        else:
            self.begin(node, known, decision)

    def outcome_of(self, node: Node, known: Known, decision: Decision) -> Outcome | None:
        """The outcome of a node that nothing has to be done for."""
        match decision:
            case Use(outcome):
                return outcome
            case Reuse(earlier):
                return reused(node, earlier, known.reason)
            case Fail(failure):
                return failed(node, failure)
            case Depends(reason, doubtful):
                self.doubt(doubtful, node)
                return self.planned(node, State.DEPENDS, reason)
            case Run(reason) if self.acting is None:
                return self.planned(node, State.RUN, reason)
        return None

    def begin(self, node: Node, known: Known, decision: Decision) -> None:
        """What comes before a node's outcome: its execution, that of others, or of what it reads."""
        match decision:
            case Run(reason) if self.acting:
                self.acting.queue.append(Execution(node, known, reason))
            case Wait(holder):
                self.wait(node.name, holder)
            case Heal(names):
                for above in names:
                    self.board.reopen(above)
                self.board.await_upstream(node.name)

    def situation(self) -> Policy:
        """What was asked for, and what this invocation has been through so far."""
        made = self.acting.children.made if self.acting else ()
        return replace(self.policy, made=made, healings=self.board.healings)

    def done(self, outcome: Outcome) -> None:
        """A node has its outcome. A failure ends the rest, unless the user wants it to go on."""
        self.board.done_with(outcome.node, outcome)
        if outcome.state == State.FAILED and not self.keep_going:
            self.give_rest_up()

    def give_rest_up(self) -> None:
        """What has not begun will not; what runs comes to its end."""
        self.stopping = True
        queued = [each.node.name for each in self.acting.queue] if self.acting else []
        for name in [*self.waits, *queued]:
            self.board.look_again(name)
        self.waits.clear()
        if self.acting:
            self.acting.queue.clear()

    def doubt(self, names: Sequence[str], reader: Node) -> None:
        """In a plan: what is damaged is made again only if the node that reads it runs."""
        for name in names:
            reason = f"its outputs are damaged: made again if {reader.name} runs"
            self.board.done[name] = replace(self.board.done[name], state=State.DEPENDS, reason=reason)

    def planned(self, node: Node, state: State, reason: str) -> Outcome:
        """What would happen, and how long it took lately."""
        return planned(node, state, reason, self.world.usual_seconds(node.step.name))

    def broken(self, name: str, error: BaseException) -> None:
        """Something could not be done: one node's failure, if the others shall go on."""
        if not (self.keep_going and isinstance(error, EXPECTED)):
            raise error
        self.done(failed(self.board.nodes[name], str(error)))

    # -- runs of others

    def wait(self, name: str, holder: Holder) -> None:
        """Somebody else executes a node: it holds no place meanwhile."""
        self.waits[name] = holder.run_id
        self.tell(f"{name}: waits for run {holder.run_id[:8]} of {holder.user}")

    def look_at_others(self) -> None:
        """Asks, now and then, whether the runs that are waited for are over."""
        now, run_ids = time.monotonic(), set(self.waits.values())
        if run_ids and now - self.looked > min(1.0, LEASE_TIMEOUT / 10):
            self.looked = now + LEASE_TIMEOUT  # not again before the answer
            self.workers.do(partial(self.over, run_ids), self.look_at_waiting, self.ask_later)

    def over(self, run_ids: set[str]) -> list[str]:
        """Those of these runs that are over."""
        return [run_id for run_id in run_ids if self.watch.is_over(run_id)]

    def look_at_waiting(self, run_ids: Sequence[str]) -> None:
        """The nodes that waited for these runs are looked at again."""
        self.looked = time.monotonic()
        for name in [name for name, run_id in self.waits.items() if run_id in run_ids]:
            del self.waits[name]
            self.board.look_again(name)

    def ask_later(self, error: BaseException) -> None:
        """A question that could not be asked is asked again, unless that is of no use."""
        self.looked = time.monotonic()
        if not isinstance(error, MlflowException | OSError):
            raise error
