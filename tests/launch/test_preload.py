"""What can be imported before a step begins, and which steps would then not be as in a new Python."""

import re
from pathlib import Path

import pytest

from mlflow_workflow.launch.warm.preload import Import, imports_of, packages_of
from mlflow_workflow.project.mlproject import read_workflow
from tests.conftest import ROOT, Project
from tests.started import linux_only


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Has one step, steps.one, yet to be written."""
    (tmp_path / "project/steps").mkdir(parents=True)
    return tmp_path / "project"


def packages(project: Path) -> dict[str, list[Import]]:
    entry = 'one: {command: "python -m steps.one"}'
    workflow = read_workflow(f"name: x\nentry_points:\n  main: {{command: x}}\n  {entry}\n")
    return packages_of(project, workflow.steps.values())


def test_what_steps_import_is_read_in_their_order_and_without_the_projects_own(project: Path) -> None:
    (project / "steps/one.py").write_text(
        "import skops.io\nfrom steps import two\nfrom . import three\n"
        "if __debug__:\n    import xml\n\ndef later():\n    import sqlite3\n"
    )
    (project / "steps/two.py").write_text(
        "from sklearn import svm, tree\nimport no_such_package, two\nimport skops.io\n"
        "def later():\n    return no_such_package, two, svm, tree, skops.io.dump\n"
    )
    (project / "two.py").touch()
    assert packages(project) == {"steps.one": [("skops.io", ()), ("sklearn", ("svm", "tree"))]}


def test_a_package_that_is_edited_where_it_lies_is_imported_by_the_step_itself(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edited_in_place.py").touch()
    (project / "one.py").write_text("import edited_in_place, json, click\nedited_in_place, json, click")
    monkeypatch.syspath_prepend(tmp_path)
    assert imports_of(project, ["one.py"]) == [("json", ()), ("click", ())]


def test_what_a_file_imports_and_never_uses_is_imported_by_the_step_itself(project: Path) -> None:
    (project / "one.py").write_text(
        "import sklearn, sklearn.experimental, json as j\nimport xml.etree.ElementTree\n"
        "from sklearn.experimental import enable_halving_search_cv\n"
        "from click import echo, pass_obj\nfrom math import *\n"
        "print(sklearn.svm, echo, xml.etree.ElementTree.parse)\n"
    )
    expected = [("sklearn", ()), ("xml.etree.ElementTree", ()), ("click", ("echo",)), ("math", ())]
    assert imports_of(project, ["one.py"]) == expected


# -- what must come before an import

ACTS_FIRST = [
    "import os\nos.environ['OMP_NUM_THREADS'] = '1'\nimport numpy",
    "import matplotlib\nmatplotlib.use('svg')\nimport matplotlib.pyplot",
    "import warnings\nwarnings.filterwarnings('ignore')\nimport numpy",
    "try:\n    import torch\n    torch.begin()\nexcept ImportError:\n    pass\nimport numpy",
    "try:\n    import torch\nexcept ImportError:\n    begin()\nimport numpy",
    "with open('x'):\n    import numpy",
    "import torch\ntorch.fast = True\nimport numpy",
    "import os\nif os.path.exists('x'):\n    import numpy",
    "import os\ndef main():\n    os.environ.setdefault('MPLBACKEND', 'svg')",
    "import os\ndef main():\n    os.environ |= {}",
    "import os\ndef main():\n    del os.environ['X']",
    "import os\ndef main():\n    variables = os.environ\n    variables['X'] = '1'",
    "from os import environ\ndef main():\n    environ.update(X='1')",
    "from os import environ as e\ndef main():\n    e['X'] = '1'",
    "import os\ndef main():\n    os.putenv('X', '1')",
    "import sys\ndef main():\n    sys.path.insert(0, 'vendor')",
    "import sys\ndef main():\n    sys.path[:0] = ['vendor']",
    "import sys\ndef main():\n    sys.path += ['vendor']",
    "from sys import path",
    "import sys, pickle\ndef main():\n    sys.modules['json'] = pickle",
]


@pytest.mark.parametrize("source", ACTS_FIRST)
def test_a_step_that_acts_before_an_import_or_changes_what_imports_see_is_no_copy(
    project: Path, source: str
) -> None:
    (project / "steps/one.py").write_text(source)
    assert packages(project) == {}
    (project / "steps/one.py").write_text("def main():\n    from steps import other\n")
    (project / "steps/other.py").write_text(source)
    assert packages(project) == {}


@pytest.mark.parametrize("act", ["call()", "settings.fast = True", "for x in y:\n    call()"])
def test_a_step_that_imports_a_module_that_acts_by_itself_is_no_copy(project: Path, act: str) -> None:
    (project / "steps/__init__.py").write_text(act)
    (project / "steps/one.py").touch()
    assert packages(project) == {}


HARMLESS = """'What a step usually is.'
from __future__ import annotations
import os, sys
__all__ = ["main"]
FOLDER, LONG = "x", 60 * 60
COUNT: int = -1
try:
    import ujson as json
except ImportError:
    json = None
if TYPE_CHECKING:
    import pandas
if sys.version_info > (3, 12):
    import tomllib
@decorated(1)
def first() -> None:
    call()
class Thing(Base):
    size = 3
import numpy
SHARED = os.environ.get("SHARED", call(1))
print({**os.environ}, os.environ["X"], "X" in os.environ, sys.path[0], list(sys.modules))
if __name__ == "__main__":
    first()
"""


def test_a_step_that_acts_only_after_its_imports_can_be_a_copy(project: Path) -> None:
    (project / "steps/one.py").write_text(HARMLESS)
    assert packages(project) == {"steps.one": [("os", ()), ("sys", ())]}
    (project / "steps/one.py").write_text("import steps.other")
    (project / "steps/other.py").write_text(re.sub("(?m)^print.*", "", HARMLESS))
    assert list(packages(project)) == ["steps.one"]


@pytest.mark.parametrize("kind", [".", "tests/relay", "tests/example"])
def test_every_step_of_the_projects_here_can_be_a_copy(kind: str) -> None:
    steps = read_workflow((ROOT / kind / "MLproject").read_text()).steps.values()
    modules = {step.command.split()[2] for step in steps if "-m steps." in step.command}
    assert modules and modules <= {*packages_of(ROOT / kind, steps)}


@linux_only
@pytest.mark.slow
def test_beside_a_step_that_sets_a_variable_before_its_imports_the_others_are_copies(
    example: Project,
) -> None:
    tells = "import sys; (outputs / 'began.txt').write_text(str(sys.orig_argv))"
    for step in ("left", "right"):
        example.edit(
            f"steps/{step}.py",
            "    with step() as outputs:\n",
            f"    with step() as outputs:\n        {tells}\n",
        )
    example.edit("steps/left.py", "import click", 'import os\nos.environ["X"] = "1"\nimport click')
    done = example.main("join")
    assert done.code == 0, done.text
    left, right = (example.outputs(example.children(s)[0], s) / "began.txt" for s in ("left", "right"))
    assert "'-m'" in left.read_text()
    assert "'main.py'" in right.read_text()
