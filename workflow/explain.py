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
    """The earlier run with the most ingredients in common, and what differs, in words."""

    earlier: Earlier
    differences: tuple[str, ...]


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
    best = max(comparable, key=lambda e: (equal_ingredients(now, e.summaries[mode]), e.started))
    return Nearest(best, tuple(differences(now, best.summaries[mode])))


def usual_seconds(lately: Sequence[Earlier]) -> float:
    """How long the step took lately: the median; 0 if it never ran."""
    return median(earlier.seconds for earlier in lately) if lately else 0.0


def in_words(nearest: Nearest | None) -> str:
    """`alpha 0.5 → 0.7 (nearest: run 3f2a1b9c, 2 h ago)`."""
    if nearest is None:
        return "never ran"
    all_found = nearest.differences or ("a detail too long to show",)
    more = len(all_found) - MOST_DIFFERENCES
    words = ", ".join(all_found[:MOST_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
    return f"{words} (nearest: run {nearest.earlier.run_id[:8]}, {ago(nearest.earlier.age)})"
