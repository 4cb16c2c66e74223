"""What fails may work a moment later: stores of artifacts have errors that pass."""

import time
from collections.abc import Callable
from typing import TypeVar

from mlflow_workflow.basics.errors import ServerGone

TRIES = 3
PAUSE = 1.0
"""Seconds before the second try; twice that before the third."""
Answer = TypeVar("Answer")


def persistently(call: Callable[[], Answer]) -> Answer:
    """What the call gives, at the third try at the latest. Raises what that raises."""
    for attempt in range(1, TRIES):
        try:
            return call()
        except ServerGone:
            raise
        except Exception:  # every kind of store has a library with errors of its own
            time.sleep(PAUSE * attempt)
    return call()
