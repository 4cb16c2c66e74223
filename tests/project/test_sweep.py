"""Sweeps: every combination once, a few at a time, and what a failing one costs the others."""

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.sweep import MOST, overrides_of, read_sweep
from tests.conftest import EXAMPLE, Done, Project, new_project
from tests.started import LONG, starting, supervisors

JOBS = 2
ALPHAS = (0, 1, 2, 3)
NUMBERS = (1, 2)
MANY_NUMBERS = (1, 2, 3, 4, 5, 6)


@dataclass(frozen=True)
class Swept:
    project: Project
    first: Done
    most_at_once: int
    second: Done


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Swept:
    """Eight combinations on two processors, watched; and once more."""
    project = new_project(tmp_path_factory.mktemp("sweep") / "project", empty_store, "relay")
    return sweep(project, NUMBERS)


def sweep(project: Project, numbers: Sequence[int]) -> Swept:
    """A sweep of these numbers with every alpha, from a config file."""
    text = f"{{number: {list(numbers)}, hold.options.alpha: {list(ALPHAS)}}}"
    project.write("sweep.yaml", f"main:\n  sweep: '{text}'\n  jobs: {JOBS}\n")
    project.commit()
    with starting(project, "--config", "sweep.yaml") as one:
        over, seen = threading.Event(), [0]

        def watch() -> None:
            while not over.wait(0.1):
                with contextlib.suppress(psutil.Error):
                    seen.append(len(supervisors(psutil.Process(one.process.pid))))

        thread = threading.Thread(target=watch)
        thread.start()
        first = one.wait(3 * LONG)
        over.set()
        thread.join()
    return Swept(project, first, max(seen), project.main("--config", "sweep.yaml"))


@pytest.mark.slow
def test_combinations_run_at_most_so_many_at_a_time_and_lock_no_database(swept: Swept) -> None:
    check_bounds(swept, len(NUMBERS) * len(ALPHAS))


@pytest.mark.slow
@pytest.mark.long
def test_so_do_24_combinations(make_project: Callable[..., Project]) -> None:
    check_bounds(sweep(make_project("relay"), MANY_NUMBERS), 24)


def check_bounds(swept: Swept, combinations: int) -> None:
    assert swept.first.code == 0, swept.first.text
    assert swept.most_at_once == JOBS
    assert "locked" not in swept.first.text
    assert len(swept.project.children("hold")) == combinations
    assert set(table(swept.second).values()) == {"reused"}


@pytest.mark.slow
def test_what_combinations_share_is_executed_once_and_the_second_sweep_reuses_all(swept: Swept) -> None:
    assert len(swept.project.children("base")) == 1
    assert swept.second.code == 0, swept.second.text
    states = table(swept.second)
    assert len(states) == 1 + len(NUMBERS) * len(ALPHAS)
    assert set(states.values()) == {"reused"}


@pytest.mark.slow
def test_the_names_of_the_runs_tell_the_combinations_apart(swept: Swept) -> None:
    names = {run.info.run_name for run in swept.project.children("hold")}
    assert names == {f"hold · number {n}, alpha {a}" for n in NUMBERS for a in ALPHAS}
    parents = {run.data.tags["mlflow.parentRunId"] for run in swept.project.children("hold")}
    assert len(parents) == 1


@pytest.mark.slow
def test_each_combination_reached_its_step_and_the_leaderboard_is_sorted(swept: Swept) -> None:
    for run in swept.project.children("hold"):
        number, alpha = map(int, re.findall(r"\d+", run.info.run_name))
        made = (swept.project.outputs(run, "hold") / "number.txt").read_text()
        assert made == f'base\n{number} {{"alpha": {alpha}}}\n'
        assert run.data.metrics["score"] == 10 * number + alpha
    sorted_board = [(10.0 * n + a, n, a) for n in NUMBERS[::-1] for a in ALPHAS[::-1]]
    shown = leaderboard(swept.first.text)
    assert shown == sorted_board[: len(shown)]
    parent = swept.project.parents()[1]
    kept = Path(parent.info.artifact_uri.removeprefix("file://"), "leaderboard.txt").read_text()
    assert leaderboard(kept) == sorted_board


def table(done: Done) -> dict[str, str]:
    """Node → state. The names of a sweep's nodes hold spaces, so columns are two of them apart."""
    rows = [re.split(r"\s{2,}", line) for line in done.text.splitlines()]
    head = max(number for number, row in enumerate(rows) if row[:2] == ["step", "state"])
    return {row[0]: row[1] for row in itertools.takewhile(lambda row: len(row) > 1, rows[head + 1 :])}


