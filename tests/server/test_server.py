"""A tracking server that goes away, for a while or for good, and a disk that is full."""

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import psutil
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE

from mlflow_workflow.basics.errors import ServerGone
from mlflow_workflow.run import parent
from mlflow_workflow.server import patience
from mlflow_workflow.server.patience import Patience, is_away
from tests.conftest import Project
from tests.in_process import environment_of
from tests.servers import free_port, tracking_server
from tests.started import Gate, lives, rows, starting, wait_until, words_of


@pytest.mark.slow
def test_a_server_that_is_away_is_waited_for_and_one_that_is_gone_ends_the_workflow(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project, port = make_project("relay"), free_port()
    variables = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "WORKFLOW_LEASE_SECONDS": "4",
        **Gate(tmp_path / "gate").variables,
    }
    hasty = {**variables, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "WORKFLOW_SERVER_SECONDS": "3"}
    gate = Gate(tmp_path / "gate")
    with contextlib.ExitStack() as stack:
        with tracking_server(tmp_path / "artifacts", project, port):
            patient = stack.enter_context(starting(project, name="patient", variables=variables))
            gate.wait()
        wait_until(lambda: patient.says("waits for the tracking server"), "a message")
        gate.open()
        with tracking_server(tmp_path / "artifacts", project, port):
            done = patient.wait()
            assert done.code == 0, done.text
            # A machine that is busy may let the server be silent once more.
            assert done.text.count("waits for the tracking server") >= 1
            assert done.text.count("answers again") >= 1
            assert "View run" not in done.text, "MLflow's own lines between ours"
            (gate.folder / "go").unlink()
            (gate.folder / "computes").unlink()
            doomed = stack.enter_context(
                starting(project, "--number", "2", name="doomed", variables=hasty)
            )
            gate.wait()
        gate.open()
        begin = time.monotonic()
        done = doomed.wait(60)
        assert time.monotonic() - begin < 45
        assert done.code == 1, done.text
        last = done.text.strip().splitlines()[-1]
        assert last == f"Error: the tracking server http://127.0.0.1:{port} did not answer for 3 s"
        assert "Traceback" not in done.text
    query = "select r.status from runs r join params p on p.run_uuid = r.run_uuid where p.value = '2'"
    assert rows(project, f"{query} and p.key = 'number'") == [("RUNNING",)]
    assert len(rows(project, "select run_uuid from tags where key = 'workflow.published'")) == 2
    again = project.main("--number", "2")
    assert again.states()["hold"] == "ran", again.text
    assert rows(project, "select 1 from runs where status = 'RUNNING'") == []


@pytest.mark.slow
def test_a_signal_ends_the_workflow_soon_though_the_server_hangs(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project, port, gate = make_project("relay"), free_port(), Gate(tmp_path / "gate")
    variables = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{port}", **gate.variables}
    with (
        tracking_server(tmp_path / "artifacts", project, port),
        starting(project, name="hanging", variables=variables) as started,
    ):
        gate.wait()
        step = gate.step
        with stopped_processes("mlflow", str(port)):
            begin = time.monotonic()
            started.process.send_signal(signal.SIGTERM)
            done = started.wait(60)
            assert time.monotonic() - begin < 15, done.text
        wait_until(lambda: not lives(step), "the end of the step")
    assert done.code in (128 + signal.SIGTERM, -signal.SIGTERM), done.text
    assert "Traceback" not in done.text


@contextlib.contextmanager
def stopped_processes(*words: str) -> Iterator[None]:
    """While the block lasts, the processes with these words in their command do nothing."""
    every = [p for p in psutil.process_iter() if set(words) <= set(" ".join(words_of(p)).split())]
    serving = [each for each in every for each in [each, *each.children(recursive=True)]]
    for process in serving:
        process.suspend()
    try:
        yield
    finally:
        for process in serving:
            with contextlib.suppress(psutil.Error):
                process.resume()


@pytest.mark.slow
@pytest.mark.long
def test_what_a_full_disk_left_behind_is_never_taken_for_a_result(
    make_project: Callable[..., Project],
) -> None:
    project = make_project("relay")
    project.variables["CRAMPED"] = "yes"
    full = project.main("--sweep", "{number: [1, 2]}")
    assert full.code == 1, full.text
    assert full.text.count("File too large") == 2, "while writing, and while uploading"
    assert [run.info.status for run in project.children("hold")] == ["FAILED", "FAILED"]
    del project.variables["CRAMPED"]
    room = project.main("--sweep", "{number: [1, 2]}")
    assert room.code == 0, room.text
    for run in project.children("hold")[:2]:
        assert run.info.status == "FINISHED"
        assert [f.name for f in project.outputs(run, "hold").iterdir()] == ["number.txt"]


# -- what counts as away


def test_an_error_of_the_connection_or_a_locked_database_is_tried_again_and_no_other() -> None:
    with pytest.raises(MlflowException) as refused:
        client_of_nobody().get_run("0" * 32)
    locked = MlflowException("(sqlite3.OperationalError) database is locked", TEMPORARILY_UNAVAILABLE)
    spoilt = MlflowException("(sqlite3.OperationalError) no such table: runs", TEMPORARILY_UNAVAILABLE)
    assert is_away(refused.value)
    assert is_away(locked)
    assert is_away(requests.ConnectionError("refused"))
    assert not is_away(spoilt)
    assert not is_away(MlflowException("no", PERMISSION_DENIED))


def test_a_server_that_packets_do_not_reach_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, contextlib.ExitStack() as stack:
        for _ in range(3):  # its queue is full, so the kernel drops what else comes
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(silent.getsockname())
        client = mlflow.MlflowClient(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(MlflowException, match="timeout") as unheard:
            client.get_run("0" * 32)
    assert is_away(unheard.value)


def client_of_nobody() -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"http://127.0.0.1:{free_port()}")


@pytest.fixture(autouse=True)
def no_retries_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(patience, "GIVE_UP", 0.5)


def test_an_answer_after_some_silence_is_given_and_both_are_told_once() -> None:
    told: list[str] = []
    silence = iter([True, True, False])

    def call() -> str:
        if next(silence):
            raise requests.ConnectionError("refused")
        return "answer"

    assert Patience("server", told.append).ask(call) == "answer"
    assert told == ["waits for the tracking server server …", "the tracking server answers again"]


def test_after_the_patience_is_over_nothing_is_asked_any_more() -> None:
    mine, client = Patience("http://server", lambda line: None), client_of_nobody()
    with pytest.raises(ServerGone, match=r"http://server did not answer for 0.5 s"):
        mine.ask(lambda: client.get_run("0" * 32))
    with pytest.raises(ServerGone):
        mine.ask(lambda: pytest.fail("asked again"))


def test_who_is_about_to_end_waits_no_longer_for_a_server_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "GIVE_UP", 60)
    mine, begin = Patience("server", lambda line: None), time.monotonic()

    def call() -> None:
        mine.hurry()
        raise requests.ConnectionError("refused")

    with pytest.raises(ServerGone):
        mine.ask(call)
    assert time.monotonic() - begin < 30


