"""Pins: an earlier result stands for a step, whatever its identity, in every form that names one."""

import shutil
from pathlib import Path

import pytest

from mlflow_workflow.run.pins import pinned_uri
from mlflow_workflow.server.tags import NOTE
from tests.conftest import Project, new_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """A project in which gather ran once with other numbers than its defaults give."""
    found = new_project(tmp_path_factory.mktemp("pins") / "project", empty_store)
    assert found.main("gather", "--limit", "2").states() == {"gather": "ran"}
    return found


@pytest.fixture(scope="module")
def gathered(project: Project) -> str:
    """The id of the run of gather."""
    return project.children("gather")[0].info.run_id


def test_a_run_id_pins_a_step_and_the_step_below_reads_its_outputs(
    project: Project, gathered: str
) -> None:
    done = project.main("left", "--gather", gathered)
    assert done.states() == {"gather": "pinned", "left": "ran"}
    (left,) = project.children("left")
    assert (project.outputs(left, "left") / "left.txt").read_text().count("\n") == 2
    assert left.data.params["gather"] == f"runs:/{gathered}/gather"


@pytest.mark.parametrize("pin", ["{run}", "runs:/{run}", "runs:/{run}/", "runs:/{run}/gather"])
def test_a_run_is_named_by_its_id_or_uri(pin: str) -> None:
    run = "0123456789abcdef" * 2
    assert pinned_uri(pin.format(run=run), "gather") == f"runs:/{run}/gather"


@pytest.mark.parametrize("form", ["runs:/{run}", "{run:.8}", "file://{folder}"])
def test_every_form_of_a_pin_names_the_same_outputs_so_what_is_below_is_reused(
    project: Project, gathered: str, form: str
) -> None:
    folder = project.outputs(project.client.get_run(gathered), "gather")
    pin = form.format(run=gathered, folder=folder)
    done = project.main("left", "--gather", pin)
    assert done.states() == {"gather": "pinned", "left": "reused"}, done.text
    assert "pinned to" in done.line("gather")


def test_a_folder_made_by_hand_can_stand_for_a_step_when_it_runs_alone(project: Project) -> None:
    folder = project.folder.parent / "by hand"
    folder.mkdir()
    (folder / "numbers.txt").write_text("5\n")
    given = ["-P", f"gather={folder}", "-P", "factor=3"]
    done = project.command("mlflow", "run", ".", "--env-manager", "local", "-e", "left", *given)
    assert done.code == 0, done.text
    assert (project.outputs(project.runs()[0], "left") / "left.txt").read_text() == "15\n"


@pytest.mark.parametrize(
    ("pin", "said"),
    [
        ("nowhere/at/all", "cannot use the pin nowhere/at/all"),
        ("http://localhost:1/x", "cannot use the pin http://localhost:1/x: MLflow cannot load"),
        ("0" * 32, "no run '00000000000000000000000000000000' in sqlite"),
    ],
)
def test_a_pin_that_names_nothing_is_refused_before_anything_runs(
    project: Project, pin: str, said: str
) -> None:
    before = len(project.children("left"))
    done = project.main("left", "--gather", pin)
    assert done.code == 2, done.text
    assert said in done.line("Error:")
    assert "Traceback" not in done.text
    assert len(project.children("left")) == before
    parent = project.parents()[0]
    assert parent.info.status == "FAILED"
    assert "**Error**" in parent.data.tags[NOTE]


def test_a_pin_to_a_run_of_another_step_says_of_which(project: Project, gathered: str) -> None:
    assert project.main("left", "--gather", gathered).code == 0
    (left, *_) = project.children("left")
    done = project.main("left", "--gather", left.info.run_id)
    assert done.code == 2
    assert "(that run is of step 'left')" in done.line("Error: cannot use the pin")


def test_a_pin_whose_outputs_are_damaged_is_refused(project: Project, gathered: str) -> None:
    folder = project.outputs(project.client.get_run(gathered), "gather")
    shutil.copytree(folder, folder.parent / "kept")
    (folder / "numbers.txt").write_text("9\n9\n")
    done = project.main("left", "--gather", gathered)
    assert done.code == 2, done.text
    assert "numbers.txt" in done.line("Error: cannot use the pin")
