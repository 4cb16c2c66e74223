"""The identity of a step as its project is now: what changes it, in which mode, and what does not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mlflow_workflow.identity.environment import installed_version
from mlflow_workflow.identity.fingerprint import fingerprint
from mlflow_workflow.identity.project_state import identify, read_surroundings
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.named_data import data_texts
from mlflow_workflow.project.parameters import step_values
from tests.conftest import begin_repository, copy_project, git


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    copy_project(folder, "example")
    begin_repository(folder)
    return folder


def workflow_of(project: Path) -> Workflow:
    return read_workflow((project / "MLproject").read_text())


def prints(project: Path, step: str = "left", digest: str = "0" * 64, **values: str) -> dict[str, str]:
    """Mode → fingerprint of a step of the example, as things are now."""
    workflow = workflow_of(project)
    all_values = step_values(workflow, values, [])
    around = read_surroundings(project, workflow, data_texts(workflow, [all_values]), (), {})
    upstream = dict.fromkeys(workflow.steps[step].upstream, digest)
    identities = identify(around, workflow.steps[step], all_values[step], upstream)
    return {mode: fingerprint(identity) for mode, identity in identities.items()}


def edit(project: Path, name: str, more: str = "\n# edited\n") -> None:
    (project / name).parent.mkdir(exist_ok=True)
    with (project / name).open("a") as file:
        file.write(more)


def commit(project: Path) -> None:
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--allow-empty", "--message", "change")


def squash(project: Path) -> None:
    for _ in range(2):
        commit(project)
    git(project, "reset", "--quiet", "--soft", "HEAD~2")
    commit(project)


def rebase(project: Path) -> None:
    git(project, "checkout", "--quiet", "-b", "side")
    commit(project)
    git(project, "checkout", "--quiet", "main")
    edit(project, "README.md")
    commit(project)
    git(project, "checkout", "--quiet", "side")
    git(project, "rebase", "--quiet", "main")


ELSEWHERE: dict[str, Callable[[Path], None]] = {
    "an empty commit": commit,
    "an edited README": lambda p: edit(p, "README.md"),
    "an edited step beside it": lambda p: edit(p, "steps/right.py"),
    "a new test": lambda p: edit(p, "tests/test_x.py"),
    "a squash": squash,
    "a rebase": rebase,
    "no git at all": lambda p: shutil.rmtree(p / ".git"),
    "a longer timeout": lambda p: replace(p, "  left:\n", "  left:\n    timeout: 60\n    retries: 2\n"),
    "another entry of MLproject": lambda p: replace(
        p, 'mark: {type: string, default: "!"}', "mark: string"
    ),
}


def replace(project: Path, old: str, new: str) -> None:
    text = (project / "MLproject").read_text()
    assert old in text
    (project / "MLproject").write_text(text.replace(old, new))


@pytest.mark.parametrize("change", ELSEWHERE)
def test_with_match_code_what_is_not_of_the_step_does_not_count(project: Path, change: str) -> None:
    before = prints(project)
    ELSEWHERE[change](project)
    after = prints(project)
    assert after["code"] == before["code"]
    assert after["commit"] != before["commit"]


def test_with_match_code_a_clone_of_depth_1_and_a_subfolder_are_the_same(project: Path) -> None:
    before = prints(project)
    commit(project)
    clone = project.parent / "clone"
    git(project.parent, "clone", "--quiet", "--depth", "1", project.as_uri(), str(clone))
    assert prints(clone)["code"] == before["code"]
    inside = project.parent / "whole" / "inside"
    copy_project(inside, "example")
    begin_repository(inside.parent)
    assert prints(inside)["code"] == before["code"]


def test_modules_on_pythonpath_count_the_same_wherever_the_project_lies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "src").mkdir()
    (project / "src" / "helper.py").write_text("value = 1\n")
    edit(project, "steps/left.py", "\nimport helper\n")
    commit(project)
    monkeypatch.setenv("PYTHONPATH", str(project / "src"))
    before = prints(project)
    clone = project.parent / "clone"
    git(project.parent, "clone", "--quiet", str(project), str(clone))
    monkeypatch.setenv("PYTHONPATH", str(clone / "src"))
    assert prints(clone) == before
    edit(clone, "src/helper.py")
    assert prints(clone)["code"] != before["code"]


OF_THE_STEP: dict[str, Callable[[Path], None]] = {
    "its script": lambda p: edit(p, "steps/left.py"),
    "a module it imports": lambda p: edit(p, "steps/numbers.py"),
    "the package above": lambda p: edit(p, "steps/__init__.py"),
    "its entry": lambda p: replace(p, "factor: {type: float, default: 2}", "factor: {type: float}"),
}


@pytest.mark.parametrize("change", OF_THE_STEP)
def test_what_is_of_the_step_counts_clean_or_dirty(project: Path, change: str) -> None:
    before = prints(project, factor="2")
    OF_THE_STEP[change](project)
    dirty = prints(project, factor="2")
    commit(project)
    clean = prints(project, factor="2")
    assert dirty["code"] == clean["code"] != before["code"]
    assert len({before["commit"], dirty["commit"], clean["commit"]}) == 3


def test_the_sources_of_an_entry_are_its_files(project: Path) -> None:
    before = prints(project, "shout")
    edit(project, "steps/join.py")
    assert prints(project, "shout")["code"] == before["code"]
    edit(project, "steps/shout.sh")
    assert prints(project, "shout")["code"] != before["code"]


@pytest.mark.parametrize(("glob", "counts"), [("lib", True), ("lib/*.sql", True), ("lib/*.py", False)])
def test_sources_may_be_folders_and_globs(project: Path, glob: str, counts: bool) -> None:
    (project / "lib").mkdir()
    for name in ("a.py", "b.sql"):
        (project / "lib" / name).write_text("1")
    replace(project, "sources: [steps/shout.sh]", f"sources: [{glob}]")
    before = prints(project, "shout")
    edit(project, "lib/b.sql")
    assert (prints(project, "shout")["code"] != before["code"]) == counts


# -- what neither commit nor status shows


def test_a_module_that_git_ignores_counts_all_the_same(project: Path) -> None:
    edit(project, ".gitignore", "/steps/secret.py\n")
    (project / "steps" / "secret.py").write_text("value = 1\n")
    edit(project, "steps/left.py", "\nfrom steps import secret\n")
    commit(project)
    before = prints(project), prints(project, "right")
    (project / "steps" / "secret.py").write_text("value = 2\n")
    assert prints(project)["commit"] != before[0]["commit"]
    assert prints(project, "right") == before[1]


@pytest.mark.parametrize("value", ["steps/numbers.py", "steps/left.py", "steps"])
def test_code_that_a_parameter_names_as_data_still_counts_as_code(project: Path, value: str) -> None:
    before = prints(project, text=value)
    edit(project, "steps/numbers.py")
    edit(project, "steps/left.py")
    after = prints(project, text=value)
    assert after["commit"] != before["commit"] and after["code"] != before["code"]


def test_an_edited_template_counts_with_match_commit(project: Path) -> None:
    (project / "query.sql").write_text("select 1")
    commit(project)
    before = prints(project)
    (project / "query.sql").write_text("select 2")
    assert prints(project)["commit"] != before["commit"]
    (project / "query.sql").write_text("select 1")
    assert prints(project) == before


def test_a_change_of_mode_is_a_change(project: Path) -> None:
    before = prints(project)
    (project / "steps" / "shout.sh").chmod(0o755)
    assert prints(project)["commit"] != before["commit"]


# -- every other ingredient


def test_data_counts_for_the_step_that_reads_it_alone(project: Path) -> None:
    before = prints(project, "gather"), prints(project, "left")
    edit(project, "data/a.txt", "6\n")
    after = prints(project, "gather")
    assert after["commit"] != before[0]["commit"] and after["code"] != before[0]["code"]
    assert prints(project, "left") == before[1]


def test_data_counts_even_where_git_ignores_it(project: Path) -> None:
    edit(project, ".gitignore", "/data/\n")
    git(project, "rm", "--quiet", "-r", "--cached", "data")
    commit(project)
    before = prints(project, "gather")
    edit(project, "data/a.txt", "6\n")
    after = prints(project, "gather")
    assert after["commit"] != before["commit"] and after["code"] != before["code"]


def test_where_data_lies_does_not_count(project: Path) -> None:
    before = prints(project, "gather")
    shutil.copytree(project / "data", project.parent / "elsewhere")
    assert prints(project, "gather", source=str(project.parent / "elsewhere")) == before


def test_an_upstream_output_counts(project: Path) -> None:
    before = prints(project, digest="0" * 64)
    assert prints(project, digest="1" * 64).keys() == before.keys()
    assert not set(prints(project, digest="1" * 64).values()) & set(before.values())


def test_a_parameter_counts_by_its_value_not_by_how_it_is_written(project: Path) -> None:
    before = prints(project, factor="0.5")
    assert prints(project, factor="5e-1") == before
    assert not set(prints(project, factor="0.51").values()) & set(before.values())
    assert prints(project, factor="0.5", text="other") == before


def test_the_version_of_a_listed_package_counts(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(project, "python_env.yaml", "  - some-package\n")
    commit(project)
    before = prints(project)
    info = tmp_path / "site" / "some_package-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-package\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(info.parent))
    installed_version.cache_clear()
    assert not set(prints(project).values()) & set(before.values())
    installed_version.cache_clear()
