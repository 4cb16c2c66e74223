"""What `check` says of a project, and what main refuses before it starts anything: all by reading."""

from pathlib import Path

import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.checks.contract import mistakes, unfit
from mlflow_workflow.checks.script import look, script_of
from mlflow_workflow.project.graph import Step
from mlflow_workflow.project.mlproject import open_workflow
from mlflow_workflow.project.request import make_request
from mlflow_workflow.run.checks import check_request
from tests.conftest import EXAMPLE, ROOT, Project, copy_project

MAIN, _, _ = (EXAMPLE / "MLproject").read_text(encoding="utf-8").partition("  gather:")
ENTRY = """
  fresh:
    parameters: {count: {type: int, default: 3}, word: string}
    command: python -m steps.fresh --count {count} --word {word}
"""
STEP = '''"""Count words.

Reads nothing

Writes words.txt
"""
import click

@click.command(help=__doc__)
@click.option("--count", required=True, type=int)
@click.option("--word", required=True)
def main(count: int, word: str) -> None:
    print(word * count)
'''


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("steps/fresh.py", "", "", None),
        ("steps/fresh.py", STEP, None, "step 'fresh' of MLproject runs steps/fresh.py, which is not"),
        ("MLproject", ENTRY, "", "steps/fresh.py has a command, but MLproject has no entry point"),
        (
            "steps/fresh.py",
            "@click.command(help=__doc__)",
            '@click.command(help=__doc__)\n@click.option("--more", required=True)',
            "takes --more, which MLproject does not declare for step",
        ),
        ("MLproject", " --word {word}", "", "the command of 'fresh' in MLproject does not pass {word}"),
        ("MLproject", "--word {word}", "--wrd {word}", "does not pass --word {word}"),
        ("MLproject", "type: int", "type: float", "--count of steps/fresh.py is not of the type"),
        ("steps/fresh.py", "Writes", "Makes", "steps/fresh.py has no line that begins with 'Writes'"),
        ("steps/fresh.py", "Reads", "Takes", "steps/fresh.py has no line that begins with 'Reads'"),
        ("steps/fresh.py", '"""Count words.\n', '"""\n', "no docstring that begins with a sentence"),
        ("steps/fresh.py", "help=__doc__", "", "give its docstring as help"),
        ("steps/fresh.py", "@click.command(help=__doc__)", "", "has no click command named main"),
        ("steps/fresh.py", "required=True, type=int", "default=3, type=int", "must be required=True"),
        ("steps/fresh.py", '@click.option("--word", required=True)', "", "has no option --word, which"),
    ],
)
def test_what_was_forgotten_with_a_new_step_is_said(
    tmp_path: Path, file: str, old: str, new: str | None, said: str | None
) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/fresh.py").write_text(STEP)
    (tmp_path / "MLproject").write_text(MAIN + ENTRY)
    (tmp_path / "python_env.yaml").write_text("dependencies: [click]")
    if new is None:
        (tmp_path / file).unlink()
    else:
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new) if old else text)
    found = mistakes(tmp_path)
    assert found == [] if said is None else any(said in line for line in found), found


def test_a_parameter_of_main_that_its_command_does_not_pass_is_found(tmp_path: Path) -> None:
    text = (ROOT / "MLproject").read_text(encoding="utf-8")
    assert "--rerun {rerun}" in text
    (tmp_path / "MLproject").write_text(text.replace("--rerun {rerun}", ""))
    (tmp_path / "python_env.yaml").write_text("dependencies: []")
    assert "the command of 'main' in MLproject does not pass {rerun}" in mistakes(tmp_path)


