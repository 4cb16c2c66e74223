"""The claims: who may execute a fingerprint, on a real store, as its enemies would use it."""

import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_workflow.basics.processes import began, is_gone, machine, owner, owner_is_gone
from mlflow_workflow.server import claims, heartbeat
from mlflow_workflow.server.heartbeat import Pulse, close_dead, close_debris
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import HEARTBEAT, HELD, NOTE, OWNER, PARENT, PUBLISHED, STEP, WANTED
from tests.started import LONG, wait_until


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Store:
    file = tmp_path / "mlflow.db"
    file.write_bytes(empty_store.read_bytes())
    return open_again(f"sqlite:///{file}")


def open_again(uri: str) -> Store:
    return Store(MlflowClient(uri), uri, "0", ("0",))


KEY = "fingerprint.code." + "f" * 64


def run_of(store: Store, owned_by: str | None = None, **tags: str) -> str:
    own = {OWNER: owned_by or owner(), STEP: "step", PARENT: "0" * 32}
    return store.create_child("step", {}, {**own, **tags})


def wants(store: Store, who: str, key: str = KEY) -> str:
    """A run of somebody on another machine who wants to execute what the key stands for."""
    return run_of(store, f"{who} 1 1", **{key: WANTED})


def take(store: Store, run_id: str) -> str | None:
    holder = claims.take(store, KEY, run_id, [KEY], lambda: False)
    return holder.run_id if holder else None


def over(store: Store, run_id: str, status: str) -> None:
    store.end(run_id, status)
    store.untag(run_id, OWNER)


def a_dead_owner() -> str:
    process = subprocess.Popen(["true"])
    said = f"{machine()} {process.pid} {began(process.pid)}"
    process.wait()
    return said


def test_the_first_to_claim_has_it_and_the_others_are_told_who(store: Store) -> None:
    one = wants(store, "a")
    assert take(store, one) is None
    assert take(store, wants(store, "b")) == one
    assert take(store, wants(store, "c")) == one


def test_of_many_who_claim_at_once_one_has_it_and_the_others_yield_to_whom_they_see(
    store: Store,
) -> None:
    stores = [open_again(store.uri) for _ in range(8)]
    together = threading.Barrier(len(stores))

    def claim(mine: Store, who: str) -> tuple[str, str | None]:
        together.wait()
        run_id = wants(mine, who)
        other = take(mine, run_id)
        if other:
            mine.withdraw(run_id)
        return run_id, other

    with ThreadPoolExecutor(len(stores)) as pool:
        answers = list(pool.map(claim, stores, "abcdefgh"))
    winners = [run_id for run_id, other in answers if other is None]
    assert len(winners) == 1
    left = [run.info.run_id for run in store.tagged(KEY)]
    assert left == winners, "who yields leaves no run behind"


def test_one_that_looked_before_we_wrote_is_waited_for_whatever_its_id(store: Store) -> None:
    one, two = sorted([wants(store, "a"), wants(store, "b")])
    late = threading.Timer(0.3, lambda: store.tag(two, {KEY: HELD}))
    late.start()
    assert take(store, one) == two


def test_after_a_failure_the_next_may_claim(store: Store) -> None:
    one = wants(store, "a")
    assert take(store, one) is None
    over(store, one, "FAILED")
    assert take(store, wants(store, "b")) is None


def test_a_claim_of_a_process_that_is_certain_to_be_gone_holds_nobody_up(store: Store) -> None:
    one = run_of(store, a_dead_owner(), **{KEY: HELD})
    two = wants(store, "b")
    assert take(store, two) is None
    assert one != two


def test_a_run_that_a_lost_answer_made_twice_is_not_taken_for_somebody_elses(store: Store) -> None:
    run_of(store, "a 1 1", **{KEY: WANTED})
    mine = run_of(store, "a 1 1", **{KEY: WANTED})
    assert take(store, mine) is None


def test_whoever_is_closed_for_dead_has_no_claim_any_more(store: Store) -> None:
    one = wants(store, "a")
    assert take(store, one) is None
    close_dead(store, "a 1 1")
    assert take(store, wants(store, "b")) is None
    assert KEY not in store.run(one).data.tags


def test_a_claim_leaves_no_experiment_behind(store: Store) -> None:
    assert take(store, wants(store, "a")) is None
    assert {e.name for e in store.client.search_experiments()} == {"Default"}


# -- life signs


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(heartbeat, "LEASE_TIMEOUT", 1.5)
    yield


def wait_for(store: Store, run_id: str) -> str:
    watch = heartbeat.Watch(store)
    while not watch.is_over(run_id):
        time.sleep(0.1)
    return str(store.run(run_id).info.status)


@pytest.mark.usefixtures("impatient")
def test_a_heartbeat_that_changes_is_waited_for_whatever_its_clock_says(store: Store) -> None:
    parent = run_of(store, "elsewhere 1 1")
    run_id = run_of(store, "elsewhere 1 1", **{PARENT: parent})
    beats = iter(["99999999999", "-5", "7", "yesterday", "0", "7", "8"])

    def beat_and_end() -> None:
        for value in beats:
            store.client.set_tag(parent, HEARTBEAT, value)
            time.sleep(0.3)
        over(store, run_id, "FINISHED")

    thread = threading.Thread(target=beat_and_end)
    thread.start()
    assert wait_for(store, run_id) == "FINISHED"
    thread.join()


@pytest.mark.usefixtures("impatient")
def test_a_run_whose_parents_heartbeat_stopped_is_closed_with_all_of_its_owner(store: Store) -> None:
    parent = run_of(store, "elsewhere 1 1", **{HEARTBEAT: "7"})
    run_id = run_of(store, "elsewhere 1 1", **{PARENT: parent})
    assert wait_for(store, run_id) == "KILLED"
    assert store.run(parent).info.status == "KILLED"


def test_a_look_after_a_long_pause_of_our_own_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "LEASE_TIMEOUT", 0.2)
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
    assert [run.info.run_id for run in store.tagged(OWNER)] == [alive]


@pytest.mark.usefixtures("impatient")
def test_the_runs_of_a_silent_orchestrator_of_another_machine_are_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "BEAT", 0.05)
    silent = store.create_child("parent", {}, {OWNER: "elsewhere 1 1", HEARTBEAT: "7"})
    mine = run_of(store)
    with heartbeat.heartbeats(store, mine):
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
