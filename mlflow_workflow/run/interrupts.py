"""Signals that ask the workflow to end."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from mlflow_workflow.basics.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_WAIT = 6.0
"""Seconds after a signal that a server may keep us waiting; then steps end as we do (supervisor.py)."""
GRACE = 5.0
"""Seconds within which another signal means the same: `mlflow run` passes Ctrl-C on as SIGTERM."""


@contextmanager
def signals_raise(hopeless: Callable[[float], bool]) -> Iterator[None]:
    """The first signal raises Interrupted in the main thread; one that comes much later ends at once.

    So does one after which a server keeps us waiting: `hopeless` tells whether it has for so many
    seconds. What whoever started this wants ignored (nohup ignores SIGHUP) stays ignored.
    """
    first: list[float] = []

    def end_if_hopeless(number: int) -> None:
        while not hopeless(LONGEST_WAIT) or time.monotonic() - first[0] < LONGEST_WAIT:
            time.sleep(0.2)
        os._exit(128 + number)

    def interrupt(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            threading.Thread(target=end_if_hopeless, args=[number], daemon=True).start()
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
