"""The claims: who may execute a fingerprint, on a real store, as its enemies would use it."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.cli import gc
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

from mlflow_workflow.basics.processes import began, is_gone, machine, owner, owner_is_gone
from mlflow_workflow.server import heartbeat
from mlflow_workflow.server.heartbeat import HEARTBEAT, Pulse, close_dead, close_debris, wait_for
from mlflow_workflow.server.lease import Claim, Claims, Held, agree_on_ledger
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import NOTE, OWNER, PARENT, PUBLISHED, STEP
from tests.started import LONG, wait_until

SAME = "f" * 64


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Store:
    file = tmp_path / "mlflow.db"
    file.write_bytes(empty_store.read_bytes())
    return open_again(f"sqlite:///{file}")


def open_again(uri: str) -> Store:
    return Store(MlflowClient(uri), uri, "0", ("0",))


def claims(store: Store, told: list[str] | None = None) -> Claims:
    return Claims(store, lambda run_id: False, (told if told is not None else []).append)


def run_of(store: Store, owned_by: str | None = None, **tags: str) -> str:
    own = {OWNER: owned_by or owner(), STEP: "step", PARENT: "0" * 32}
    return store.create_child("step", {}, {**own, **tags})


def over(store: Store, run_id: str, status: str) -> None:
    store.end(run_id, status, even_finished=True)
    store.untag(run_id, OWNER)


def a_dead_owner() -> str:
    process = subprocess.Popen(["true"])
    said = f"{machine()} {process.pid} {began(process.pid)}"
    process.wait()
    return said


def test_the_first_to_claim_has_it_and_the_others_are_told_who(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    assert claims(store).take(SAME, one) == Claim(SAME, 0)
    assert claims(store).take(SAME, two) == Held(one)


def test_of_many_who_claim_at_once_on_a_store_without_a_ledger_one_has_it(store: Store) -> None:
    stores = [open_again(store.uri) for _ in range(8)]
    runs = [run_of(store) for _ in stores]
    together = threading.Barrier(len(stores))

    def claim(mine: Store, run_id: str) -> Claim | Held | None:
        together.wait()
        return claims(mine).take(SAME, run_id)

    with ThreadPoolExecutor(len(stores)) as pool:
        answers = list(pool.map(claim, stores, runs))
    winner = runs[answers.index(Claim(SAME, 0))]
    assert [a for a in answers if a != Claim(SAME, 0)] == [Held(winner)] * 7


def test_after_a_failure_the_next_may_claim(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    assert claims(store).take(SAME, one) == Claim(SAME, 0)
    over(store, one, "FAILED")
    assert claims(store).take(SAME, two) == Claim(SAME, 1)


def test_after_a_publication_the_next_is_sent_to_the_result_unless_it_is_spoilt(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    mine = claims(store)
    claim = mine.take(SAME, one)
    assert isinstance(claim, Claim)
    assert mine.confirm(claim, one)
    store.tag(one, {PUBLISHED: "step"})
    assert claims(store).take(SAME, two) == Held(one)
    over(store, one, "FINISHED")
    assert claims(store).take(SAME, two) == Held(one, published=True)
    store.mark_unusable(one, "gone")
    assert claims(store).take(SAME, two) == Claim(SAME, 2)


def test_a_result_that_was_deleted_or_even_collected_is_no_result(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    mine = claims(store)
    claim = mine.take(SAME, one)
    assert isinstance(claim, Claim)
    assert mine.confirm(claim, one)
    store.tag(one, {PUBLISHED: "step"})
    over(store, one, "FINISHED")
    store.client.delete_run(one)
    collect(store)
    assert mine.take(SAME, two) == Claim(SAME, 2)


def test_one_that_was_passed_over_cannot_publish_any_more(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    sleeper = claims(store)
    claim = sleeper.take(SAME, one)
    assert isinstance(claim, Claim)
    close_dead(store, store.run(one).data.tags[OWNER])
    assert claims(store).take(SAME, two) == Claim(SAME, 1)
    assert not sleeper.confirm(claim, one)


def test_one_that_died_between_its_last_claim_and_publication_is_passed_over(store: Store) -> None:
    one = run_of(store, a_dead_owner())
    mine = claims(store)
    claim = mine.take(SAME, one)
    assert isinstance(claim, Claim)
    assert mine.confirm(claim, one)
    store.end(one, "FINISHED")
    close_debris(store)
    assert store.run(one).info.status == "KILLED"
    assert claims(store).take(SAME, run_of(store)) == Claim(SAME, 2)


# -- the ledger


class Forbidding(MlflowClient):
    """A client of somebody who may not create experiments; all else is real."""

    def create_experiment(self, *_: object, **__: object) -> str:
        raise MlflowException("not for you", PERMISSION_DENIED)


def test_who_may_not_keep_claims_is_told_once_and_goes_on_without(store: Store) -> None:
    told: list[str] = []
    mine = claims(replace(store, client=Forbidding(store.uri)), told)
    assert [mine.take(SAME, run_of(store)) for _ in range(2)] == [None, None]
    assert told == ["no permission to keep claims: does not wait for others' runs"]


def test_a_ledger_that_a_person_deleted_is_brought_back_with_its_claims(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    assert claims(store).take(SAME, one) == Claim(SAME, 0)
    store.client.delete_run(agree_on_ledger(store))
    assert claims(store).take(SAME, two) == Held(one)


def test_a_ledger_whose_experiment_a_person_deleted_is_brought_back(store: Store) -> None:
    one, two = run_of(store), run_of(store)
    assert claims(store).take(SAME, one) == Claim(SAME, 0)
    ledger = store.run(agree_on_ledger(store))
    store.client.delete_experiment(ledger.info.experiment_id)
    assert claims(store).take(SAME, two) == Held(one)


def test_a_ledger_that_was_collected_as_garbage_is_made_anew(store: Store) -> None:
    mine, one = claims(store), run_of(store)
    assert mine.take(SAME, one) == Claim(SAME, 0)
    store.client.delete_run(agree_on_ledger(store))
    collect(store)
    assert mine.take("a" * 64, one) == Claim("a" * 64, 0)
    assert claims(store).take("a" * 64, run_of(store)) == Held(one)


def test_garbage_collection_of_the_hidden_marker_makes_a_new_ledger(store: Store) -> None:
    first = agree_on_ledger(store)
    collect(store)
    second = agree_on_ledger(store)
    assert second != first
    assert agree_on_ledger(store) == second


def test_the_ledger_leaves_no_run_running_and_shows_no_empty_experiment(store: Store) -> None:
    ledger = store.run(agree_on_ledger(store))
    assert ledger.info.status == "FINISHED"
    names = {e.name for e in store.client.search_experiments()}
    assert names == {"Default", "workflow claims"}


def collect(store: Store) -> None:
    """`mlflow gc`."""
    before = mlflow.get_tracking_uri()
    try:
        where = ["--backend-store-uri", store.uri, "--tracking-uri", store.uri]
        done = CliRunner().invoke(gc, where)
    finally:
        mlflow.set_tracking_uri(before)
    assert done.exit_code == 0, done.exception


# -- life signs


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(heartbeat, "PATIENCE", 1.5)
    yield


@pytest.mark.usefixtures("impatient")
def test_a_heartbeat_that_changes_is_waited_for_whatever_its_clock_says(store: Store) -> None:
    run_id = run_of(store, "elsewhere 1 1")
    beats = iter(["99999999999", "-5", "7", "yesterday", "0", "7", "8"])

    def beat_and_end() -> None:
        for value in beats:
            store.client.set_tag(run_id, HEARTBEAT, value)
            time.sleep(0.3)
        over(store, run_id, "FINISHED")

    thread = threading.Thread(target=beat_and_end)
    thread.start()
    assert wait_for(store, run_id, lambda: False)
    thread.join()


@pytest.mark.usefixtures("impatient")
def test_a_heartbeat_that_stopped_is_not_waited_for(store: Store) -> None:
    run_id = run_of(store, "elsewhere 1 1", **{HEARTBEAT: "7"})
    assert not wait_for(store, run_id, lambda: False)


def test_a_look_after_a_long_pause_of_our_own_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "PATIENCE", 0.2)
    pulse = Pulse()
    assert not pulse.stopped("7")
    time.sleep(0.3)
    assert not pulse.stopped("7")


def test_the_runs_of_a_dead_orchestrator_are_closed_and_what_it_had_published_stays(
    store: Store,
) -> None:
    dead = a_dead_owner()
    parent = store.create_child("parent", {}, {OWNER: dead})
    running = run_of(store, dead, **{PARENT: parent})
    published = run_of(store, dead, **{PARENT: parent, PUBLISHED: "step"})
    store.end(published, "FINISHED")
    failed = run_of(store, dead, **{PARENT: parent})
    store.end(failed, "FAILED")
    alive = run_of(store)
    assert set(close_debris(store)) == {parent, running, published, failed}
    ends = {run: store.run(run).info.status for run in (parent, running, published, failed, alive)}
    assert list(ends.values()) == ["KILLED", "KILLED", "FINISHED", "FAILED", "RUNNING"]
    assert "orchestrator died" in store.run(running).data.tags[NOTE]
    assert NOTE not in store.run(published).data.tags
    assert [run.info.run_id for run in store.runs_tagged(OWNER)] == [alive]


@pytest.mark.usefixtures("impatient")
def test_the_runs_of_a_silent_orchestrator_of_another_machine_are_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.05)
    silent, mine = run_of(store, "elsewhere 1 1"), run_of(store)
    with heartbeat.heartbeats(store, lambda: [mine]):
        until = time.monotonic() + LONG
        while store.run(silent).info.status == "RUNNING" and time.monotonic() < until:
            time.sleep(0.1)
    assert store.run(silent).info.status == "KILLED"
    assert store.run(mine).info.status == "RUNNING"


def test_only_a_process_of_this_boot_and_namespace_is_known_to_be_gone() -> None:
    assert owner_is_gone(a_dead_owner())
    assert not owner_is_gone(owner())
    where, pid, started = owner().split()
    assert owner_is_gone(f"{where} {pid} {started}0"), "the process id was used again"
    host, _, rest = where.partition("/")
    assert not owner_is_gone(f"{host}/another-boot/{rest.partition('/')[2]} 999999 1")
    assert not owner_is_gone("elsewhere 999999 1")
    assert not owner_is_gone("nonsense")


def test_a_process_that_nobody_has_buried_yet_is_gone() -> None:
    process = subprocess.Popen(["true"])
    started = began(process.pid)
    wait_until(lambda: is_gone(process.pid, started), "the end of `true`", 10)
    process.wait()
