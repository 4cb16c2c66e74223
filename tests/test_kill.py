"""Death at every moment: who dies, of which signal, when; and what the next orchestrator makes of it."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests import started
from tests.conftest import Done, Project, new_project
from tests.started import Gate, Started, hold_run, processes_of, starting, wait_until

pytestmark = pytest.mark.slow
STARTS, COMPUTES, UPLOADS, EXITED = (
    "before the step starts",
    "while it computes",
    "while it uploads",
    "between exit and publish",
)
MAIN, OUTER, STEP, CHILD = "main", "outer mlflow run", "step", "step's child"
INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL
SOON = 10.0
"""Seconds within which nothing may be left: half a second to notice, five of grace, more."""


@dataclass(frozen=True)
class Cell:
    """One death. `child` and `parent` tell how the runs end, `code` how what we started does."""

    target: str
    signal: signal.Signals
    phase: str
    child: str
    parent: str
    code: int

    def __str__(self) -> str:
        return f"{self.signal.name} to {self.target} {self.phase}"


# One cell stands for others where the code path is the same: main has one handler for SIGINT, SIGTERM
# and SIGHUP; the outer mlflow run dies at once of all but SIGINT, and main notices by polling, in every
# phase. Before it starts and after its exit, a step is no process.
CELLS = [
    Cell(MAIN, TERM, STARTS, "KILLED", "KILLED", 143),
    Cell(MAIN, INT, COMPUTES, "KILLED", "KILLED", 130),
    Cell(MAIN, HUP, UPLOADS, "KILLED", "KILLED", 129),
    Cell(MAIN, TERM, EXITED, "KILLED", "KILLED", 143),
    *(Cell(MAIN, KILL, phase, "KILLED", "KILLED", -9) for phase in (STARTS, COMPUTES, UPLOADS, EXITED)),
    Cell(OUTER, INT, COMPUTES, "KILLED", "FAILED", 1),  # MLflow has the last word: FAILED
    Cell(OUTER, TERM, COMPUTES, "KILLED", "KILLED", -15),
    Cell(OUTER, HUP, UPLOADS, "KILLED", "KILLED", -1),
    Cell(OUTER, KILL, STARTS, "KILLED", "KILLED", -9),
    Cell(OUTER, KILL, COMPUTES, "KILLED", "KILLED", -9),
    Cell(STEP, KILL, COMPUTES, "FAILED", "FAILED", 1),
    Cell(STEP, KILL, UPLOADS, "FAILED", "FAILED", 1),
    Cell(CHILD, KILL, COMPUTES, "FAILED", "FAILED", 1),
]
TRIES = 4
"""A moment may have passed before it could be used; then the cell is tried with another number."""


class Missed(Exception):
    """The moment to kill at was over."""


@dataclass(frozen=True)
class Death:
    """What was seen of one cell: its runs, its end, and what was left of its processes after a while."""

    number: int
    child: str
    parent: str
    done: Done
    survivors: list[str]


def die(project: Project, cell: Cell) -> Death:
    for attempt in range(TRIES):
        with contextlib.suppress(Missed):
            return die_once(project, cell, CELLS.index(cell) + 100 * attempt + 1)
    raise Missed(str(cell))


def die_once(project: Project, cell: Cell, number: int) -> Death:
    gate = Gate(project.folder.with_name(f"gate{number}"))
    variables = {**gate.variables, "FILES": "3000" if cell.phase == UPLOADS else "0"}
    given = ["--number", str(number)]
    if cell.target == OUTER:
        given = ["mlflow", "run", ".", "--env-manager", "local", "-P", f"number={number}"]
    with starting(project, *given, name=f"cell{number}", variables=variables) as one:
        run_id = reach(cell.phase, project, one, gate, number)
        one.remember_family()
        victim = victim_of(cell, one, gate)
        victim.send_signal(cell.signal)
        with contextlib.suppress(psutil.Error):
            victim.send_signal(signal.SIGCONT)
        done = one.wait()
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not (one.survivors() or processes_of(run_id)), "the end of all", SOON)
        if cell.phase == EXITED and run_id in published_runs(project):
            raise Missed(f"published before the {cell}")
        left = [*one.survivors(), *(" ".join(p.cmdline()) for p in processes_of(run_id))]
        return Death(number, run_id, parent_of(project, run_id), done, left)


def reach(phase: str, project: Project, one: Started, gate: Gate, number: int) -> str:
    """Waits for the moment; returns the child run's id. What must not go on is stopped there."""
    if phase in (EXITED, UPLOADS):
        gate.wait()
        gate.open()
    wait_until(lambda: hold_run(project, number), "a child run")
    run_id = str(hold_run(project, number))
    if phase == COMPUTES:
        gate.wait()
    if phase == UPLOADS:
        artifacts = started.artifacts_of(project, run_id)
        wait_until((artifacts / "hold").exists, "an upload")
        gate.step.suspend()
        if (artifacts / "manifest.json").exists():
            raise Missed("too late to be in the upload")
    if phase == EXITED:
        wait_until(lambda: started.status_of(project, run_id) == "FINISHED", "the step's end")
    if phase == STARTS and processes_of(run_id):
        raise Missed("too late to be before the start")
    return run_id


