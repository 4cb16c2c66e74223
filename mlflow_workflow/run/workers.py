"""What takes time is done by threads; what is to be done about it, by the one loop, as events.

The threads are daemons: one that is stuck in a request does not keep the process from ending.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

Answer = TypeVar("Answer")
Event = Callable[[], None]
"""What the loop does about something that happened."""


class Workers:
    """A few threads, and the events that they and others leave for the loop."""

    def __init__(self, count: int) -> None:
        self.work: SimpleQueue[Event | None] = SimpleQueue()
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.threads = [threading.Thread(target=self.serve, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def serve(self) -> None:
        """Works until told to end."""
        while work := self.work.get():
            work()

    def do(
        self,
        work: Callable[[], Answer],
        then: Callable[[Answer], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        """Has something done by a thread, and then something about its answer, or error, by the loop."""

        def task() -> None:
            try:
                answer = work()
            except BaseException as error:
                self.events.put(partial(broken, error))
            else:
                self.events.put(partial(then, answer))

        self.work.put(task)

    def wake(self) -> None:
        """From any thread: there may be something new for the loop."""
        self.events.put(lambda: None)

    def take_events(self, seconds: float) -> None:
        """In the loop: waits so long for an event, and does all that there is to do."""
        with suppress(Empty):
            self.events.get(timeout=seconds)()
            while True:
                self.events.get_nowait()()

    def close(self, seconds: float) -> None:
        """Ends the threads once they have done what they were given, and waits so long at most."""
        for _ in self.threads:
            self.work.put(None)
        for thread in self.threads:
            thread.join(seconds)
