"""Life signs: whose runs are in progress, and what becomes of those whose orchestrator died.

A run in progress bears the tag OWNER until its orchestrator is done with it. Death is certain when
the owner is a process of this machine that is no more; of others it is judged by a heartbeat that
does not change, on one's own clock: other machines' clocks may be wrong.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mlflow.entities import Run

from mlflow_workflow.basics.processes import end_processes_of, owner_is_gone
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import NOTE, OWNER, PARENT, PUBLISHED

PATIENCE = float(os.environ.get("WORKFLOW_LEASE_SECONDS", "30"))
"""Seconds without a new heartbeat, on one's own clock, after which an orchestrator counts as dead."""
BEAT = min(5.0, PATIENCE / 4)
"""Seconds between two heartbeats."""
HEARTBEAT = "workflow.heartbeat"
EPITAPH = "Its orchestrator died, or was not heard of for long; another one closed this run."


def in_progress(run: Run) -> bool:
    """Does an orchestrator still have something to do with it? It removes its tag at the very end."""
    return OWNER in run.data.tags and run.info.lifecycle_stage == "active"


@dataclass
class Pulse:
    """What was seen of one run's heartbeat, and since when."""

    beat: str | None = None
    since: float = field(default_factory=time.monotonic)
    looked: float = field(default_factory=time.monotonic)

    def stopped(self, beat: str | None) -> bool:
        """After another look: has it not changed for too long?"""
        now = time.monotonic()
        # A gap between two looks means that we slept or could not ask: then it could not beat either.
        if beat != self.beat or now - self.looked > PATIENCE * 2 / 3:
            self.since = now
        self.beat, self.looked = beat, now
        return now - self.since > PATIENCE


def wait_for(store: Store, run_id: str, stopping: Callable[[], bool]) -> bool:
    """Waits until a run's orchestrator is done with it; False if that died meanwhile."""
    pulse = Pulse()
    while not stopping():
        run = store.known_run(run_id)
        if run is None or not in_progress(run):
            return True
        tags = run.data.tags
        if owner_is_gone(tags[OWNER]) or pulse.stopped(tags.get(HEARTBEAT)):
            return False
        time.sleep(min(1.0, PATIENCE / 10))
    return True


def close_dead(store: Store, owner: str) -> list[str]:
    """Ends all that a dead orchestrator had in progress, its parent run too; returns the runs' ids."""
    runs = [run for run in store.runs_tagged(OWNER) if run.data.tags[OWNER] == owner]
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
            store.end(run_id, "KILLED", even_finished=True)
        store.tag(run_id, {NOTE: EPITAPH})
    store.untag(run_id, OWNER)


def close_debris(store: Store) -> list[str]:
    """Ends what orchestrators that died on this machine had in progress; returns the runs' ids."""
    owners = {run.data.tags[OWNER] for run in store.runs_tagged(OWNER)}
    dead = sorted(owner for owner in owners if owner_is_gone(owner))
    return [run_id for owner in dead for run_id in close_dead(store, owner)]


@contextlib.contextmanager
def heartbeats(store: Store, run_ids: Callable[[], list[str]]) -> Iterator[None]:
    """Renews the leases of these runs while the block lasts, and closes the runs of silent others."""
    over = threading.Event()
    others: dict[str, Pulse] = {}

    def beat() -> None:
        count = 0
        looked = time.monotonic()
        while not over.wait(BEAT):
            count += 1
            for run_id in run_ids():
                # A server that is away for a while must not end the heart; it tries again.
                with contextlib.suppress(Exception), store.patience.noticed():
                    store.client.set_tag(run_id, HEARTBEAT, str(count))
            if time.monotonic() - looked > PATIENCE / 5:
                looked = time.monotonic()
                with contextlib.suppress(Exception):
                    close_silent(store, others)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=1)


def close_silent(store: Store, pulses: dict[str, Pulse]) -> None:
    """Another look at everybody's heartbeats; closes what belongs to those that stopped."""
    for run in store.runs_tagged(OWNER):
        pulse = pulses.setdefault(run.info.run_id, Pulse())
        if pulse.stopped(run.data.tags.get(HEARTBEAT)):
            close_dead(store, run.data.tags[OWNER])
