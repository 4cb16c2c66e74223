"""What every engine promises, kept by the one of this machine: on real processes, with a real store."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import psutil
import pytest
from mlflow import MlflowClient

from mlflow_workflow.launch.engine import Ended, Job
from mlflow_workflow.launch.local.engine import LocalEngine
from mlflow_workflow.project.mlproject import read_workflow
from tests.started import linux_only, wait_until

LONG = 60.0


@dataclass
class Work:
    """An engine, and what it told so far."""

    engine: LocalEngine
    bell: threading.Event
    told: list[Ended] = field(default_factory=list)

    def job(self, command: str, *, more: str = "", **parameters: str) -> Job:
        """A job with a run of its own. Its parameters are text, but for `path`."""
        declared = ", ".join(f"{n}: {'path' if n == 'path' else 'string'}" for n in parameters)
        text = f"name: x\nentry_points:\n  main: {{command: x}}\n  it:\n    {more}\n"
        text += f"    parameters: {{{declared}}}\n    command: {command!r}\n"
        step = read_workflow(text).steps["it"]
        return Job(MlflowClient().create_run("0").info.run_id, step, parameters)

    def start(self, command: str, **given: str) -> Job:
        """Submits a job and waits until it prints."""
        job = self.job(command, **given)
        self.engine.submit([job])
        wait_until(lambda: self.engine.last_lines(job.run_id), "a first line")
        return job

    def end_of(self, jobs: Iterable[Job]) -> list[Ended]:
        """How these end, in their own order."""
        wanted = [job.run_id for job in jobs]
        while missing := set(wanted) - {ended.run_id for ended in self.told}:
            assert self.bell.wait(LONG), missing
            self.bell.clear()
            self.told += self.engine.look()
        return [next(ended for ended in self.told if ended.run_id == run_id) for run_id in wanted]

    def run(self, command: str, **given: str) -> tuple[str | None, list[str]]:
        """How a job failed, and what it printed."""
        job = self.job(command, **given)
        self.engine.submit([job])
        return self.end_of([job])[0].failure, self.engine.last_lines(job.run_id)


@pytest.fixture
def make(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Work]]:
    """Makes an engine for a project folder; closes it."""
    (tmp_path / "store.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "scratch").mkdir()
    with contextlib.ExitStack() as stack:

        def made(**options: object) -> Work:
            bell = threading.Event()
            engine = LocalEngine(project, "0", tmp_path / "scratch", notify=bell.set, **options)
            stack.callback(engine.close)
            return Work(engine, bell)

        yield made


@pytest.fixture
def work(make: Callable[..., Work]) -> Work:
    return make()


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        ("true", None),
        ("exit 3", "failed, exit code 3"),
        ("kill -9 $$", "failed, killed by SIGKILL"),
        ("sh -c 'kill -SEGV $$'; exit $?", "failed, killed by SIGSEGV"),
        ("no-such-command", "failed, exit code 127"),
    ],
)
def test_how_a_job_ended_is_told_in_words(work: Work, command: str, failure: str | None) -> None:
    assert work.run(command)[0] == failure


def test_many_jobs_are_under_way_at_once_without_a_thread_for_each_and_each_is_told_once(
    work: Work,
) -> None:
    jobs = [work.job("sleep 1") for _ in range(20)]
    before, threads = time.monotonic(), threading.active_count()
    work.engine.submit(jobs)
    assert time.monotonic() - before < 0.5
    assert [ended.failure for ended in work.end_of(jobs)] == [None] * 20
    assert threading.active_count() <= threads
    assert len(work.told) == 20 and not work.engine.look()


def test_parameters_reach_the_command_as_they_are(work: Work, tmp_path: Path) -> None:
    odd = 'it\'s $HOME; "*" \\ \n{x} ä'
    failure, printed = work.run("printf %s {one}{path}", one=odd, path=str(tmp_path))
    assert failure is None
    assert "\n".join(printed) == f"{odd}{tmp_path}"


def test_the_command_is_the_one_that_was_planned_whatever_mlproject_says_now(work: Work) -> None:
    (work.engine.project / "MLproject").write_text("entry_points: {it: {command: 'echo new'}}")
    assert work.run("echo planned") == (None, ["planned"])


def test_a_job_that_cannot_be_started_says_why(work: Work) -> None:
    failure, _ = work.run("echo {path}", path="no/such/folder")
    assert str(failure).startswith("could not be started: ") and "no/such/folder" in str(failure)


def test_mlflow_is_what_starts_a_job_and_sets_no_status(work: Work) -> None:
    job = work.job("true")
    work.engine.submit([job])
    work.end_of([job])
    client = MlflowClient()
    wait_until(
        lambda: client.get_run(job.run_id).data.tags.get("mlflow.project.backend") == "workflow", "a tag"
    )
    assert client.get_run(job.run_id).info.status == "RUNNING"


def test_a_job_gets_the_variables_of_its_run_and_no_other_is_touched(
    make: Callable[..., Work], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "of_the_user.sh").write_text("echo BASH_ENV is read")
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "of_the_user.sh"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    before = dict(os.environ)
    work = make(variables=lambda job: {"MORE": f"of {job.run_id}"})
    job = work.start("env; which python; pwd")
    assert work.end_of([job])[0].failure is None
    printed = work.engine.log(job.run_id).read_text().splitlines()
    assert "BASH_ENV is read" in printed
    assert str(Path(sys.executable).parent / "python") in printed
    assert str(work.engine.project) in printed
    found = dict(line.split("=", 1) for line in printed if "=" in line)
    assert found["MORE"] == f"of {job.run_id}"
    assert found["MLFLOW_RUN_ID"] == job.run_id
    assert found["MLFLOW_TRACKING_URI"] == mlflow.get_tracking_uri()
    assert "MLFLOW_EXPERIMENT_NAME" not in found
    assert dict(os.environ) == before


def test_a_second_attempt_adds_to_the_log_of_the_first(work: Work) -> None:
    job = work.job("echo tried")
    for _ in range(2):
        work.engine.submit([job])
        work.end_of([job])
        work.told.clear()
    assert work.engine.last_lines(job.run_id) == ["tried", "tried"]


# -- ends


def lives(pid: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    return False


LEAVES_ITS_SESSION = "setsid sleep 100 & echo $!; exec sleep 100"


@linux_only
def test_a_cancelled_job_ends_with_all_that_it_started(work: Work) -> None:
    job = work.start(LEAVES_ITS_SESSION)
    work.engine.cancel([job.run_id])
    assert work.end_of([job])[0].failure == "stopped"
    assert not lives(work.engine.last_lines(job.run_id)[0])


def test_a_job_that_is_just_being_started_can_be_cancelled(work: Work) -> None:
    jobs = [work.job("echo began; sleep 100") for _ in range(5)]
    work.engine.submit(jobs)
    work.engine.cancel([job.run_id for job in jobs])
    assert [ended.failure for ended in work.end_of(jobs)] == ["stopped"] * 5


@linux_only
def test_a_job_over_its_time_is_ended_even_if_it_does_not_want_to(work: Work) -> None:
    command = "trap '' TERM; setsid sleep 100 & echo $!; while true; do sleep 1; done"
    job = work.start(command, more="timeout: 0.5")
    assert work.end_of([job])[0].failure == "took longer than its timeout of 0.5 s"
    assert not lives(work.engine.last_lines(job.run_id)[0])


@linux_only
def test_what_a_job_leaves_running_ends_with_it(work: Work) -> None:
    failure, printed = work.run("setsid sleep 100 & echo $!; exit 2")
    assert failure == "failed, exit code 2"
    assert not lives(printed[0])


@linux_only
def test_no_job_outlives_the_supervisor_that_watches_it(work: Work) -> None:
    job = work.start("sleep 100 & echo $!; setsid sleep 100 & echo $!; wait")
    supervisor = next(p for p in psutil.Process().children() if "supervisor.py" in " ".join(p.cmdline()))
    wait_until(lambda: len(work.engine.last_lines(job.run_id)) == 2, "two children")
    supervisor.kill()
    assert work.end_of([job])[0].failure == "failed, it was killed"
    wait_until(lambda: not any(map(lives, work.engine.last_lines(job.run_id))), "their end", 10)


ORCHESTRATOR = """
import sys, time
from pathlib import Path
from mlflow import MlflowClient
from mlflow_workflow.launch.engine import Job
from mlflow_workflow.launch.local.engine import LocalEngine
from mlflow_workflow.project.graph import Step

