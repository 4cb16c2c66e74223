"""Which files a step is made of, found by reading its command and what it imports."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from mlflow_workflow.identity.imports import read_sources
from mlflow_workflow.project.mlproject import read_step

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


def sources_of(project: Path, files: Files, command: str = "python -m steps.x") -> tuple[set[str], int]:
    """The files found for a step, and how many places were not understood."""
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    parameters = {"lib": "string"} if "{lib}" in command else {}
    found = read_sources(project, read_step("x", {"command": command, "parameters": parameters}, {"x"}))
    return set(found.files), len(found.unseen)


@pytest.mark.parametrize("case", IMPORTS)
def test_the_code_of_a_step_is_its_script_and_what_it_imports(tmp_path: Path, case: str) -> None:
    files, expected = IMPORTS[case]
    assert sources_of(tmp_path, files) == ({"steps/x.py", *expected}, 0)


COMMANDS = {
    "python -m steps.x --a 1": {"steps/x.py", "steps/y.py"},
    "python steps/x.py": {"steps/x.py", "steps/y.py"},
    "python ./steps/x.py": {"steps/x.py", "steps/y.py"},
    "python -m pack": {"pack/__init__.py", "pack/__main__.py", "one.py"},
    "python -m mlflow_workflow.step -- python steps/x.py": {"steps/x.py", "steps/y.py"},
    "python -m one && python -m steps.x": {"one.py", "steps/x.py", "steps/y.py"},
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
    assert sources_of(tmp_path, files, command) == (COMMANDS[command], 0)


@pytest.mark.parametrize(
    "text",
    [
        "import importlib\nimportlib.import_module('a')",
        "from importlib import import_module as load",
        "exec(open('a').read())",
        "eval('1')",
        "__import__('a')",
        "import runpy\nrunpy.run_path('a.py')",
        "import sys\nsys.path.insert(0, 'lib')",
        "import importlib\nload = importlib.import_module",
        "from sys import path\npath.insert(0, 'lib')",
        "from sys import path as p, argv\np.insert(0, 'lib')",
        "import sys as s\ns.path.insert(0, 'lib')",
        "import os, sys as s\ns.meta_path.append(os)",
        "import site\nsite.addsitedir('lib')",
        "import builtins\nbuiltins.exec('import a')",
        "import builtins as b\nb.eval('1')",
        "from builtins import exec as run",
        "import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)",
        "__path__.append('lib')",
    ],
)
def test_code_that_is_loaded_unseen_is_told(tmp_path: Path, text: str) -> None:
    assert sources_of(tmp_path, {"steps/x.py": text})[1] == 1


def test_a_line_that_its_author_vouches_for_is_not_told(tmp_path: Path) -> None:
    vouched = "exec('1')  # loads no code of this project\nexec('2')"
    assert sources_of(tmp_path, {"steps/x.py": vouched})[1] == 1


@pytest.mark.parametrize(
    "text", ["model.eval()", "cursor.exec('select 1')", "evaluate = 1", "x.path", "from os import path"]
)
def test_other_things_of_these_names_are_not_told(tmp_path: Path, text: str) -> None:
    assert sources_of(tmp_path, {"steps/x.py": text})[1] == 0


@pytest.mark.parametrize("command", ["sh run.sh", "python -m pkg.x", "Rscript x.R"])
def test_a_command_that_runs_no_python_of_the_project_is_told(tmp_path: Path, command: str) -> None:
    assert sources_of(tmp_path, {"run.sh": "", "src/pkg/x.py": ""}, command)[1] == 1


# -- where modules are looked for

LAYOUT = {
    "steps/x.py": "import helper, installed",
    "src/helper.py": "",
    "src/pkg/y.py": "import helper",
    ".venv/pyvenv.cfg": "",
    ".venv/lib/installed.py": "",
}
WITH_HELPER = {"steps/x.py", "src/helper.py"}


@pytest.mark.parametrize(
    "command",
    [
        "PYTHONPATH=src python -m steps.x",
        "PYTHONPATH=src:$PYTHONPATH python -m steps.x",
        "PYTHONPATH=/nowhere:$PWD/src python -m steps.x",
        "PYTHONPATH=${{PWD}}/src:${{PYTHONPATH}} python -m steps.x",
        "env A=1 PYTHONPATH=./src/ python steps/x.py",
        "export PYTHONPATH=.venv/lib:src; python -m steps.x",
    ],
)
def test_modules_are_found_where_the_command_tells_python_to_look(tmp_path: Path, command: str) -> None:
    assert sources_of(tmp_path, LAYOUT, command) == (WITH_HELPER, 0)


def test_the_module_that_is_run_is_found_there_too(tmp_path: Path) -> None:
    found = sources_of(tmp_path, LAYOUT, "PYTHONPATH=src python -m pkg.y")
    assert found == ({"src/pkg/y.py", "src/helper.py"}, 0)


@pytest.mark.parametrize("entry", ["$HOME/lib", "${{HOME}}/lib", "$(where)", "{lib}"])
def test_a_place_that_only_the_shell_knows_is_told(tmp_path: Path, entry: str) -> None:
    command = f"PYTHONPATH={entry}:src python -m steps.x --lib {{lib}}"
    assert sources_of(tmp_path, LAYOUT, command) == (WITH_HELPER, 1)


@pytest.mark.parametrize("entry", ["src", "{project}/src", "{project}/link", "src:{project}/.venv/lib"])
@pytest.mark.parametrize("place", ["here", "else/where"])
def test_modules_are_found_where_the_surroundings_tell_python_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, place: str
) -> None:
    """With the same outcome wherever the project lies."""
    project = tmp_path / place
    project.mkdir(parents=True)
    (project / "link").symlink_to("src")
    monkeypatch.setenv("PYTHONPATH", entry.format(project=project))
    assert sources_of(project, LAYOUT) == (WITH_HELPER, 0)


def test_modules_are_found_where_python_itself_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `pip install -e .` of a project with the layout of src."""
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    monkeypatch.syspath_prepend(str(tmp_path / ".venv" / "lib"))
    assert sources_of(tmp_path, LAYOUT) == (WITH_HELPER, 0)


def test_an_environment_around_the_project_hides_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "src")
    assert sources_of(tmp_path / "project", LAYOUT) == (WITH_HELPER, 0)


def test_a_link_that_leads_out_of_the_project_counts_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "outer.py").write_text("")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "link").symlink_to("../elsewhere")
    monkeypatch.setenv("PYTHONPATH", "link:../elsewhere")
    found = sources_of(tmp_path / "project", {"steps/x.py": "import outer"})
    assert found == ({"steps/x.py", "link/outer.py"}, 0)
