"""Many orchestrators on one store at the same time."""

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import ViewType

from tests.conftest import Done, Project, new_project
from tests.started import Gate, hold_run, left_open, starting, status_of, wait_until

pytestmark = pytest.mark.slow
TOGETHER = 5
SWEEPS = ("{number: [1, 2]}", "{number: [2, 3]}", "{number: [3, 1]}")


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Project, list[Done]]:
    """Eight at once, three of them sweeps, on a store that has not even tables."""
    project = new_project(tmp_path_factory.mktemp("crowd") / "project", empty_store, "relay")
    Path(project.uri.removeprefix("sqlite:///")).unlink()
    project.variables["WORKFLOW_LEASE_SECONDS"] = "120"  # a slow disk is no death
    wanted = [["hold"]] * TOGETHER + [["hold", "--sweep", sweep] for sweep in SWEEPS]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(starting(project, *arguments, name=f"crowd{number}"))
            for number, arguments in enumerate(wanted)
        ]
        return project, [one.wait(180) for one in started]


def test_orchestrators_started_together_on_an_empty_store_execute_each_step_once(
    crowd: tuple[Project, list[Done]],
) -> None:
    project, all_done = crowd
    assert [done.code for done in all_done] == [0] * len(all_done), all_done
    assert len(project.children("base")) == 1
    executed = Counter(run.data.params["number"] for run in project.children("hold"))
    assert executed == {"1": 1, "2": 1, "3": 1}


def test_those_that_wait_say_for_which_run_of_whom(crowd: tuple[Project, list[Done]]) -> None:
    project, all_done = crowd
    # Also those that were withdrawn, since yet another was quicker.
    runs = project.client.search_runs(["0"], "tags.workflow.step LIKE '%'", ViewType.ALL)
    expected = {f"waits for run {r.info.run_id[:8]} of {r.data.tags['mlflow.user']}" for r in runs}
    said = [line for done in all_done for line in done.text.splitlines() if "waits for" in line]
    assert said
    assert all(any(words in line for words in expected) for line in said), said


def test_nothing_is_left_of_a_crowd(crowd: tuple[Project, list[Done]]) -> None:
    project, all_done = crowd
    assert left_open(project) == []
    assert project.runs("tags.workflow.owner LIKE '%'") == []
    assert not any("locked" in done.text for done in all_done)


@pytest.mark.long
def test_a_sleeper_is_passed_over_and_cannot_publish_when_it_wakes(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = make_project("relay")
    project.variables["WORKFLOW_LEASE_SECONDS"] = "12"
    gate = Gate(tmp_path / "gate")
    with starting(project, "hold", name="sleeper", variables=gate.variables) as sleeper:
        gate.wait()
        slept = str(hold_run(project, 1))
        sleeper.main.suspend()
        with starting(project, "hold", name="patient") as patient:
            wait_until(lambda: patient.says(f"waits for run {slept[:8]}"), "a second orchestrator")
            assert project.main("hold", "--wait", "false").states()["hold"] == "ran"
            other = patient.wait()
        assert other.code == 0, other.text
        assert project.client.get_run(slept).info.status == "KILLED"
        assert "orchestrator died" in project.client.get_run(slept).data.tags["mlflow.note.content"]
        gate.open()
        wait_until(
            lambda: status_of(project, slept) != "KILLED" or not gate.step.is_running(), "its end"
        )
        sleeper.main.resume()
        woken = sleeper.wait()
    assert woken.code == 0, woken.text
    assert woken.states()["hold"] == "reused"
    assert "lost its lease; result discarded" in woken.text
    sleep = project.client.get_run(slept)
    assert sleep.info.status == "KILLED"
    assert "workflow.published" not in sleep.data.tags