folder, run_id = Path(sys.argv[1]), MlflowClient().create_run("0").info.run_id
engine = LocalEngine(Path.cwd(), "0", folder, notify=lambda: None)
step = Step("it", "echo $$ > pid; setsid sleep 100 & echo $! >> pid; wait", {})
engine.submit([Job(run_id, step, {})])
time.sleep(100)
"""


@linux_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_job_outlives_the_orchestrator(work: Work, tmp_path: Path, number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    process = psutil.Popen(
        [sys.executable, "-c", ORCHESTRATOR, str(tmp_path / "scratch")],
        cwd=work.engine.project,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    file = work.engine.project / "pid"
    wait_until(lambda: file.exists() and len(file.read_text().split()) == 2, "a job")
    process.send_signal(number)
    process.wait()
    wait_until(lambda: not any(map(lives, file.read_text().split())), "the end of the job", 10)


def test_an_engine_that_is_closed_ends_its_jobs_and_its_threads(make: Callable[..., Work]) -> None:
    before = {*threading.enumerate()}
    work = make()
    own = {*threading.enumerate()} - before
    job = work.start("echo began; exec sleep 100")
    work.engine.close()
    assert work.end_of([job])[0].failure == "stopped"
    assert own
    wait_until(lambda: not own & {*threading.enumerate()}, "the end of its threads", 10)
