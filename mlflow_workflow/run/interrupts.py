"""Signals that ask the workflow to end."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlflow_workflow.basics.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 5.0
"""Seconds within which another signal means the same: `mlflow run` passes Ctrl-C on as SIGTERM."""


@contextmanager
def signals_raise() -> Iterator[None]:
    """The first signal raises Interrupted in the main thread; one that comes much later ends at once.

    What whoever started this wants ignored (nohup ignores SIGHUP) stays ignored.
    """
    first: list[float] = []

    def interrupt(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            raise Interrupted(number)
        if now - first[0] > GRACE:
            # Supervisors end the steps, and the next orchestrator closes the runs.
            os._exit(128 + number)

    handlers = {n: signal.getsignal(n) for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN}
    for number in handlers:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
