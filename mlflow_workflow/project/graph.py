"""The graph: the steps of MLproject, what each reads from which, and the order they run in."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

from mlflow_workflow.basics.errors import WorkflowError, suggestion

MAIN = "main"


@dataclass(frozen=True)
class Parameter:
    """One parameter of an entry point; `default` is text as MLflow would pass it, None if required."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True)
class Step:
    """One entry point of MLproject.

    `upstream` are the names of the parameters that receive another step's outputs; `sources` the
    globs that replace the files found by following imports; `env` the environment variables whose
    values count; `timeout` is in seconds; `preload` are the packages that it may find imported, None if
    it wants a new Python.
    """

    name: str
    command: str
    parameters: Mapping[str, Parameter]
    upstream: tuple[str, ...] = ()
    sources: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    timeout: float | None = None
    retries: int = 0
    preload: tuple[str, ...] | None = None
    entry: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def own_parameters(self) -> dict[str, Parameter]:
        """The parameters that a person sets: all but the upstream ones."""
        return {n: p for n, p in self.parameters.items() if n not in self.upstream}


@dataclass(frozen=True)
class Workflow:
    """The steps of an MLproject, `main`'s own parameters, and the environment file it names."""

    main: Step
    steps: Mapping[str, Step]
    environment_file: str | None = None

    def order(self, task: str) -> list[str]:
        """The task and every step above it, upstream first.

        Raises:
            WorkflowError: no such step, or a cycle.
        """
        if task not in self.steps:
            raise WorkflowError(f"unknown task {task!r}{suggestion(task, self.steps)}")
        needed: dict[str, tuple[str, ...]] = {}
        waiting = [task]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed[name] = self.steps[name].upstream
                waiting.extend(needed[name])
        return list(TopologicalSorter(needed).static_order())

    def below(self, names: set[str]) -> set[str]:
        """These steps and every step that reads from them, directly or not."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.readers.get(name, ())
        return found

    @cached_property
    def readers(self) -> Mapping[str, list[str]]:
        """Step → the steps that read its outputs."""
        found: dict[str, list[str]] = {}
        for step in self.steps.values():
            for above in step.upstream:
                found.setdefault(above, []).append(step.name)
        return found


def command_words(command: str) -> list[str]:
    """The words of a command, as a shell splits them (a command no shell can split: at spaces)."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
