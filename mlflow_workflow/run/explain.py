"""Why a step runs: what differs from the nearest earlier run of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlflow_workflow.basics.durations import ago
from mlflow_workflow.identity.fingerprint import (
    Identity,
    differences,
    equal_ingredients,
    near_keys,
    summary,
)
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.lookup import find_near
from mlflow_workflow.server.store import Store

MOST_DIFFERENCES = 4
CODE = "code"


@dataclass(frozen=True)
class Nearest:
    """The earlier run with the most ingredients in common, and what differs, in words.

    `same_files` tells that only the commit is another, not the step's own files.
    """

    earlier: Earlier
    differences: tuple[str, ...]
    same_files: bool = False


def nearest_run(
    store: Store,
    mode: str,
    identities: Mapping[str, Identity],
    recent: Callable[[], Sequence[Earlier]],
) -> Nearest | None:
    """The nearest earlier run, by a bounded number of indexed queries; None if there is none.

    One query per kind finds the runs that differ in nothing else, however old. None can be nearer than
    one that differs in a single ingredient; only without such a one the `recent` runs are looked at too.
    """
    now, files = summary(identities[mode]), summary(identities[CODE])

    def same_files(earlier: Earlier) -> bool:
        return not earlier.unusable and earlier.summaries.get(CODE) == files

    def nearness(earlier: Earlier) -> tuple[int, bool, float]:
        return equal_ingredients(now, earlier.summaries[mode]), same_files(earlier), earlier.started

    step = identities[mode].step
    keys = dict.fromkeys(near_keys(identities[CODE]).values())
    found = comparable(mode, (e for key in keys for e in find_near(store, step, key)))
    best = max(found, key=nearness, default=None)
    if best is None or nearness(best)[0] < equal_ingredients(now, now) - 1:
        best = max([*found, *comparable(mode, recent())], key=nearness, default=None)
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
