"""A step's --help ends with what MLproject gives; whatever is wrong with that, --help still works."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mlflow_workflow.checks.script import look
from mlflow_workflow.project.mlproject import open_workflow
from mlflow_workflow.step_command import StepCommand
from tests.conftest import ROOT

STEP = """import click
from mlflow_workflow.step_command import StepCommand

@click.command(cls=StepCommand, help="Do it.")
@click.option("--word", required=True)
def main(word): ...
"""
PROJECT = """
entry_points:
  first: {command: python -m steps.first.other}
  it:
    parameters: {first: path, word: {type: string, default: ""}, more: int}
    command: %s --word {word}
"""


def help_of(project: Path, text: str | None) -> str:
    (project / "steps").mkdir()
    (project / "steps/it.py").write_text(STEP)
    if text is not None:
        (project / "MLproject").write_text(text)
    space: dict[str, click.Command] = {}
    exec(compile(STEP, str(project / "steps/it.py"), "exec"), space)
    assert isinstance(space["main"], StepCommand)
    done = CliRunner().invoke(space["main"], ["--help"])
    assert done.exit_code == 0 and "--word TEXT" in done.output
    return done.output


@pytest.mark.parametrize("command", ["python -m steps.it", "python steps/it.py", "./steps/it.py"])
def test_the_defaults_are_those_of_the_entry_that_runs_the_script(tmp_path: Path, command: str) -> None:
    text = help_of(tmp_path, PROJECT % command)
    assert text.endswith(
        "  --first  outputs of first\n  --word   string, default ''\n  --more   int, required\n"
    )


@pytest.mark.parametrize(
    "text",
    [None, "{", "[]", "entry_points: 3", "entry_points: {it: 3}", PROJECT % "python -m steps.its"],
)
def test_where_no_entry_runs_the_script_the_help_ends_before(tmp_path: Path, text: str | None) -> None:
    assert "MLproject" not in help_of(tmp_path, text)


def test_the_code_of_a_step_is_not_the_whole_engine() -> None:
    files = look(ROOT).of(open_workflow(ROOT).steps["preprocess"])
    rooms = {name.split("/")[1] for name in files if name.startswith("mlflow_workflow/")}
    assert rooms.isdisjoint({"run", "report", "launch", "server", "checks", "identity", "commands"})
