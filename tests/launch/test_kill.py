"""Death at every moment: who dies, of which signal, when; and what the next orchestrator makes of it."""

import contextlib
import functools
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import psutil
import pytest

from mlflow_workflow.run import interrupts
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
SOON = 60.0
"""Seconds within which nothing may be left: half a second to notice, five of grace; the rest is for a
machine that has much else to do."""


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


ENDS = {MAIN: lambda number: 128 + number, OUTER: lambda number: -number}


def cell_of(target: str, number: signal.Signals, phase: str) -> Cell:
    """How a death must look where the workflow is told to end, or nobody is left to tell it."""
    code = -9 if number == KILL else ENDS[target](number)
    if (target, number) == (OUTER, INT):
        return Cell(target, number, phase, "KILLED", "FAILED", 1)  # MLflow has the last word: FAILED
    return Cell(target, number, phase, "KILLED", "KILLED", code)


# Before it starts and after its exit, a step is no process.
OF_STEPS = [
    Cell(STEP, KILL, COMPUTES, "FAILED", "FAILED", 1),
    Cell(STEP, KILL, UPLOADS, "FAILED", "FAILED", 1),
    Cell(CHILD, KILL, COMPUTES, "FAILED", "FAILED", 1),
    Cell(CHILD, KILL, UPLOADS, "FINISHED", "FINISHED", 0),  # the step needs it no more
]
Group = tuple[Cell, ...]
FEW: Group = (
    cell_of(MAIN, TERM, STARTS),
    cell_of(MAIN, INT, COMPUTES),
    cell_of(MAIN, HUP, UPLOADS),
    cell_of(MAIN, KILL, EXITED),
    cell_of(OUTER, KILL, COMPUTES),
    OF_STEPS[0],
)
SIGNALS, PHASES = (INT, TERM, HUP, KILL), (STARTS, COMPUTES, UPLOADS, EXITED)
EVERY = [cell_of(*death) for death in product((MAIN, OUTER), SIGNALS, PHASES)] + OF_STEPS
REST: Group = tuple(cell for cell in EVERY if cell not in FEW)
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
            return die_once(project, cell, number_of(cell) + 100 * attempt)
    raise Missed(str(cell))


def number_of(cell: Cell) -> int:
    return EVERY.index(cell) + 1