def test_an_answer_that_is_an_error_is_no_silence() -> None:
    def call() -> None:
        raise MlflowException("no", PERMISSION_DENIED)

    with pytest.raises(MlflowException, match="no"):
        Patience("server", print).ask(call)


def test_a_call_that_only_takes_long_is_no_absence_even_for_who_is_about_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "TELL_AFTER", 0.1)
    mine = Patience("server", lambda line: None)

    def call() -> str:
        time.sleep(0.5)
        mine.hurry()
        return "answer"

    assert mine.ask(call) == "answer"
    assert mine.ask(lambda: "another") == "another"


def test_what_may_take_long_is_told_only_if_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TELL_AFTER", 0.1)
    told: list[str] = []
    Patience("server", told.append).insist(lambda: time.sleep(0.5))
    assert told == []


# -- the parent run, on a database that is locked for a while


@pytest.fixture
def relay(make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr(patience, "GIVE_UP", 60)
    project = make_project("relay")
    with environment_of(project):
        yield project


def lock_once(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """The next such call says what it would after 20 s of a lock; all else is real."""
    real, locks = getattr(mlflow.MlflowClient, method), iter([True])

    def call(*given: object) -> object:
        if next(locks, False):
            raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)
        return real(*given)

    monkeypatch.setattr(mlflow.MlflowClient, method, call)


def test_the_end_of_the_parent_run_is_waited_for_as_all_else(
    relay: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    mine = Patience("store", told.append)
    with parent.started("hold", mine) as run:
        lock_once(monkeypatch, "set_terminated")
        parent.end(mine, "FINISHED")
    assert told[:1] == ["waits for the tracking server store …"]
    ended = relay.client.get_run(run.info.run_id)
    assert ended.info.status == "FINISHED"
    assert "workflow.owner" not in ended.data.tags


def test_the_run_of_mlflow_run_is_taken_up_though_the_server_is_away_at_first(
    relay: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = relay.client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    lock_once(monkeypatch, "get_run")
    mine = Patience("store", lambda line: None)
    with parent.started("hold", mine) as run:
        parent.end(mine, "FINISHED")
    assert run.info.run_id == given
    assert len(relay.runs()) == 1


@pytest.mark.slow
def test_a_refusal_is_told_though_the_server_is_away(make_project: Callable[..., Project]) -> None:
    project = make_project("relay")
    project.variables |= {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "MLFLOW_RUN_ID": "f" * 32,
        "WORKFLOW_SERVER_SECONDS": "1",
    }
    done = project.main("nonsense")
    assert done.code == 2, done.text
    assert "unknown task 'nonsense'" in done.text
    assert "Traceback" not in done.text


# -- the heart of the parent run


class Slow(BaseHTTPRequestHandler):
    """A store of artifacts, of one file, that answers once it may."""

    may = threading.Event()

    def do_GET(self) -> None:
        self.may.wait(60)
        body = json.dumps({"files": []}).encode() if "?" in self.path else b"1\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.slow
def test_the_heart_of_the_parent_run_beats_while_its_data_are_fetched(example: Project) -> None:
    example.edit("MLproject", "source: {type: string,", "source: {type: path,")
    beats = "select value from tags where key = 'workflow.heartbeat'"
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/api/2.0/mlflow-artifacts/artifacts/numbers.txt"
        lease = {"WORKFLOW_LEASE_SECONDS": "1"}
        with starting(example, "gather", "--source", uri, variables=lease) as fetching:
            try:
                wait_until(lambda: rows(example, beats) or fetching.process.poll() is not None, "a beat")
                assert rows(example, beats), fetching.text
            finally:
                Slow.may.set()
                fetching.wait()
                server.shutdown()
