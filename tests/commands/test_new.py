"""A project of one's own: made in a moment, complete, and nothing of anybody's is overwritten."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlflow_workflow.checks.contract import mistakes
from mlflow_workflow.commands.engine import where_from
from mlflow_workflow.project.mlproject import open_workflow
from tests.commands.installed import install
from tests.conftest import ROOT, Done, Project, git

IDENTITY = {f"GIT_{who}_{what}": "you" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
NOBODY = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "EMAIL": ""}


def command(folder: Path, *words: str, engine: Path = ROOT, **variables: str) -> Done:
    """`mlflow-workflow …` of the engine that lies in a folder, as the installed command runs it."""
    beside = Project(folder, "", {"PYTHONPATH": str(engine), **IDENTITY, **variables})
    return beside.command(sys.executable, "-P", "-m", "mlflow_workflow", *words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, as `new` made it: only to be looked at."""
    folder = tmp_path_factory.mktemp("new")
    done = command(folder, "new", "wine")
    assert done.code == 0, done.text
    return folder / "wine"


def own_files(project: Path) -> Iterator[str]:
    listing = git(project, "ls-files").splitlines()
    return (name for name in listing if not name.startswith("mlflow_workflow/"))


def test_it_is_small_complete_and_committed(made: Path) -> None:
    files = list(own_files(made))
    assert len(files) < 25
    assert {"MLproject", "main.py", "README.md", ".gitignore", "input/wine.csv"} <= set(files)
    assert git(made, "log", "--format=%s") == "A new project\n"
    assert git(made, "status", "--porcelain") == ""
    assert mistakes(made) == []
    assert len((made / "README.md").read_text().splitlines()) <= 12
    text = "".join((made / name).read_text() for name in files)
    assert "Titanic" not in text and "{{" not in text.replace("{{}}", "")


def test_its_main_takes_what_the_main_of_this_repository_takes(made: Path) -> None:
    ours, its = open_workflow(ROOT).main, open_workflow(made).main
    own = {"task": "evaluate", "match": "code", "metric": "accuracy"}
    expected = {n: replace(p, default=own.get(n, p.default)) for n, p in ours.parameters.items()}
    assert its.parameters == expected
    assert its.command == ours.command


def test_both_its_environment_files_list_the_same(made: Path) -> None:
    python_env = yaml.safe_load((made / "python_env.yaml").read_text())["dependencies"]
    conda = yaml.safe_load((made / "conda.yaml").read_text())
    assert conda["dependencies"][-1]["pip"] == python_env
    assert conda["name"] == "wine"
    assert all("==" in line for line in python_env)


def test_of_an_engine_that_nobody_installed_it_has_a_copy_and_is_told_so(tmp_path: Path) -> None:
    done = command(tmp_path, "new", "own")
    assert "a copy in mlflow_workflow/, because the one that runs was not installed" in done.text
    assert (tmp_path / "own/mlflow_workflow/report/pages/workflow.html").is_file()


def test_the_help_of_its_steps_shows_the_defaults_of_mlproject(made: Path) -> None:
    text = Project(made, "").command(sys.executable, "-m", "steps.train", "--help").text
    assert "Train a random forest to tell the cultivars apart." in text
    assert re.search(r"^  --trees INTEGER +of the forest +\[required\]$", text, re.MULTILINE)
    assert text.rstrip().endswith(
        "What MLproject gives, if nobody else does:\n"
        "  --split  outputs of split\n"
        "  --trees  int, default 100\n"
        "  --seed   int, default 0"
    )


