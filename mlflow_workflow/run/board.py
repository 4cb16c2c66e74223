"""How far every node is: the one thing that the loop keeps in mind."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.outcome import Outcome


@dataclass
class Board:
    """The nodes of a request, each of them waiting for others, ready, under way, or done.

    `done` are the outcomes, `needed` the nodes whose outputs turned out to be read by somebody.
    """

    nodes: Mapping[str, Node]
    done: dict[str, Outcome] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    healings: dict[str, int] = field(default_factory=dict)
    ready: deque[str] = field(default_factory=deque)
    waiting: set[str] = field(default_factory=set)
    below: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.below = {name: [] for name in self.nodes}
        for name in self.nodes:
            self.await_upstream(name)
            for above in set(self.nodes[name].upstream.values()):
                self.below[above].append(name)

    @property
    def finished(self) -> bool:
        """Has every node its outcome?"""
        return len(self.done) == len(self.nodes)

    def upstream(self, name: str) -> dict[str, Outcome]:
        """The outcomes of the nodes that a node reads, as far as they are done."""
        above = self.nodes[name].upstream.values()
        return {each: self.done[each] for each in above if each in self.done}

    def take_ready(self) -> Iterator[str]:
        """The nodes whose upstream is done, each once."""
        while self.ready:
            yield self.ready.popleft()

    def done_with(self, name: str, outcome: Outcome) -> None:
        """A node is done: those below it that have waited for nothing else are ready."""
        self.done[name] = outcome
        for each in self.below[name]:
            if each in self.waiting and self.can_be_looked_at(each):
                self.waiting.discard(each)
                self.ready.append(each)

    def await_upstream(self, name: str) -> None:
        """A node is looked at (again) as soon as all that it reads is done."""
        if self.can_be_looked_at(name):
            self.ready.append(name)
        else:
            self.waiting.add(name)

    def can_be_looked_at(self, name: str) -> bool:
        """Is all done that it reads? What was done may have been reopened."""
        return all(above in self.done for above in self.nodes[name].upstream.values())

    def look_again(self, name: str) -> None:
        """A node that was on its way is looked at anew."""
        self.ready.append(name)

    def reopen(self, name: str) -> None:
        """A node that was done must be done again, with outputs that are whole."""
        self.needed.add(name)
        if self.done.pop(name, None):
            self.healings[name] = self.healings.get(name, 0) + 1
            self.await_upstream(name)
