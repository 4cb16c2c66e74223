"""One execution per fingerprint at a time, agreed on through the tracking server alone.

A parameter of a run is write-once, and atomically so: of many who log the same name with different
values, one succeeds. So who may execute a fingerprint is written as parameters of one run that all
orchestrators of an experiment share, the ledger: `<fingerprint>.<epoch>` = the child run. Whoever
writes an epoch first holds it. A holder that died is passed over by writing the next epoch, and a
holder publishes by writing the next epoch itself, so one that was passed over cannot.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.server.heartbeat import in_progress
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import BANNED, PUBLISHED, UNUSABLE

LEDGERS = "workflow claims"
DONE = "done "
MOST_EPOCHS = 10_000
MOST_REPAIRS = 5


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
    tell: Callable[[str], None]
    lock: threading.Lock = field(default_factory=threading.Lock)
    ledger: str | None = None
    forbidden: bool = False

    def take(self, fingerprint: str, run_id: str) -> Claim | Held | None:
        """Claims a fingerprint for a child run, or tells who has it; None if we may not claim."""
        try:
            return None if self.forbidden else self.first_free(fingerprint, run_id)
        except MlflowException as error:
            if error.error_code not in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
                raise
            with self.lock:
                if not self.forbidden:
                    self.tell("no permission to keep claims: does not wait for others' runs")
                self.forbidden = True
            return None

    def first_free(self, fingerprint: str, run_id: str) -> Claim | Held:
        """The first epoch that nobody holds, for us; or who is in our way."""
        for epoch in range(MOST_EPOCHS):
            holder = self.write(fingerprint, epoch, run_id)
            if holder == run_id:
                return Claim(fingerprint, epoch)
            other = self.store.known_run(holder.removeprefix(DONE))
            if other and in_progress(other):
                return Held(other.info.run_id)
            if other and holder.startswith(DONE) and self.is_result(other):
                return Held(other.info.run_id, published=True)
        raise RuntimeError(f"more than {MOST_EPOCHS} claims of {fingerprint}")

    def is_result(self, run: Run) -> bool:
        """Was it published, and is nothing known against it?"""
        tags, active = run.data.tags, run.info.lifecycle_stage == "active"
        spoilt = UNUSABLE in tags or BANNED in tags or self.seen_bad(run.info.run_id)
        return PUBLISHED in tags and active and not spoilt

    def confirm(self, claim: Claim, run_id: str) -> bool:
        """May the holder publish? False if somebody passed it over."""
        done = f"{DONE}{run_id}"
        return self.write(claim.fingerprint, claim.epoch + 1, done) == done

    def write(self, fingerprint: str, epoch: int, value: str) -> str:
        """Writes an epoch if nobody has; returns what stands there now."""
        key = f"{fingerprint}.{epoch}"
        for _ in range(MOST_REPAIRS):
            ledger = self.ledger_run()
            try:
                self.store.ask(partial(self.store.client.log_param, ledger, key, value))
            except MlflowException as error:
                # MLflow's message is the cheapest way to learn the value: reading the run reads all.
                match = re.search(r"already logged with value='([^']*)'", str(error))
                if match:
                    return match[1]
                self.repair(ledger, error)
            else:
                return value
        raise RuntimeError(f"cannot write to the run {ledger}, which keeps the claims")

    def repair(self, ledger: str, error: MlflowException) -> None:
        """Brings back a ledger that a person deleted. Raises the error if it is another one."""
        known = self.store.known_run(ledger)
        if known and known.info.lifecycle_stage == "active":
            raise error
        with self.lock:
            self.ledger = None
        if known:
            self.store.ask(lambda: self.store.client.restore_run(ledger))

    def ledger_run(self) -> str:
        """The run that all orchestrators of this experiment write to."""
        with self.lock:
            self.ledger = self.ledger or agree_on_ledger(self.store)
            return self.ledger


def agree_on_ledger(store: Store) -> str:
    """The experiment's ledger; makes it if there is none.

    The name of an experiment is unique, and an experiment is created together with its tags: the
    first to create a certain one, the marker, decides for all, even if several begin at once. It is
    deleted right away, which keeps the name taken but shows nobody an empty experiment. Should the
    ledger be lost for good while its marker is not, the marker of the next number decides.
    """
    for number in range(1, MOST_EPOCHS):
        name = f"{LEDGERS} of experiment {store.experiment_id}{f' #{number}' * (number > 1)}"
        marker = store.experiment_named(name)
        ledger = marker.tags["ledger"] if marker else elect(store, name)
        if store.known_run(ledger):
            return str(ledger)
    raise RuntimeError(f"more than {MOST_EPOCHS} ledgers of experiment {store.experiment_id}")


def elect(store: Store, name: str) -> str:
    """Proposes a new ledger under a marker's name; returns the one that was first."""
    proposed = store.create_ledger(LEDGERS, f"experiment {store.experiment_id}")
    marker = store.create_experiment(name, {"ledger": proposed})
    if marker is not None:
        store.ask(lambda: store.client.delete_experiment(marker))
        return proposed
    winner = store.experiment_named(name)
    first = winner.tags["ledger"] if winner else proposed
    if first != proposed:
        store.ask(lambda: store.client.delete_run(proposed))
    return str(first)