@pytest.mark.slow
def test_it_runs_at_once_and_its_tests_pass_at_once(
    made: Path, tmp_path: Path, empty_store: Path
) -> None:
    shutil.copytree(made, tmp_path / "wine")
    shutil.copy2(empty_store, tmp_path / "wine.db")
    project = Project(tmp_path / "wine", f"sqlite:///{tmp_path / 'wine.db'}")
    done = project.mlflow_run()
    assert done.code == 0, done.text
    assert done.states() == dict.fromkeys(("split", "train", "evaluate"), "ran")
    again = project.main("--trees", "100")
    assert again.states() == dict.fromkeys(("split", "train", "evaluate"), "reused")
    tests = project.command(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert tests.code == 0, tests.text
    assert project.git("status", "--porcelain") == ""


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    done = command(tmp_path, "new", "full")
    assert done.code == 1
    assert done.text == "Error: full is there already and not empty: name a new folder\n"
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert command(tmp_path, "new", "full/mine.txt").code == 1


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command(tmp_path, "new", "file/own")
    assert done.code == 1
    assert len(done.text.splitlines()) == 1 and done.text.startswith("Error: ")


def test_an_editable_engine_is_listed_by_its_folder(tmp_path: Path) -> None:
    site, clone = tmp_path / "site", install(tmp_path / "clone", "8.0")
    site.mkdir()
    (clone / "mlflow_workflow-8.0.dist-info").rename(site / "mlflow_workflow-8.0.dist-info")
    record = {"url": clone.as_uri(), "dir_info": {"editable": True}}
    (site / "mlflow_workflow-8.0.dist-info/direct_url.json").write_text(json.dumps(record))
    done = command(tmp_path, "new", "own", engine=Path(f"{clone}{os.pathsep}{site}"))
    assert f"as mlflow-workflow @ {clone.as_uri()}; that is a place on this machine" in done.text
    other = command(tmp_path, "new", "other", engine=Path(f"{ROOT}{os.pathsep}{site}"))
    assert "a copy in mlflow_workflow/" in other.text


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "a first commit" in command(tmp_path, "new", "empty").text


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({**NOBODY, **dict.fromkeys(IDENTITY, "")}, "git does not know who you are: git config --glob"),
        ({"PATH": "/nowhere"}, "not committed, because git is not installed"),
    ],
)
def test_without_git_or_a_name_for_it_the_project_is_made_and_says_what_to_do(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    done = command(tmp_path, "new", "own", **variables)
    assert done.code == 0
    assert said in done.text
    assert mistakes(tmp_path / "own") == []


def test_in_a_repository_no_other_is_begun(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert f"lies in the repository {tmp_path}: commit it there" in command(tmp_path, "new", "own").text
    assert not (tmp_path / "own/.git").exists()


# -- where the project says that its engine comes from

GIT = {"url": "https://x:secret@example.org/e.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}


@pytest.mark.parametrize(
    ("origin", "line"),
    [
        (None, "mlflow-workflow==8.0"),
        (GIT, "mlflow-workflow @ git+https://example.org/e.git@abc"),
        (
            {**GIT, "subdirectory": "e"},
            "mlflow-workflow @ git+https://example.org/e.git@abc#subdirectory=e",
        ),
        ({"url": "file:///a/e.zip", "archive_info": {}}, "mlflow-workflow @ file:///a/e.zip"),
        ({"url": "file:///a/e", "dir_info": {}}, "mlflow-workflow @ file:///a/e"),
    ],
)
def test_an_installed_engine_is_listed_by_where_it_came_from(
    tmp_path: Path, origin: dict[str, Any] | None, line: str
) -> None:
    site = install(tmp_path / "site", "8.0", origin)
    assert where_from(PathDistribution(site / "mlflow_workflow-8.0.dist-info")) == line
    done = command(tmp_path, "new", "own", engine=site)
    assert done.code == 0, done.text
    listed = (tmp_path / "own/python_env.yaml").read_text()
    assert f"\n  - {line}\n" in listed or f"\n  - {line}  # 8.0\n" in listed
    assert not (tmp_path / "own/mlflow_workflow").exists()


def test_with_vendor_an_installed_engine_is_copied_too(tmp_path: Path) -> None:
    site = install(tmp_path / "site", "8.0")
    command(tmp_path, "new", "own", "--vendor", engine=site)
    copy = tmp_path / "own/mlflow_workflow"
    assert json.loads((copy / "copy.json").read_text())["version"] == "8.0"
    assert "mlflow-workflow" not in (tmp_path / "own/python_env.yaml").read_text()
