"""The built wheel in environments that hold nothing else: a project from nothing to a later engine.

Each test installs some 300 MB of packages, so plain `pytest` leaves them out: `pytest -m environments`.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlflow_workflow import __version__
from tests.conftest import Done, Project, begin_repository, copy_own_files

pytestmark = pytest.mark.environments
STEPS = ("split", "train", "evaluate")
NEWER = "99.0"
UV = (sys.executable, "-m", "uv")

ENTRY = """
  count:
    parameters:
      evaluate: path
    command: "python -m steps.count --evaluate {evaluate}"
"""
STEP = '''"""Count the predictions.

Reads predictions.csv in the outputs of evaluate

Writes count.txt
"""

from pathlib import Path

import click
import pandas as pd

from mlflow_workflow.step import step


@click.command(help=__doc__)
@click.option("--evaluate", required=True, type=click.Path(path_type=Path))
def main(evaluate: Path) -> None:
    """Run the step."""
    with step() as outputs:
        (outputs / "count.txt").write_text(str(len(pd.read_csv(evaluate / "predictions.csv"))))


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the engine and pytest, and a folder to work in."""

    folder: Path

    def install(self, *what: str) -> None:
        python = str(self.folder / "bin/python")
        subprocess.run([*UV, "pip", "install", "--quiet", "--python", python, *what], check=True)

    def project(self, folder: Path) -> Project:
        """A project with the default store in it, used from within this environment alone."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return Project(folder, f"sqlite:///{folder / 'mlflow.db'}", {"PATH": path, **COMMITTER})

    def new(self, folder: Path) -> Project:
        """What `mlflow-workflow new` makes of a folder."""
        done = self.project(folder.parent).command("mlflow-workflow", "new", folder.name)
        assert done.code == 0, done.text
        return self.project(folder)


COMMITTER = {f"GIT_{who}_{what}": "you" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def environment(folder: Path, python: str, *packages: str) -> Environment:
    subprocess.run([*UV, "venv", "--quiet", "--python", python, str(folder)], check=True)
    made = Environment(folder)
    made.install("pytest", *packages)
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the files of this one."""
    folder = tmp_path_factory.mktemp("source") / "engine"
    copy_own_files(folder, only=("",))
    begin_repository(folder)
    return folder


def wheel_of(source: Path, into: Path) -> Path:
    subprocess.run([*UV, "build", "--quiet", "--wheel", "--out-dir", str(into), str(source)], check=True)
    (wheel,) = into.glob("mlflow_workflow-*")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel_of(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def newer_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next version, as a maintainer would make it: a number and a line in the changelog."""
    folder = tmp_path_factory.mktemp("newer") / "engine"
    shutil.copytree(source, folder)
    for name, old, new in (
        ("mlflow_workflow/__init__.py", f'"{__version__}"', f'"{NEWER}"'),
        ("CHANGELOG.md", f"## {__version__}\n", f"## {NEWER}\n\n- Steps fly.\n\n## {__version__}\n"),
    ):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))
    return wheel_of(folder, folder.parent / "wheel")


def ran(done: Done) -> dict[str, str]:
    assert done.code == 0, done.text
    return done.states()


def test_from_an_empty_environment_to_a_later_engine(
    wheel: Path, newer_wheel: Path, tmp_path: Path
) -> None:
    here = environment(tmp_path / "venv", sys.executable, str(wheel))
    own = here.new(tmp_path / "own")
    assert not (own.folder / "mlflow_workflow").exists()
    assert ran(own.mlflow_run()) == dict.fromkeys(STEPS, "ran")
    assert own.command("pytest", "-q").code == 0

    own.write("steps/count.py", STEP)
    own.edit("MLproject", "\n  split:\n", f"{ENTRY}\n  split:\n")
    assert own.command("mlflow-workflow", "check").code == 0
    states = ran(own.command("python", "main.py", "count"))
    assert states == {**dict.fromkeys(STEPS, "reused"), "count": "ran"}
    assert own.command("pytest", "-q").code == 0

    here.install(str(newer_wheel))
    done = own.command("mlflow-workflow", "upgrade")
    assert f"mlflow-workflow {__version__} → {NEWER}" in done.text and "Steps fly." in done.text
    assert newer_wheel.as_uri() in (own.folder / "python_env.yaml").read_text()
    again = own.command("python", "main.py")
    assert ran(again) == dict.fromkeys(STEPS, "ran")
    assert f"mlflow-workflow {__version__}" in again.line("split")
    assert own.children("train")[0].data.tags["workflow.engine"] == NEWER


@pytest.mark.parametrize("kind", ["wheel", "git"])
def test_the_environment_that_mlflow_builds_for_a_project_has_its_engine(
    kind: str, source: Path, wheel: Path, tmp_path: Path
) -> None:
    commit = subprocess.check_output(["git", "-C", str(source), "rev-parse", "HEAD"], text=True).strip()
    origin = {"wheel": str(wheel), "git": f"git+{source.as_uri()}@{commit}"}[kind]
    own = environment(tmp_path / "venv", sys.executable, origin).new(tmp_path / "own")
    listed = (own.folder / "python_env.yaml").read_text()
    assert (wheel.as_uri() if kind == "wheel" else f"{source.as_uri()}@{commit}") in listed
    own.variables["MLFLOW_ENV_ROOT"] = str(tmp_path / "environments")
    done = own.command("mlflow", "run", ".", "--env-manager", "uv", timeout=900)
    assert ran(done) == dict.fromkeys(STEPS, "ran")
    assert list((tmp_path / "environments").glob("**/site-packages/mlflow_workflow/__init__.py"))


def python_of(minor: int) -> str | None:
    """A Python 3.x of this machine, if it has one: on PATH, or where pyenv keeps them."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python3.{minor}"), *map(str, kept.glob(f"3.{minor}.*/bin/python"))]
    for python in filter(None, found):
        # pyenv leaves commands on PATH for versions that are not chosen: these only complain.
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


@pytest.mark.parametrize("minor", [12, 13])
def test_another_python_does_the_same(minor: int, source: Path, wheel: Path, tmp_path: Path) -> None:
    if (python := python_of(minor)) is None:
        pytest.skip(f"there is no Python 3.{minor} on this machine")
    here = environment(tmp_path / "venv", python, str(wheel))
    own = here.new(tmp_path / "own")
    assert ran(own.mlflow_run()) == dict.fromkeys(STEPS, "ran")
    assert ran(own.command("python", "main.py")) == dict.fromkeys(STEPS, "reused")
    new_pythons = own.command("python", "main.py", "--rerun", "all", "--warm", "false")
    assert ran(new_pythons) == dict.fromkeys(STEPS, "ran")
    assert own.command("pytest", "-q").code == 0
    shutil.copytree(source, tmp_path / "clone")
    clone = here.project(tmp_path / "clone")
    here.install("matplotlib")
    states = ran(clone.command("python", "main.py", "evaluate"))
    assert set(states.values()) == {"ran"}
    assert set(ran(clone.command("python", "main.py", "evaluate")).values()) == {"reused"}
