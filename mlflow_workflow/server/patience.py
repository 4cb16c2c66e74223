"""How long a tracking server may be away: it is waited for, with a message, and not for ever."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import requests
from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.errors import ServerGone

LOOK = 0.5
TELL_AFTER = 5.0
"""Seconds without an answer after which the user is told."""
GIVE_UP = float(os.environ.get("WORKFLOW_SERVER_SECONDS", "300"))
"""Seconds after which an unanswered call is not made again. MLflow's own retries of the last one,
about 4 minutes by default, may come on top."""
LASTING = ("no such", "readonly", "read-only", "denied", "authentication", "does not exist")
"""Words in a database's error that say that trying again is of no use."""
ERRORS = (MlflowException, requests.ConnectionError, requests.Timeout)
Answer = TypeVar("Answer")


@dataclass
class Patience:
    """What one process has been through with one tracking server.

    `asking` are the threads that wait for an answer, and since when; `under_way` those of single
    requests. `told`: the user knows that it does not answer. `hurried`: nobody has time to wait for it.
    `over`: it is not asked any more.
    """

    name: str
    tell: Callable[[str], None]
    lock: threading.Lock = field(default_factory=threading.Lock)
    asking: dict[int, float] = field(default_factory=dict)
    under_way: dict[int, float] = field(default_factory=dict)
    told: bool = False
    hurried: bool = False
    over: bool = False

    def __post_init__(self) -> None:
        threading.Thread(target=self.watch, name="patience", daemon=True).start()

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """What the call gives, made again while the server is away.

        Raises:
            ServerGone: it was away for too long, in this call or an earlier one.
        """
        with self.noticed():
            return self.insist(call)

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Tells the user when the server does not answer what the block asks, and when it does again."""
        self.asking[threading.get_ident()] = time.monotonic()
        try:
            yield
        except (*ERRORS, ServerGone) as error:
            if isinstance(error, ServerGone) or is_away(error):
                self.tell_away()
            raise
        finally:
            self.asking.pop(threading.get_ident(), None)
        self.tell_back()

    def watch(self) -> None:
        """Looks whether an answer is long in coming: a timer for each question would cost more."""
        while True:
            time.sleep(LOOK)
            if any(time.monotonic() - since > TELL_AFTER for since in list(self.asking.values())):
                self.tell_away()

    def is_silent(self, seconds: float) -> bool:
        """Is a request, or an upload, under way for so long?"""
        return any(time.monotonic() - since > seconds for since in list(self.under_way.values()))

    def insist(self, call: Callable[[], Answer]) -> Answer:
        """As `ask`, for what may take long though the server is there: only a failure is told."""
        began = time.monotonic()
        while not self.over:
            self.under_way[threading.get_ident()] = time.monotonic()
            try:
                return call()
            except ERRORS as error:
                if not is_away(error):
                    raise
                self.tell_away()
                self.over = self.over or self.hurried or time.monotonic() - began > GIVE_UP
            finally:
                self.under_way.pop(threading.get_ident(), None)
            if not self.over:
                time.sleep(min(1.0, GIVE_UP / 10))
        raise ServerGone(f"the tracking server {self.name} did not answer for {GIVE_UP:g} s")

    def hurry(self) -> None:
        """From now on a server that is away is not waited for: we are about to end.

        That it was silent before proves nothing: a call may take long though it is there. MLflow's
        own retries would take minutes.
        """
        self.hurried = True
        retries = min(1, MLFLOW_HTTP_REQUEST_MAX_RETRIES.get())  # type: ignore[no-untyped-call]
        os.environ[MLFLOW_HTTP_REQUEST_MAX_RETRIES.name] = str(retries)

    def tell_away(self) -> None:
        """Says once that the server is away."""
        with self.lock:
            if not self.told:
                self.told = True
                self.tell(f"waits for the tracking server {self.name} …")

    def tell_back(self) -> None:
        """Says that it is back, if it was said that it is away."""
        with self.lock:
            if self.told:
                self.told = False
                self.tell("the tracking server answers again")


def is_away(error: Exception) -> bool:
    """Did the server not answer, so that it may answer later? A locked database counts as that."""
    if not isinstance(error, MlflowException):
        return True
    text = str(error).lower()
    if error.error_code == "TEMPORARILY_UNAVAILABLE":
        return not any(word in text for word in LASTING)
    return "failed with exception" in text or "failed with timeout exception" in text
