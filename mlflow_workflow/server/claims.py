"""One execution per fingerprint at a time, agreed on through the tracking server alone.

Who wants to execute a fingerprint makes a run that bears it as a claim, and then looks who else does.
Of two who do so, at least one sees the other, since each writes before it looks. So: yield to one that
holds the claim, and to one whose run id is lower; wait until those with a higher id have yielded, or
hold it because they looked before we wrote; then hold it. (Lamport's bakery, with run ids as numbers.)
It needs no permission but to make runs, and leaves nothing behind.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mlflow.entities import Run

from mlflow_workflow.basics.processes import owner_is_gone
from mlflow_workflow.server.lookup import is_claim
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import HELD, OWNER, USER

PAUSE = 0.05
"""Seconds between two looks whether the others have yielded: they do at their next look."""


@dataclass(frozen=True)
class Holder:
    """Somebody else's run that executes, or is about to execute, the same."""

    run_id: str
    user: str


def holder(run: Run) -> Holder:
    """Whose run it is."""
    return Holder(run.info.run_id, run.data.tags.get(USER, "?"))


def take(
    store: Store, key: str, run_id: str, keys: list[str], given_up: Callable[[], bool]
) -> Holder | None:
    """Takes the claim of a key for a run that bears it in its tags `keys` as wanted.

    Returns:
        None once it is ours, or `given_up` says that nobody wants it; else whose it is.
    """
    while not given_up():
        others = rivals(store, key, run_id)
        held = [run for run in others if run.data.tags[key] == HELD]
        ahead = [*held, *(run for run in others if run.info.run_id < run_id)]
        if ahead:
            return holder(ahead[0])
        if not others:
            store.tag(run_id, dict.fromkeys(keys, HELD))
            return None
        time.sleep(PAUSE)
    return None


def rivals(store: Store, key: str, run_id: str) -> list[Run]:
    """The runs of others that claim a key; those of processes that are certain to be gone do not."""
    found = [run for run in store.tagged(key) if is_claim(run, key)]
    # A run of our own process is not another's, even one that a lost answer made twice.
    mine = {run.data.tags[OWNER] for run in found if run.info.run_id == run_id}
    others = (run for run in found if run.data.tags[OWNER] not in mine)
    return [run for run in others if not owner_is_gone(run.data.tags[OWNER])]
