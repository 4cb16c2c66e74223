"""The executions that are under way, from a free place to the outcome: begin → job → finish."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from mlflow_workflow.launch.engine import Ended, Job
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.child import LEASE_LOST, Children, Obstacle
from mlflow_workflow.run.execution import Execution
from mlflow_workflow.run.workers import Workers
from mlflow_workflow.server.claims import Holder

DRAIN = 30.0
"""Seconds that steps and their runs have to end when the workflow is asked to. A server that does not
answer ends the wait sooner: interrupts.py."""


@dataclass
class UnderWay:
    """Executes nodes, as many at a time as there are places.

    What comes of one is told to the loop: `done` with its outcome, `again` if it must be decided anew,
    `wait` if somebody else's run does it, `broken` with an error. `places` are the nodes that hold one,
    `equal` maps what is under way to nodes of the same identity, `ending` tells that all is to end.
    """

    children: Children
    workers: Workers
    jobs: int
    tell: Callable[[str], None]
    done: Callable[[Outcome], None]
    again: Callable[[str], None]
    wait: Callable[[str, Holder], None]
    broken: Callable[[str, BaseException], None]
    queue: deque[Execution] = field(default_factory=deque)
    places: set[str] = field(default_factory=set)
    under_way: dict[str, Execution] = field(default_factory=dict)
    running: dict[str, Execution] = field(default_factory=dict)
    equal: dict[str, list[str]] = field(default_factory=dict)
    ending: bool = False

    def begin_queued(self) -> None:
        """Fills the free places. Of equal nodes the first is executed, the others look what it gives."""
        while self.queue and len(self.places) < self.jobs:
            execution = self.queue.popleft()
            name = execution.node.name
            if execution.key in self.equal:
                self.equal[execution.key].append(name)
                continue
            self.equal[execution.key] = []
            self.places.add(name)
            self.under_way[name] = execution
            self.workers.do(
                partial(self.children.begin, execution),
                partial(self.begun, execution),
                partial(self.failed, execution),
            )

    def begun(self, execution: Execution, obstacle: Obstacle | None) -> None:
        """A run was created and claimed, and its job starts; or something came between."""
        name = execution.node.name
        if obstacle is None:
            execution.began = time.time()
            self.running[execution.run_id] = execution
            self.tell(f"{name}: run {execution.run_id[:8]} starts: {execution.reason}")
            self.submit(execution)
            return
        self.leave(execution)
        if obstacle.holder:
            self.wait(name, obstacle.holder)
        else:
            self.again(name)

    def submit(self, execution: Execution) -> None:
        """Hands an execution to the engine, unless all is to end."""
        execution.attempts += 1
        if self.ending:
            self.ended(Ended(execution.run_id, "stopped", 0.0))
            return
        inputs = execution.known.inputs
        parameters = {**execution.node.values, **(inputs.folders if inputs else {})}
        self.children.engine.submit([Job(execution.run_id, execution.node.step, parameters)])

    def look_at_jobs(self) -> None:
        """Sees to the jobs that have ended."""
        for ended in self.children.engine.look():
            self.ended(ended)

    def ended(self, ended: Ended) -> None:
        """A job has ended: it is tried again, or finished; then its place is free."""
        execution = self.running[ended.run_id]
        failure = "stopped" if self.ending and ended.failure else ended.failure
        again = bool(failure) and not self.ending and execution.attempts <= execution.node.step.retries
        if again:
            self.tell(f"{execution.node.name}: run {ended.run_id[:8]} {failure}; tries again")
            work, then = partial(self.children.clear, execution), partial(self.cleared, execution)
            self.workers.do(work, then, partial(self.failed, execution))
            return
        execution.seconds = time.time() - execution.began
        del self.running[ended.run_id]
        if failure is None:  # else nothing begins before it is known whether anything shall
            self.places.discard(execution.node.name)
        self.workers.do(
            partial(self.children.finish, execution, failure),
            partial(self.finished, execution),
            partial(self.failed, execution),
        )

    def cleared(self, execution: Execution, _: None) -> None:
        """What a failed attempt left is gone."""
        self.submit(execution)

    def finished(self, execution: Execution, outcome: Outcome) -> None:
        """A run is published, or nobody will reuse it."""
        self.leave(execution)
        how = "is done" if outcome.state == State.RAN else outcome.failure
        self.tell(f"{outcome.node}: run {execution.run_id[:8]} {how}")
        if outcome.failure == LEASE_LOST:
            self.again(outcome.node)
        else:
            self.done(outcome)

    def failed(self, execution: Execution, error: BaseException) -> None:
        """Something of ours went wrong: the run is closed, as far as that is possible."""
        self.leave(execution)
        self.running.pop(execution.run_id, None)
        with suppress(Exception):
            self.children.give_up(execution)
        self.broken(execution.node.name, error)

    def leave(self, execution: Execution) -> None:
        """An execution is not under way any more: nodes of the same identity look what it gave."""
        self.places.discard(execution.node.name)
        self.under_way.pop(execution.node.name, None)
        for name in self.equal.pop(execution.key, []):
            self.again(name)

    def stop(self) -> None:
        """Ends every job and closes its run, within a while; no other begins."""
        self.ending = True
        self.queue.clear()
        self.children.engine.cancel(list(self.running))
        until = time.monotonic() + DRAIN
        while self.under_way and time.monotonic() < until:
            with suppress(Exception):
                self.look_at_jobs()
                self.workers.take_events(0.1)
        for execution in self.under_way.values():
            if not execution.finishing:  # else a worker may be publishing it at this moment
                self.children.give_up(execution)
