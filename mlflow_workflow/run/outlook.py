"""How far an execution is, and how long what runs will take, for the terminal."""

import contextlib
import time
from dataclasses import dataclass, field

from mlflow_workflow.report.terminal import Progress, Running
from mlflow_workflow.run.execute import Execution


@dataclass
class Outlook:
    """One execution as it is watched; `verbose` follows the log of a step to its end, too.

    How long steps take is asked for only if it is `drawn`.
    """

    execution: Execution
    verbose: bool
    drawn: bool
    usual: dict[str, float] = field(default_factory=dict)

    def progress(self) -> Progress:
        """How far it is now."""
        execution, children = self.execution, self.execution.children
        started = dict(children.started) if children else {}
        alive = set(children.running) if children else set()
        running = [
            Running(
                node=node.name,
                seconds=time.time() - began,
                expected=self.expected(node.step.name),
                log=execution.folder / f"{run_id}.log",
            )
            for run_id, (node, began) in started.items()
            if run_id in alive or self.verbose
        ]
        return Progress(len(execution.outcomes), len(execution.nodes), running)

    def expected(self, step: str) -> float:
        """How long a step took lately: asked for once, and not worth waiting for a server."""
        if self.drawn and step not in self.usual:
            self.usual[step] = 0.0
            with contextlib.suppress(Exception):
                self.usual[step] = self.execution.lately.usual_seconds(step)
        return self.usual.get(step, 0.0)
