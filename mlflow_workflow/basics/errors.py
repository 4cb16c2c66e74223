"""The ways in which a workflow ends early that are nobody's bug: each is one sentence."""

from collections.abc import Iterable
from difflib import get_close_matches


class WorkflowError(Exception):
    """What was asked for cannot be done; says what is wrong, where, and what to do. Exit code 2."""


class ServerGone(Exception):
    """The tracking server did not answer for long. Exit code 1."""


class Interrupted(BaseException):
    """A signal asked the workflow to end. Not an Exception, so that no handler swallows it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known word nearest to a mistyped one, else what there is."""
    names = sorted(known)
    nearest = get_close_matches(word, names, n=1, cutoff=0.5)
    if nearest:
        return f"; did you mean {nearest[0]!r}?"
    return f"; there is {', '.join(names)}" if names else ""