# -- what would end a step as soon as it starts


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project with one step that nothing is wrong with."""
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps/__init__.py").touch()
    (tmp_path / "steps/fresh.py").write_text(STEP)
    (tmp_path / "MLproject").write_text(MAIN + ENTRY)
    (tmp_path / "python_env.yaml").write_text("dependencies: [click, not-here==1]")
    return tmp_path


def test_nothing_is_said_of_a_project_with_nothing_wrong(fresh: Path) -> None:
    assert mistakes(fresh) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import nowhere", "steps/fresh.py, line 8, imports nowhere, which is not installed: list its"),
        ("import not_here.part", "imports not_here.part, which is not installed, though python_env"),
        ("from steps.helpers import one", "imports steps.helpers, which is not there"),
        ("import steps.helpers as helpers", "imports steps.helpers, which is not there"),
        ("from .helpers import one", "imports steps.helpers, which is not there"),
        ("def broken(:", "steps/fresh.py, line 8: invalid syntax"),
    ],
)
def test_what_python_could_not_load_is_said_with_file_and_line(
    fresh: Path, line: str, said: str
) -> None:
    file = fresh / "steps/fresh.py"
    file.write_text(STEP.replace("import click", f"import click\n{line}"))
    (found,) = mistakes(fresh)
    assert said in found


@pytest.mark.parametrize(
    "lines",
    [
        "try:\n    import nowhere\nexcept ImportError:\n    nowhere = None",
        "def late():\n    import nowhere",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nowhere",
        "import sys\nsys.path.insert(0, '/somewhere')\nimport nowhere",
        "from steps import fresh",
        "import xml.dom.minidom, os.path, yaml, mlflow.sklearn",
        "from __future__ import annotations",
    ],
)
def test_an_import_that_may_work_is_not_complained_of(fresh: Path, lines: str) -> None:
    (fresh / "steps/fresh.py").write_text(STEP.replace("import click", f"{lines}\nimport click"))
    assert mistakes(fresh) == []


@pytest.mark.parametrize("more", ["default='x'", "envvar='WORD'"])
def test_a_required_option_that_need_not_be_passed_ends_no_step(fresh: Path, more: str) -> None:
    (fresh / "steps/fresh.py").write_text(
        STEP.replace("help=__doc__)", f'help=__doc__)\n@click.option("--more", required=True, {more})')
    )
    workflow = open_workflow(fresh)
    assert list(unfit(look(fresh), workflow.steps["fresh"])) == []


def test_a_file_that_a_step_only_reads_may_be_anything(fresh: Path) -> None:
    (fresh / "old.py").write_text("print 'of long ago'\n")
    text = (fresh / "MLproject").read_text()
    (fresh / "MLproject").write_text(text.replace("--word {word}", "--word {word} --word old.py"))
    assert mistakes(fresh) == []


def test_a_file_that_is_loaded_by_a_file_is_looked_into_too(fresh: Path) -> None:
    (fresh / "steps/fresh.py").write_text(
        STEP.replace("import click", "import click\nfrom lib import a")
    )
    (fresh / "lib").mkdir()
    (fresh / "lib/a.py").write_text("import nowhere\n")
    assert ["lib/a.py, line 1, imports nowhere" in line for line in mistakes(fresh)] == [True]
    (fresh / "lib/a.py").write_text("x = 1\nx = = 2\n")
    assert mistakes(fresh) == ["lib/a.py, line 2: invalid syntax"]


def test_where_a_command_is_not_only_python_nobody_says_what_it_can_import(fresh: Path) -> None:
    (fresh / "steps/fresh.py").write_text(STEP.replace("import click", "import click\nimport nowhere"))
    text = (fresh / "MLproject").read_text()
    shell = text.replace("python -m steps.fresh", ". venv/activate && python -m steps.fresh")
    (fresh / "MLproject").write_text(shell)
    assert mistakes(fresh) == []


@pytest.mark.slow
def test_main_starts_nothing_if_its_last_step_cannot_start(example: Project) -> None:
    example.edit("steps/join.py", "def main", "def main main")
    done = example.main("join")
    assert done.code == 2
    assert done.text.startswith("Error: steps/join.py, line ")
    assert example.runs() == []
    assert example.main("gather", "--dry_run").code == 10


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("steps/join.py", "import click", "import click, nowhere", "imports nowhere, which is not inst"),
        ("steps/join.py", "--right", "--rigt", "steps/join.py has no option --right, which the comm"),
        ("MLproject", "steps.join", "steps.joint", "runs steps/joint.py, which is not there"),
    ],
)
def test_what_would_end_a_step_as_soon_as_it_starts_is_refused_in_a_sentence(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    copy_project(tmp_path / "project", "example")
    edited = tmp_path / "project" / file
    edited.write_text(edited.read_text().replace(old, new))
    workflow = open_workflow(tmp_path / "project")
    settings = {"task": "join", "match": "code"}
    request = make_request(tmp_path / "project", workflow, settings)
    with pytest.raises(WorkflowError, match=said):
        check_request(tmp_path / "project", request)
    pinned = make_request(tmp_path / "project", workflow, {**settings, "join": "somewhere"})
    check_request(tmp_path / "project", pinned)


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("python -m steps.fresh --word {word}", "steps/fresh.py"),
        ("python ./steps/fresh.py", "steps/fresh.py"),
        ("python -m mlflow_workflow.step -- python steps/fresh.py", "steps/fresh.py"),
        ("python -m steps.gone", "steps/gone.py"),
        ("python -m json.tool", None),
        ("python -m mlflow_workflow.step -- sh a.sh", None),
        ("python -m steps.fresh > log", None),
        ("python /elsewhere/a.py", None),
    ],
)
def test_the_script_of_a_step_is_found_in_its_command(fresh: Path, command: str, script: str) -> None:
    step = Step("it", command, {})
    assert script_of(look(fresh), step) == script
