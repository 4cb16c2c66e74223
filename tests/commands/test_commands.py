"""The command line for people: what it offers, and that it answers at once."""

import json
import subprocess
import sys

import pytest

from mlflow_workflow import __version__
from mlflow_workflow.__main__ import cli
from tests.conftest import ROOT, Project


def answer(*arguments: str) -> tuple[str, set[str]]:
    """What the command prints, and the packages that it has imported by then."""
    program = (
        "import json, sys; from mlflow_workflow.__main__ import cli;"
        f"cli({list(arguments)!r}, standalone_mode=False);"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    return text, set(json.loads(modules))


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in sorted(cli.commands))])
def test_help_needs_no_mlflow(arguments: list[str]) -> None:
    text, modules = answer(*arguments)
    assert text.startswith("Usage: ")
    assert not {"mlflow", "pandas", "sqlalchemy"} & modules


def test_the_version_is_told_and_is_that_of_the_newest_entry_of_the_changelog() -> None:
    assert __version__ in answer("--version")[0]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changes.partition("\n## ")[2].startswith(f"{__version__}\n")


@pytest.mark.slow
def test_every_run_says_which_version_of_the_engine_made_it(example: Project) -> None:
    assert example.main("left").code == 0
    assert {run.data.tags["workflow.engine"] for run in example.runs()} == {__version__}
