"""Why a step runs: what differs from the nearest earlier run of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from workflow.durations import ago
from workflow.fingerprint import Identity, differences, equal_ingredients, near_keys, summary
from workflow.plan import Earlier
from workflow.store import Store

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


def nearest_run(store: Store, mode: str, identities: Mapping[str, Identity]) -> Nearest | None:
    """The nearest earlier run, by a bounded number of indexed queries; None if there is none.

    One query per ingredient finds the runs that differ in nothing else, however old; one finds the
    newest runs of the step, for when several ingredients differ.
    """
    identity = identities[mode]
    found = {e.run_id: e for e in store.find_lately(identity.step)}
    for key in near_keys(identities[CODE]).values() if found else ():
        found.update({e.run_id: e for e in store.find_near(identity.step, key)})
    now = summary(identity)
    comparable = [e for e in found.values() if mode in e.summaries]
    if not comparable:
        return None
    files = summary(identities[CODE])

    def same_files(earlier: Earlier) -> bool:
        return not earlier.unusable and earlier.summaries.get(CODE) == files

    best = max(
        comparable,
        key=lambda e: (equal_ingredients(now, e.summaries[mode]), same_files(e), e.started),
    )
    return Nearest(best, tuple(differences(now, best.summaries[mode])), same_files(best))


def usual_seconds(lately: Sequence[Earlier]) -> float:
    """How long the step took lately: the median; 0 if it never ran."""
    return median(earlier.seconds for earlier in lately) if lately else 0.0


def in_words(nearest: Nearest | None) -> str:
    """`alpha 0.5 → 0.7 (nearest: run 3f2a1b9c, 2 h ago)`."""
    if nearest is None:
        return "not done yet"
    all_found = nearest.differences or ("a detail too long to show",)
    more = len(all_found) - MOST_DIFFERENCES
    words = ", ".join(all_found[:MOST_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
    what = "match=code would reuse" if nearest.same_files else "nearest:"
    return f"{words} ({what} run {nearest.earlier.run_id[:8]}, {ago(nearest.earlier.age)})"