def victim_of(cell: Cell, one: Started, gate: Gate) -> psutil.Process:
    if cell.target == MAIN:
        return one.main
    if cell.target == OUTER:
        return psutil.Process(one.process.pid)
    return gate.step if cell.target == STEP else gate.child


def parent_of(project: Project, run_id: str) -> str:
    query = "select value from tags where run_uuid = ? and key = 'mlflow.parentRunId'"
    return started.rows(project, query, run_id)[0][0]


@dataclass(frozen=True)
class Aftermath:
    project: Project
    deaths: dict[Cell, Death]
    published: set[str]
    tried_again: list[int]
    next: Done


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Aftermath:
    """Every cell in one store, a few at a time; then one orchestrator that wants all of it."""
    project = new_project(tmp_path_factory.mktemp("kill") / "project", empty_store, "relay")
    (project.folder.parent / "tmp").mkdir()
    project.variables["TMPDIR"] = str(project.folder.parent / "tmp")
    base = project.main("base")
    assert base.code == 0, base.text
    with ThreadPoolExecutor(3) as pool:
        deaths = dict(zip(CELLS, pool.map(lambda cell: die(project, cell), CELLS), strict=True))
    published = published_runs(project)
    again = [death.number for cell, death in deaths.items() if cell.signal == KILL]
    return Aftermath(project, deaths, published, again, project.main("--sweep", f"{{number: {again}}}"))


def published_runs(project: Project) -> set[str]:
    return {run.info.run_id for run in project.runs("tags.workflow.published = 'hold'")}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_nothing_goes_on_and_nothing_half_done_is_kept_after(cell: Cell, aftermath: Aftermath) -> None:
    death = aftermath.deaths[cell]
    assert death.survivors == []
    assert death.done.code == cell.code, death.done.text
    assert death.child not in aftermath.published
    ends = [aftermath.project.client.get_run(run).info.status for run in (death.child, death.parent)]
    assert ends == [cell.child, cell.parent], death.done.text


def test_the_next_orchestrator_reuses_what_was_finished_and_runs_what_was_not(
    aftermath: Aftermath,
) -> None:
    assert aftermath.next.code == 0, aftermath.next.text
    states = [line.split() for line in aftermath.next.text.splitlines()]
    assert [row[1] for row in states if row[:1] == ["base"]][-1] == "reused"
    for number in aftermath.tried_again:
        run = aftermath.project.client.get_run(str(hold_run(aftermath.project, number)))
        made = aftermath.project.outputs(run, "hold")
        assert [file.name for file in made.iterdir()] == ["number.txt"]
        assert (made / "number.txt").read_text() == f"base\n{number} {{}}\n"
        assert "workflow.published" in run.data.tags


def test_no_run_is_left_open_and_the_dead_say_how_they_died(aftermath: Aftermath) -> None:
    assert started.left_open(aftermath.project) == []
    assert aftermath.project.runs("tags.workflow.owner LIKE '%'") == []
    killed = aftermath.deaths[Cell(MAIN, KILL, COMPUTES, "KILLED", "KILLED", -9)]
    for run_id in (killed.child, killed.parent):
        tags = aftermath.project.client.get_run(run_id).data.tags
        assert "orchestrator died" in tags["mlflow.note.content"]


def test_no_temporary_file_of_the_dead_is_left(aftermath: Aftermath) -> None:
    found = [path.name for path in (aftermath.project.folder.parent / "tmp").iterdir()]
    assert [name for name in found if name.startswith(("workflow-", "outputs-"))] == []


def test_a_main_that_was_started_without_mlflow_run_outlives_its_shell(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = make_project("relay")
    gate = Gate(tmp_path / "gate")
    said = subprocess.run(
        ["bash", "-c", f"nohup {sys.executable} main.py > ../nohup.out 2>&1 & echo $!"],
        cwd=project.folder,
        env={**project.environment(), **gate.variables},
        capture_output=True,
        check=True,
    )
    orchestrator = psutil.Process(int(said.stdout))
    gate.wait()
    orchestrator.send_signal(HUP)
    time.sleep(1.5)
    gate.open()
    psutil.wait_procs([orchestrator], timeout=60)
    assert project.children("hold")[0].info.status == "FINISHED"
    assert project.parents()[0].info.status == "FINISHED"
