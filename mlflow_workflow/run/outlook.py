"""How far an execution is, and how long what runs will take, for the terminal."""

import contextlib
import time

from mlflow_workflow.report.terminal import Progress, Running
from mlflow_workflow.run.execute import Loop


def progress(loop: Loop, drawn: bool) -> Progress:
    """How far a loop is now. How long steps take is asked for only if that is `drawn`."""
    acting = loop.acting
    running = [
        Running(
            node=each.node.name,
            seconds=time.time() - each.began,
            expected=expected(loop, each.node.step.name) if drawn else 0.0,
            log=acting.children.engine.log(each.run_id),
        )
        for each in (list(acting.running.values()) if acting else ())
        if acting
    ]
    return Progress(len(loop.board.done), len(loop.board.nodes), running)


def expected(loop: Loop, step: str) -> float:
    """How long a step took lately: not worth waiting for a server, or an error."""
    with contextlib.suppress(Exception):
        return loop.world.usual_seconds(step)
    return 0.0
