"""The environments that MLflow builds for a project, and the README's way, each from nothing.

Each test installs some 300 MB of packages, so plain `pytest` leaves them out: `pytest -m environments`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Done, Project
from tests.readme import setup_commands

pytestmark = pytest.mark.environments
LONG_ENOUGH = 900
STEPS = ("preprocess", "train", "predict")


def run_in_new_environment(project: Project, manager: str, *more: str) -> Done:
    """`mlflow run . -P task=predict` with an environment that this test makes and nobody keeps."""
    project.variables["MLFLOW_ENV_ROOT"] = str(project.folder.parent / "environments")
    command = ["mlflow", "run", ".", "-P", "task=predict", *more]
    return project.command(*command, "--env-manager", manager, timeout=LONG_ENOUGH)


def check_predictions(project: Project, done: Done) -> None:
    assert done.code == 0, done.text
    assert done.states() == dict.fromkeys(STEPS, "ran")
    every = [experiment.experiment_id for experiment in project.client.search_experiments()]
    (made,) = project.client.search_runs(every, "tags.workflow.step = 'predict'")
    file = project.outputs(made, "predict") / "test_prediction.csv"
    assert len(file.read_text().splitlines()) == 419


def test_uv_builds_the_environment_and_the_steps_run_in_it(titanic: Project) -> None:
    check_predictions(titanic, run_in_new_environment(titanic, "uv"))
    assert list((titanic.folder.parent / "environments").glob("**/bin/python"))


def test_the_default_environment_manager_builds_the_environment(titanic: Project) -> None:
    # pyenv is what MLflow's default manager finds Pythons with. A machine may have none: then one that
    # knows this very Python stands in for it, and all the rest is as real.
    if shutil.which("pyenv") is None:
        titanic.variables["PATH"] = f"{stand_in_for_pyenv(titanic)}:{titanic.environment()['PATH']}"
    check_predictions(titanic, run_in_new_environment(titanic, "virtualenv"))


def stand_in_for_pyenv(project: Project) -> Path:
    """A folder with a `pyenv` that has one version installed: the Python that runs this."""
    folder = project.folder.parent / "pyenv"
    (folder / "bin").mkdir(parents=True)
    version = ".".join(str(number) for number in sys.version_info[:3])
    (folder / "versions" / version / "bin").mkdir(parents=True)
    (folder / "versions" / version / "bin" / "python").symlink_to(sys.executable)
    script = folder / "bin" / "pyenv"
    answers = f"--version|root) echo '{folder}' ;; install|versions) echo '{version}' ;;"
    script.write_text(f'#!/bin/sh\ncase "$1" in {answers} esac\n')
    script.chmod(0o755)
    return folder / "bin"


def test_the_readmes_first_command_does_all_from_a_clean_clone(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    project = Project(tmp_path / "clone", f"sqlite:///{tmp_path / 'clone' / 'mlflow.db'}")
    project.variables |= {"MLFLOW_TRACKING_URI": "", "PATH": path_without_this_environment()}
    command = setup_commands()[0]
    check_predictions(project, project.command("bash", "-c", command, timeout=LONG_ENOUGH))
    assert project.git("status", "--porcelain") == ""


def path_without_this_environment() -> str:
    """PATH as it is for somebody who has not activated the environment that the tests run in."""
    import os

    own = str(Path(sys.executable).parent)
    base = str(Path(sys.base_prefix) / "bin")
    return os.pathsep.join([base, *(p for p in os.environ["PATH"].split(os.pathsep) if p != own)])
