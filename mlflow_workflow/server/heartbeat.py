"""Life signs: whose runs are in progress, and what becomes of those whose orchestrator died.

A run in progress bears the tag OWNER until its orchestrator is done with it. The orchestrator's heart
beats on its parent run alone, however many children it has. Death is certain when the owner is a
process of this machine that is no more; of others it is judged by a heartbeat that does not change, on
one's own clock: other machines' clocks may be wrong.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlflow.entities import Run

from mlflow_workflow.basics.processes import end_processes_of, owner_is_gone
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import FINGERPRINT, HEARTBEAT, NOTE, OWNER, PARENT, PUBLISHED

LEASE_TIMEOUT = float(os.environ.get("WORKFLOW_LEASE_SECONDS", "30"))
"""Seconds without a new heartbeat, on one's own clock, after which an orchestrator counts as dead."""
BEAT = min(5.0, LEASE_TIMEOUT / 4)
"""Seconds between two heartbeats."""
EPITAPH = "Its orchestrator died, or was not heard of for long; another one closed this run."


def in_progress(run: Run) -> bool:
    """Does an orchestrator still have something to do with it? It removes its tag at the very end."""
    return OWNER in run.data.tags and run.info.lifecycle_stage == "active"


@dataclass
class Pulse:
    """What was seen of one heartbeat, and since when."""

    beat: str | None = None
    since: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)

    def stopped(self, beat: str | None) -> bool:
        """After another look: has it not changed for too long?"""
        now = time.monotonic()
        # A gap between two looks means that we slept or could not ask: then it could not beat either.
        if beat != self.beat or now - self.looked > LEASE_TIMEOUT * 2 / 3:
            self.since = now
        self.beat, self.looked = beat, now
        return now - self.since > LEASE_TIMEOUT


@dataclass
class Watch:
    """Looks at runs of other orchestrators, again and again; `pulses` by parent run."""

    store: Store
    pulses: dict[str, Pulse] = field(default_factory=dict)

    def is_over(self, run_id: str) -> bool:
        """Is its orchestrator done with a run? Closes all that a dead one had in progress."""
        run = self.store.known_run(run_id)
        if run is None or not in_progress(run):
            return True
        if self.is_dead(run):
            close_dead(self.store, run.data.tags[OWNER])
            return True
        return False

    def is_dead(self, run: Run) -> bool:
        """Is a run's orchestrator dead, as far as one can know?"""
        if owner_is_gone(run.data.tags[OWNER]):
            return True
        heart: Run | None = run
        if HEARTBEAT not in run.data.tags and PARENT in run.data.tags:
            heart = self.store.known_run(run.data.tags[PARENT])
        beat = heart.data.tags.get(HEARTBEAT) if heart else None
        beats = heart.info.run_id if heart else run.info.run_id
        return self.pulses.setdefault(beats, Pulse()).stopped(beat)

    def close_silent(self) -> None:
        """Another look at everybody's heartbeats; closes what belongs to those that stopped."""
        for parent in self.store.all_runs(f"tags.`{OWNER}` LIKE '%' and tags.`{HEARTBEAT}` LIKE '%'"):
            if in_progress(parent) and self.is_dead(parent):
                close_dead(self.store, parent.data.tags[OWNER])


def close_dead(store: Store, owner: str) -> list[str]:
    """Ends all that a dead orchestrator had in progress, its parent run too; returns the runs' ids."""
    runs = [run for run in store.tagged(OWNER) if run.data.tags[OWNER] == owner]
    for run in runs:
        if owner_is_gone(owner) and PARENT in run.data.tags:
            # Or a step that is just ending would set the status of its run once more.
            end_processes_of(run.info.run_id)
        close(store, run)
    return [run.info.run_id for run in runs]


def close(store: Store, run: Run) -> None:
    """Ends a run and says so on it, unless all was done but the last word."""
    run_id, status = run.info.run_id, run.info.status
    finished = status == "FINISHED" and (PUBLISHED in run.data.tags or PARENT not in run.data.tags)
    if not finished:
        if status not in ("FAILED", "KILLED"):
            store.end(run_id, "KILLED")
        store.tag(run_id, {NOTE: EPITAPH})
    claims = (
        [] if PUBLISHED in run.data.tags else [k for k in run.data.tags if k.startswith(FINGERPRINT)]
    )
    # The owner's tag first: without it the sleeper, should it wake, discards its result.
    store.untag(run_id, OWNER, *claims)


def close_debris(store: Store) -> list[str]:
    """Ends what orchestrators that died on this machine had in progress; returns the runs' ids."""
    owners = {run.data.tags[OWNER] for run in store.tagged(OWNER)}
    dead = sorted(owner for owner in owners if owner_is_gone(owner))
    return [run_id for owner in dead for run_id in close_dead(store, owner)]


def withdraw_strays(store: Store, owner: str, parent: str) -> None:
    """Removes runs of ours that nobody knows of: an answer was lost, and the run was made twice."""
    for run in list(store.tagged(OWNER)):
        if run.data.tags[OWNER] == owner and run.info.run_id != parent:
            store.untag(run.info.run_id, OWNER)
            store.withdraw(run.info.run_id)


@contextlib.contextmanager
def heartbeats(store: Store, parent: str) -> Iterator[None]:
    """Beats on the parent run while the block lasts, and closes the runs of silent others."""
    over, watch = threading.Event(), Watch(store)

    def beat() -> None:
        count, looked = 0, time.monotonic()
        while not over.wait(BEAT):
            count += 1
            # A server that is away for a while must not end the heart; it tries again.
            with contextlib.suppress(Exception), store.patience.noticed():
                store.client.set_tag(parent, HEARTBEAT, str(count))
            if time.monotonic() - looked > LEASE_TIMEOUT / 5:
                looked = time.monotonic()
                with contextlib.suppress(Exception):
                    watch.close_silent()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=1)
