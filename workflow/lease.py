"""One execution per fingerprint at a time, agreed on through the tracking server alone.

A parameter of a run is write-once, and atomically so: of many who log the same name with different
values, one succeeds. So who may execute a fingerprint is written as parameters of one run that all
orchestrators of an experiment share, the ledger: `<fingerprint>.<epoch>` = the child run. Whoever
writes an epoch first holds it. A holder that died is passed over by writing the next epoch, and a
holder publishes by writing the next epoch itself, so one that was passed over cannot.
"""

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from workflow.store import BANNED, NOTE, PUBLISHED, UNUSABLE, Store

BEAT = 5.0
"""Seconds between two heartbeats of a running child."""
PATIENCE = float(os.environ.get("WORKFLOW_LEASE_SECONDS", "30"))
"""Seconds without a new heartbeat, seen on one's own clock, after which a holder counts as dead."""
LEDGERS = "workflow claims"
OWNER = "workflow.owner"
HEARTBEAT = "workflow.heartbeat"
DONE = "done "
MOST_EPOCHS = 10_000


@dataclass(frozen=True)
class Claim:
    """The right to execute a fingerprint, while nobody writes the next epoch."""

    fingerprint: str
    epoch: int


@dataclass(frozen=True)
class Held:
    """Somebody else's run has the right, or has just published a result."""

    run_id: str
    published: bool = False


@dataclass
class Claims:
    """The ledger of an experiment. `seen_bad` tells which published runs are known not to be usable."""

    store: Store
    seen_bad: Callable[[str], bool]
    lock: threading.Lock = field(default_factory=threading.Lock)
    ledger: str | None = None

    def take(self, fingerprint: str, run_id: str) -> Claim | Held:
        """Claims a fingerprint for a child run, or tells who has it."""
        for epoch in range(MOST_EPOCHS):
            holder = self.write(fingerprint, epoch, run_id)
            if holder == run_id:
                return Claim(fingerprint, epoch)
            other = self.store.run(holder.removeprefix(DONE))
            if in_progress(other):
                return Held(other.info.run_id)
            if holder.startswith(DONE) and self.is_result(other):
                return Held(other.info.run_id, published=True)
        raise RuntimeError(f"more than {MOST_EPOCHS} claims of {fingerprint}")

    def is_result(self, run: Run) -> bool:
        """Was it published, and is nothing known against it?"""
        tags, active = run.data.tags, run.info.lifecycle_stage == "active"
        spoilt = UNUSABLE in tags or BANNED in tags or self.seen_bad(run.info.run_id)
        return PUBLISHED in tags and active and not spoilt

    def confirm(self, claim: Claim, run_id: str) -> bool:
        """May the holder publish? True once; False if somebody passed it over."""
        done = f"{DONE}{run_id}"
        return self.write(claim.fingerprint, claim.epoch + 1, done) == done

    def write(self, fingerprint: str, epoch: int, value: str) -> str:
        """Writes an epoch if nobody has; returns what stands there now."""
        key, ledger = f"{fingerprint}.{epoch}", self.ledger_run()
        try:
            self.store.ask(lambda: self.store.client.log_param(ledger, key, value))
        except MlflowException as error:
            # MLflow's message is the cheapest way to learn the value: reading the run would read all.
            match = re.search(r"already logged with value='([^']*)'", str(error))
            if match is None:
                raise
            return match[1]
        return value

    def ledger_run(self) -> str:
        """The run that all orchestrators of this experiment write to."""
        with self.lock:
            self.ledger = self.ledger or agree_on_ledger(self.store)
            return self.ledger


def agree_on_ledger(store: Store) -> str:
    """The experiment's ledger; makes it if there is none.

    The name of an experiment is unique, and an experiment is created together with its tags: the
    first to create a certain one decides for all, even if several begin at once. It is deleted
    right away, which keeps the name taken but shows nobody an empty experiment.
    """
    name = f"{LEDGERS} of experiment {store.experiment_id}"
    if known := store.experiment_named(name):
        return str(known.tags["ledger"])
    ledger = store.create_ledger(LEDGERS, f"experiment {store.experiment_id}")
    marker = store.create_experiment(name, {"ledger": ledger})
    if marker is not None:
        store.ask(lambda: store.client.delete_experiment(marker))
        return ledger
    store.ask(lambda: store.client.delete_run(ledger))
    winner = store.experiment_named(name)
    return str(winner.tags["ledger"]) if winner else ledger


# -- life signs


def owner() -> str:
    """This process: machine, process id and when it started, which no later process shares."""
    me = psutil.Process()
    return f"{machine()} {me.pid} {me.create_time():.2f}"


def machine() -> str:
    """Where process ids mean the same: host and, on Linux, the namespace of a container."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}".replace(" ", "-")
    return socket.gethostname().replace(" ", "-")


def owner_is_gone(said: str) -> bool:
    """Is it certain that the process is no more? Of another machine's processes nothing is."""
    where, _, process = said.partition(" ")
    pid, _, created = process.partition(" ")
    if where != machine() or not pid.isdigit():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != created
    except psutil.NoSuchProcess:
        return True


def in_progress(run: Run) -> bool:
    """Does an orchestrator still have something to do with it? It removes its tag at the very end."""
    return OWNER in run.data.tags and run.info.lifecycle_stage == "active"


def wait_for(store: Store, run_id: str, stopping: Callable[[], bool]) -> bool:
    """Waits until a run's orchestrator is done with it; False if that died meanwhile.

    Death is judged by a heartbeat that does not change, on our own clock: other machines' clocks
    may be wrong.
    """
    seen, since = None, time.monotonic()
    while not stopping():
        run = store.run(run_id)
        if not in_progress(run):
            return True
        beat = run.data.tags.get(HEARTBEAT)
        if beat != seen:
            seen, since = beat, time.monotonic()
        if time.monotonic() - since > PATIENCE or owner_is_gone(run.data.tags[OWNER]):
            return False
        time.sleep(min(1.0, PATIENCE / 10))
    return True


def close_dead(store: Store, run_id: str) -> None:
    """Ends the run of a holder that died, and says so on it."""
    store.end(run_id, "KILLED")
    store.tag(run_id, {NOTE: "Its orchestrator died; another one closed this run."})
    store.untag(run_id, OWNER)


@contextlib.contextmanager
def heartbeats(store: Store, run_ids: Callable[[], list[str]]) -> Iterator[None]:
    """Renews the leases of these runs while the block lasts."""
    over = threading.Event()

    def beat() -> None:
        count = 0
        while not over.wait(min(BEAT, PATIENCE / 4)):
            count += 1
            for run_id in run_ids():
                # A server that is away for a while must not end the heart; it tries again.
                with contextlib.suppress(Exception):
                    store.client.set_tag(run_id, HEARTBEAT, str(count))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=1)


def close_debris(store: Store) -> list[str]:
    """Ends runs whose orchestrator died on this machine; returns their ids."""
    dead = [run for run in store.owned_runs(OWNER) if owner_is_gone(run.data.tags[OWNER])]
    for run in dead:
        close_dead(store, run.info.run_id)
    return [run.info.run_id for run in dead]
