"""The command line for people: what it offers, and that it answers at once."""

import json
import re
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


def test_steps_tells_what_each_reads_and_takes_and_imports_no_mlflow() -> None:
    text, modules = answer("steps")
    assert not {"mlflow", "pandas", "sklearn"} & modules
    assert "train: Train a classifier of scikit-learn" in text
    assert "\n  reads preprocess, train\n" in text
    assert re.search(r"^  folds +int +5\b", text, re.MULTILINE)


GRAPH = """\
gather ─●─────●
        left ─┼──────●
              right ─●
                     join ─●
                           shout"""


def test_the_graph_is_drawn_for_a_terminal_and_as_mermaid(example: Project) -> None:
    steps = (sys.executable, "-m", "mlflow_workflow", "steps")
    assert example.command(*steps, "--graph").text.rstrip() == GRAPH
    text = example.command(*steps, "--graph", "mermaid").text
    assert text.startswith('flowchart LR\n  s0["gather"]\n')
    assert "  s0 --> s1\n  s0 --> s2\n  s1 --> s3\n  s2 --> s3\n  s3 --> s4" in text


def test_check_tells_what_is_wrong_and_ends_with_1(example: Project) -> None:
    example.edit("steps/left.py", "def main", "def main main")
    done = example.command(sys.executable, "-m", "mlflow_workflow", "check")
    assert done.code == 1
    assert "steps/left.py, line " in done.text


def test_check_of_this_project_finds_nothing() -> None:
    assert answer("check")[0].startswith("nothing is wrong")


@pytest.mark.slow
def test_every_run_says_which_version_of_the_engine_made_it(example: Project) -> None:
    assert example.main("left").code == 0
    assert {run.data.tags["workflow.engine"] for run in example.runs()} == {__version__}