def leaderboard(text: str) -> list[tuple[float, int, int]]:
    """The rows below the heading `score  number  …`: metric, number, alpha."""
    lines = [line.split() for line in text.splitlines()]
    head = next(i for i, words in enumerate(lines) if words[:2] == ["score", "number"])
    rows = []
    for words in lines[head + 1 :]:
        if not words or words[0] == "…":
            break
        rows.append((float(words[0]), int(words[1]), int(words[2])))
    return rows


@pytest.mark.slow
def test_a_failing_branch_loses_no_other_unless_told_to_and_the_exit_code_says_so(
    swept: Swept,
) -> None:
    going = swept.project.main("--sweep", "{number: [-1, 7]}", "--jobs", "1")
    assert going.code == 1, going.text
    assert "this number is below zero" in going.text
    assert table(going) == {"base": "reused", "hold number=-1": "failed", "hold number=7": "ran"}
    assert swept.project.parents()[0].info.status == "FAILED"
    stopping = ("--sweep", "{number: [-1, 8]}", "--jobs", "1", "--keep_going", "false")
    stopped = swept.project.main(*stopping)
    assert stopped.code == 1
    began = [line for line in stopped.text.splitlines() if "starts: " in line or "failed, exit" in line]
    before = began[: next(i for i, line in enumerate(began) if "failed, exit" in line)]
    was_first = any(line.startswith("hold number=8") for line in before)
    assert table(stopped)["hold number=8"] == ("ran" if was_first else "skipped")
    assert bool(swept.project.runs("params.number = '8'")) == was_first


@pytest.mark.slow
@pytest.mark.long
def test_a_step_that_takes_too_long_is_ended_and_tried_again_and_the_table_says_so(
    swept: Swept,
) -> None:
    begin = time.monotonic()
    done = swept.project.main("slow")
    assert done.code == 0, done.text
    assert time.monotonic() - begin < 90
    assert "took longer than its timeout of 20 s; tries again" in done.text
    assert "2 attempts" in done.line("slow")
    assert swept.project.children("slow")[0].info.status == "FINISHED"


# -- reading a sweep, no process needed

RELAY = read_workflow((EXAMPLE.parent / "relay" / "MLproject").read_text())


def test_a_sweep_is_every_combination_in_the_order_written_each_value_as_typed_and_once() -> None:
    found = read_sweep("{a: [1, 1.0, '1', yes], b: [x, {k: 2}]}")
    assert [tuple(each.values()) for each in found] == [
        (a, b) for a in ("1", "1.0", "yes") for b in ("x", "{k: 2}")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2]", "must be a YAML mapping"),
        ("{number: 1}", "a list of values for 'number'"),
        ("{number: []}", "a list of values for 'number'"),
        ("{number: [1], number: [2]}", "twice"),
        (f"{{a: {list(range(101))}, b: {list(range(101))}}}", f"the most is {MOST:,}"),
        ("{a: &x [1], b: *x}", "alias"),
        ("{a: !!python/object/apply:os.system [id]}", "sweep"),
    ],
)
def test_what_is_no_sweep_is_said(text: str, words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        for combination in read_sweep(text):
            overrides_of(RELAY, combination, {}, {"hold": {"options": "{}"}})


def test_a_key_of_a_yaml_parameter_is_set_beside_what_is_given_for_it() -> None:
    base = {"hold": {"options": "{beta: 1, inner: {x: 1}}"}}
    given = overrides_of(RELAY, {"hold.options.inner.y": "[1, 2]"}, {}, base)
    assert given == {"hold.options": '{"beta": 1, "inner": {"x": 1, "y": [1, 2]}}'}
    given = overrides_of(RELAY, {"hold.options.alpha": "0.1"}, {"options": "{gamma: 2}"}, base)
    assert given["hold.options"] == '{"gamma": 2, "alpha": 0.1}'


@pytest.mark.parametrize("given", ["number", "hold.number"])
def test_what_is_swept_and_given_a_value_too_is_refused(given: str) -> None:
    with pytest.raises(WorkflowError, match=f"number is swept and {given} given as '5': leave one"):
        overrides_of(RELAY, {"number": "3"}, {given: "5"}, {})


def test_a_swept_dotted_name_wins_over_a_swept_bare_one_in_either_order() -> None:
    swept = {"number": "3", "hold.number": "5"}
    assert overrides_of(RELAY, swept, {}, {}) == swept
    assert overrides_of(RELAY, dict(reversed(swept.items())), {}, {}) == swept


def test_an_unknown_swept_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(WorkflowError, match="did you mean 'number'"):
        overrides_of(RELAY, {"nunber": "3"}, {}, {})
    with pytest.raises(WorkflowError, match=r"unknown parameter 'hold\.number\.x'"):
        overrides_of(RELAY, {"hold.number.x": "3"}, {}, {})
