"""Why a step runs: what differs from the nearest earlier run of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mlflow_workflow.basics.durations import ago
from mlflow_workflow.identity.fingerprint import (
    Identity,
    differences,
    equal_ingredients,
    near_keys,
    summary,
)
from mlflow_workflow.server.earlier import Earlier

MOST_DIFFERENCES = 4
CODE = "code"
LIKELY = ("code", "parameters", "upstream", "data", "environment", "command")
"""The kinds of ingredients, those that change most often first."""


@dataclass(frozen=True)
class Nearest:
    """The earlier run with the most ingredients in common, and what differs, in words.

    `same_files` tells that only the commit is another, not the step's own files.
    """

    earlier: Earlier
    differences: tuple[str, ...]
    same_files: bool = False


def nearest_run(
    mode: str,
    identities: Mapping[str, Identity],
    near: Callable[[str], Sequence[Earlier]],
    recent: Callable[[], Sequence[Earlier]],
) -> Nearest | None:
    """The nearest earlier run; None if there is none.

    `near` finds, by an index, the runs that differ in one kind of ingredient only, however old. None can
    be nearer than one that differs in a single ingredient: then no other kind is asked about, and only
    if there is none in any kind are the `recent` runs looked at too.
    """
    now, files = summary(identities[mode]), summary(identities[CODE])
    one_differs = equal_ingredients(now, now) - 1

    def same_files(earlier: Earlier) -> bool:
        return not earlier.unusable and earlier.summaries.get(CODE) == files

    def nearness(earlier: Earlier) -> tuple[int, bool, float]:
        return equal_ingredients(now, earlier.summaries[mode]), same_files(earlier), earlier.started

    best: Earlier | None = None
    keys = near_keys(identities[CODE])
    ways: list[Callable[[], Sequence[Earlier]]] = [partial(near, keys[kind]) for kind in LIKELY]
    for find in [*ways, recent]:
        found = [*comparable(mode, find()), *([best] if best else [])]
        best = max(found, key=nearness, default=None)
        if best and nearness(best)[0] >= one_differs:
            break
    if best is None:
        return None
    return Nearest(best, tuple(differences(now, best.summaries[mode])), same_files(best))


def comparable(mode: str, found: Iterable[Earlier]) -> list[Earlier]:
    """The runs that say what they were made of."""
    return [earlier for earlier in found if mode in earlier.summaries]


def in_words(nearest: Nearest | None) -> str:
    """`alpha 0.5 → 0.7 (nearest: run 3f2a1b9c, 2 h ago)`; first of all what would help."""
    if nearest is None:
        return "not done yet"
    all_found = nearest.differences or ("a detail too long to show",)
    more = len(all_found) - MOST_DIFFERENCES
    words = ", ".join(all_found[:MOST_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
    run, age = nearest.earlier.run_id[:8], ago(nearest.earlier.age)
    if nearest.same_files:
        return f"match=code reuses run {run} ({age}): {words}"
    return f"{words} (nearest: run {run}, {age})"