def die_once(project: Project, cell: Cell, number: int) -> Death:
    gate = Gate(project.folder.with_name(f"gate{number}"))
    variables = {**gate.variables, "FILES": "3000" if cell.phase == UPLOADS else "0"}
    if cell.target == CHILD and cell.phase == UPLOADS:
        variables["CHILD_STAYS"] = "true"
    given = ["--number", str(number)]
    if cell.target == OUTER:
        given = ["mlflow", "run", ".", "--env-manager", "local", "-P", f"number={number}"]
    with starting(project, *given, name=f"cell{number}", variables=variables) as one:
        run_id = reach(cell.phase, project, one, gate, number)
        one.remember_family()
        stopped = [one.main, gate.step] if cell.target == CHILD else [one.main]
        victim_of(cell, one, gate).send_signal(cell.signal)
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
        done = one.wait()
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not (one.survivors() or processes_of(run_id)), "the end of all", SOON)
        if cell == cell_of(MAIN, KILL, EXITED) and run_id in published_runs(project):
            raise Missed("too late to be before the publication")
        left = [*one.survivors(), *(" ".join(started.words_of(p)) for p in processes_of(run_id))]
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
        # From here on nobody may ask the store: main may have been stopped in a transaction.
        one.main.suspend()
        wait_until(lambda: not processes_of(run_id), "the step's exit")
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
def aftermaths(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Callable[[Group], Aftermath]:
    """What came of a group of cells; each group has a store of its own, and dies once."""

    @functools.cache
    def aftermath(group: Group) -> Aftermath:
        project = new_project(tmp_path_factory.mktemp("kill") / "project", empty_store, "relay")
        return aftermath_of(group, project)

    return aftermath


def aftermath_of(group: Group, project: Project) -> Aftermath:
    """All the cells, a few at a time; then one orchestrator that wants all of it."""
    (project.folder.parent / "tmp").mkdir()
    project.variables["TMPDIR"] = str(project.folder.parent / "tmp")
    base = project.main("base")
    assert base.code == 0, base.text
    with ThreadPoolExecutor(3) as pool:
        deaths = dict(zip(group, pool.map(lambda cell: die(project, cell), group), strict=True))
    published = published_runs(project)
    unfinished = [d for c, d in deaths.items() if c.signal == KILL and c.child != "FINISHED"]
    again = [death.number for death in unfinished]
    return Aftermath(project, deaths, published, again, project.main("--sweep", f"{{number: {again}}}"))


def published_runs(project: Project) -> set[str]:
    return {run.info.run_id for run in project.runs("tags.workflow.published = 'hold'")}


GROUPS = [
    pytest.param(FEW, id="a few deaths"),
    pytest.param(REST, marks=pytest.mark.long, id="every other death"),
]
in_each_group = pytest.mark.parametrize("group", GROUPS)


@pytest.mark.parametrize(
    ("group", "cell"),
    [
        pytest.param(*group.values, cell, marks=group.marks, id=str(cell))
        for group in GROUPS
        for cell in group.values[0]
    ],
)
def test_nothing_goes_on_and_nothing_half_done_is_kept_after(
    group: Group, cell: Cell, aftermaths: Callable[[Group], Aftermath]
) -> None:
    aftermath = aftermaths(group)
    death = aftermath.deaths[cell]
    assert death.survivors == []
    assert death.done.code == cell.code, death.done.text
    child, parent = (
        aftermath.project.client.get_run(run).info.status for run in (death.child, death.parent)
    )
    assert (death.child in aftermath.published) == (child == "FINISHED")
    # What is told to end just when its step is done may publish that first.
    may_publish = cell.phase == EXITED and (cell.target, cell.signal) != (MAIN, KILL)
    assert child == cell.child or (may_publish and child == "FINISHED"), death.done.text
    # It may even be done before it notices that the `mlflow run` around it is gone.
    may_be_done = child == "FINISHED" and cell.phase == EXITED and cell.target == OUTER
    assert parent == cell.parent or (may_be_done and parent == "FINISHED"), death.done.text


@in_each_group
def test_the_next_orchestrator_reuses_what_was_finished_and_runs_what_was_not(
    group: Group, aftermaths: Callable[[Group], Aftermath]
) -> None:
    aftermath = aftermaths(group)
    assert aftermath.next.code == 0, aftermath.next.text
    states = [line.split() for line in aftermath.next.text.splitlines()]
    assert [row[1] for row in states if row[:1] == ["base"]][-1] == "reused"
    for number in aftermath.tried_again:
        run = aftermath.project.client.get_run(str(hold_run(aftermath.project, number)))
        made = aftermath.project.outputs(run, "hold")
        assert [file.name for file in made.iterdir()] == ["number.txt"]
        assert (made / "number.txt").read_text() == f"base\n{number} {{}}\n"
        assert "workflow.published" in run.data.tags


@in_each_group
def test_no_run_is_left_open_and_the_dead_say_how_they_died(
    group: Group, aftermaths: Callable[[Group], Aftermath]
) -> None:
    aftermath = aftermaths(group)
    assert started.left_open(aftermath.project) == []
    assert aftermath.project.runs("tags.workflow.owner LIKE '%'") == []
    for cell, death in aftermath.deaths.items():
        if (cell.target, cell.signal) == (MAIN, KILL):
            for run_id in (death.child, death.parent):
                tags = aftermath.project.client.get_run(run_id).data.tags
                assert "orchestrator died" in tags["mlflow.note.content"]


@in_each_group
def test_no_temporary_file_of_the_dead_is_left(
    group: Group, aftermaths: Callable[[Group], Aftermath]
) -> None:
    aftermath = aftermaths(group)
    found = [path.name for path in (aftermath.project.folder.parent / "tmp").iterdir()]
    assert [name for name in found if name.startswith(("workflow-", "outputs-"))] == []


@pytest.mark.long
def test_the_workflow_ends_with_an_mlflow_run_that_has_a_shell_in_between(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    """bash becomes its last command, unless there is something after it."""
    project = make_project("relay")
    project.edit("MLproject", "--verbose {verbose}\n", "--verbose {verbose}; exit $?\n")
    gate = Gate(tmp_path / "gate")
    command = ("mlflow", "run", ".", "--env-manager", "local")
    with starting(project, *command, variables=gate.variables) as outer:
        gate.wait()
        assert outer.main.parent().name() == "bash"
        outer.remember_family()
        outer.process.kill()
        wait_until(lambda: not outer.survivors(), "the end of all", SOON)
    assert started.left_open(project) == []
    assert project.children("hold")[0].info.status == "KILLED"


@pytest.mark.long
def test_a_second_ctrl_c_ends_a_main_that_cannot_end(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = make_project("relay")
    gate = Gate(tmp_path / "gate")
    with starting(project, variables=gate.variables) as one:
        gate.wait()
        one.remember_family()
        (supervisor,) = started.supervisors(one.main)
        supervisor.suspend()
        one.process.send_signal(INT)
        time.sleep(interrupts.GRACE + 0.5)
        assert one.process.poll() is None
        one.process.send_signal(INT)
        assert one.wait(SOON).code == 130
        supervisor.resume()
        wait_until(lambda: not one.survivors(), "the end of all", SOON)
    assert project.main("base").code == 0
    assert started.left_open(project) == []


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
