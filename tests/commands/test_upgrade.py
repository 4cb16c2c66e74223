"""Later fixes of the engine reach a project, and nothing else of it is touched."""

from pathlib import Path

import pytest

from tests.commands.installed import install
from tests.commands.test_new import command
from tests.conftest import git

WHEEL = {"url": "file:///a/mlflow_workflow-9.0.zip", "archive_info": {}}


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    return install(tmp_path / "newer", "9.0", WHEEL)


def project(folder: Path, *options: str) -> Path:
    """A project that version 8.0 made."""
    older = install(folder / "older", "8.0")
    assert command(folder, "new", "own", *options, engine=older).code == 0
    return folder / "own"


def changed(own: Path) -> list[str]:
    return [line[3:] for line in git(own, "status", "--porcelain").splitlines()]


def test_the_engine_that_is_listed_becomes_the_installed_one(tmp_path: Path, newer: Path) -> None:
    own = project(tmp_path)
    list_of_packages = own / "python_env.yaml"
    list_of_packages.write_bytes(list_of_packages.read_bytes().replace(b"\n", b"\r\n") + b"# mine\r\n")
    before = list_of_packages.read_text()
    done = command(own, "upgrade", engine=newer)
    assert done.code == 0, done.text
    line = f"mlflow-workflow @ {WHEEL['url']}  # 9.0"
    assert f"python_env.yaml: mlflow-workflow==8.0 → {line}" in done.text
    assert f"conda.yaml: mlflow-workflow==8.0 → {line}" in done.text
    assert list_of_packages.read_text() == before.replace("mlflow-workflow==8.0", line)
    assert b"# mine\r\n" in list_of_packages.read_bytes()
    assert changed(own) == ["conda.yaml", "python_env.yaml"]


def test_it_says_what_changed_since_the_projects_version(tmp_path: Path, newer: Path) -> None:
    own = project(tmp_path)
    text = command(own, "upgrade", engine=newer).text
    assert "mlflow-workflow 8.0 → 9.0" in text
    assert "- newest" in text and "- newer" not in text
    assert "the project has mlflow-workflow 9.0" in command(own, "upgrade", engine=newer).text
    oldest = (own / "python_env.yaml").read_text().replace("# 9.0", "# 0.1.0")
    (own / "python_env.yaml").write_text(oldest)
    text = command(own, "upgrade", engine=newer).text
    assert "- newest" in text and "- newer" in text and "- older" not in text


def test_a_copy_is_renewed_unless_somebody_edited_it(tmp_path: Path, newer: Path) -> None:
    own = project(tmp_path, "--vendor")
    package = own / "mlflow_workflow"
    (package / "step.py").write_text("mine\n")
    (package / "gone.py").write_text("of an older version\n")
    done = command(own, "upgrade", engine=newer)
    assert done.code == 1
    assert "mlflow_workflow/ was edited since it was put in" in done.text
    assert (package / "step.py").read_text() == "mine\n"
    assert "8.0 → 9.0" in command(own, "upgrade", "--discard-edits", engine=newer).text
    assert (package / "step.py").read_text() != "mine\n"
    assert not (package / "gone.py").exists()
    assert changed(own) and all(name.startswith("mlflow_workflow/") for name in changed(own))
    assert "has mlflow-workflow 9.0" in command(own, "upgrade", engine=newer).text


def test_a_copy_cannot_renew_itself(tmp_path: Path) -> None:
    own = project(tmp_path, "--vendor")
    done = command(own, "upgrade", engine=own)
    assert done.code == 1
    assert "this is the project's own copy of the engine: install a newer one" in done.text


def test_a_folder_that_is_no_project_is_told(tmp_path: Path, newer: Path) -> None:
    done = command(tmp_path, "upgrade", engine=newer)
    assert done.code == 1 and done.text.startswith("Error: cannot read ")
    own = project(tmp_path)
    for name in ("python_env.yaml", "conda.yaml"):
        text = (own / name).read_text()
        (own / name).write_text(text.replace("mlflow-workflow==8.0", "something==1"))
    done = command(own, "upgrade", engine=newer)
    assert done.code == 1 and "no list of packages here names mlflow-workflow" in done.text
