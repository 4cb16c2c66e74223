"""Which files a step is made of, found by reading its command and what it imports."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mlflow_workflow.identity.disk import Disk
from mlflow_workflow.identity.sources import Sources

Files = Mapping[str, str]

IMPORTS: dict[str, tuple[Files, set[str]]] = {
    "a module": ({"steps/x.py": "import helpers", "helpers.py": ""}, {"helpers.py"}),
    "a module under another name": (
        {"steps/x.py": "import helpers as h", "helpers.py": ""},
        {"helpers.py"},
    ),
    "a module in a package, with the package": (
        {"steps/x.py": "import lib.a", "lib/__init__.py": "", "lib/a.py": "", "lib/b.py": ""},
        {"lib/__init__.py", "lib/a.py"},
    ),
    "from package import module": (
        {"steps/x.py": "from lib import a", "lib/a.py": "", "lib/b.py": ""},
        {"lib/a.py"},
    ),
    "from module import name": ({"steps/x.py": "from lib.a import f", "lib/a.py": ""}, {"lib/a.py"}),
    "a relative import": ({"steps/x.py": "from . import y", "steps/y.py": ""}, {"steps/y.py"}),
    "a relative import from above": (
        {"steps/x.py": "import lib.deep.a", "lib/deep/a.py": "from ..b import f", "lib/b.py": ""},
        {"lib/deep/a.py", "lib/b.py"},
    ),
    "an import inside a function": (
        {"steps/x.py": "def f():\n    if 1:\n        from lib import a", "lib/a.py": ""},
        {"lib/a.py"},
    ),
    "an import through others": (
        {"steps/x.py": "import one", "one.py": "import two", "two.py": "import one"},
        {"one.py", "two.py"},
    ),
    "everything of a package": (
        {"steps/x.py": "from lib import *", "lib/__init__.py": "__all__ = ['a']", "lib/a.py": ""},
        {"lib/__init__.py", "lib/a.py"},
    ),
    "what a package imports": (
        {"steps/x.py": "from lib import f", "lib/__init__.py": "from .a import f", "lib/a.py": ""},
        {"lib/__init__.py", "lib/a.py"},
    ),
    "the package of the script itself": (
        {"steps/x.py": "", "steps/__init__.py": "import early", "early.py": ""},
        {"steps/__init__.py", "early.py"},
    ),
    "nothing of others": ({"steps/x.py": "import os, numpy", "steps/z.py": "", "os2.py": ""}, set()),
}


def sources_of(project: Path, files: Files, command: str = "python -m steps.x") -> set[str]:
    """The files found for a step."""
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    return set(Sources(Disk(project)).imported(command))


@pytest.mark.parametrize("case", IMPORTS)
def test_the_code_of_a_step_is_its_script_and_what_it_imports(tmp_path: Path, case: str) -> None:
    files, expected = IMPORTS[case]
    assert sources_of(tmp_path, files) == {"steps/x.py", *expected}


COMMANDS = {
    "python -m steps.x --a 1": {"steps/x.py", "steps/y.py"},
    "python steps/x.py": {"steps/x.py", "steps/y.py"},
    "python ./steps/x.py": {"steps/x.py", "steps/y.py"},
    "python -m pack": {"pack/__init__.py", "pack/__main__.py", "one.py"},
    "python -m mlflow_workflow.step -- python steps/x.py": {"steps/x.py", "steps/y.py"},
    "python -u steps/x.py --seed 1": {"steps/x.py", "steps/y.py"},
    "sh run.sh steps/x.py": {"steps/x.py", "steps/y.py"},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_script_is_found_however_the_command_names_it(tmp_path: Path, command: str) -> None:
    files = {
        "steps/x.py": "from steps import y",
        "steps/y.py": "",
        "one.py": "",
        "pack/__init__.py": "",
        "pack/__main__.py": "import one",
    }
    assert sources_of(tmp_path, files, command) == COMMANDS[command]


# -- where modules are looked for

LAYOUT = {
    "steps/x.py": "import helper, installed",
    "src/helper.py": "",
    "src/pkg/y.py": "import helper",
    ".venv/pyvenv.cfg": "",
    ".venv/lib/installed.py": "",
}
WITH_HELPER = {"steps/x.py", "src/helper.py"}


@pytest.mark.parametrize("entry", ["src", "{project}/src", "src:{project}/.venv/lib"])
@pytest.mark.parametrize("place", ["here", "else/where"])
def test_modules_are_found_where_the_surroundings_tell_python_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, place: str
) -> None:
    """With the same outcome wherever the project lies."""
    project = tmp_path / place
    project.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", entry.format(project=project))
    assert sources_of(project, LAYOUT) == WITH_HELPER


def test_modules_are_found_where_python_itself_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `pip install -e .` of a project with the layout of src."""
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.syspath_prepend(str(tmp_path / ".venv" / "lib"))
    assert sources_of(tmp_path, LAYOUT) == WITH_HELPER


def test_an_environment_around_the_project_hides_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "src")
    assert sources_of(tmp_path / "project", LAYOUT) == WITH_HELPER


def test_a_link_that_leads_out_of_the_project_counts_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "outer.py").write_text("")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "link").symlink_to("../elsewhere")
    monkeypatch.setenv("PYTHONPATH", "link:../elsewhere")
    found = sources_of(tmp_path / "project", {"steps/x.py": "import outer"})
    assert found == {"steps/x.py", "link/outer.py"}
