"""What holds across the repository: steps as MLproject declares them, one environment, one direction."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from mlflow_workflow.project.mlproject import read_workflow
from tests.conftest import ROOT, own_files
from tests.contract import forgotten


def said_of(project: Path) -> list[str]:
    return forgotten(project, read_workflow((project / "MLproject").read_text(encoding="utf-8")))


def test_every_step_is_what_mlproject_says() -> None:
    said = said_of(ROOT)
    assert not said, "\n".join(said)


# -- what the contract says to somebody who adds a step

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
        ("steps/fresh.py", STEP, None, "step 'fresh' in MLproject runs steps/fresh.py, which is not"),
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
    main = "  main:\n    parameters: {task: {default: fresh}}\n    command: python main.py {task}\n"
    (tmp_path / "MLproject").write_text(f"entry_points:\n{main}{ENTRY}")
    if new is None:
        (tmp_path / file).unlink()
    else:
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new) if old else text)
    found = said_of(tmp_path)
    assert found == [] if said is None else any(said in line for line in found), found


def test_a_parameter_of_main_that_its_command_does_not_pass_is_found(tmp_path: Path) -> None:
    text = (ROOT / "MLproject").read_text(encoding="utf-8")
    assert "--rerun {rerun}" in text
    (tmp_path / "MLproject").write_text(text.replace("--rerun {rerun}", ""))
    assert "the command of 'main' in MLproject does not pass {rerun}" in said_of(tmp_path)


# -- one environment


def pins(lines: list[str]) -> dict[str, str]:
    return dict(line.split("==") for line in lines)


def test_conda_yaml_lists_what_python_env_yaml_lists() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"]
    assert pins(conda[-1]["pip"]) == pins(python_env)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert conda[:-1] == [f"python{project['requires-python']}", "pip"]


def test_every_package_is_pinned_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"]
    for line in [*python_env, *project["dependency-groups"]["dev"]]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9.]*", line), line


def test_what_the_code_imports_is_in_the_environment() -> None:
    listed = yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"]
    # What mlflow and scikit-learn bring themselves, in versions that fit them.
    brought = {"scipy", "jinja2", "sqlalchemy", "requests"}
    packages = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
    known = {*pins(listed), *brought, *sys.stdlib_module_names, "mlflow_workflow", "steps"}
    for folder in ("mlflow_workflow", "steps"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for module in imports(file):
                top = module.partition(".")[0]
                assert packages.get(top, top) in known, f"{file.name} imports {top}"


def imports(file: Path, anywhere: bool = True) -> list[str]:
    """The modules that a file imports: anywhere in it, or at its top level only."""
    tree = ast.parse(file.read_bytes())
    found: list[str] = []
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


# -- no trace of a machine


def test_no_text_names_a_place_on_somebodys_machine() -> None:
    place = re.compile(rf"(?<![\w.])(/home/\w|/Users/\w|/root/|[A-Z]:\\Users|{re.escape(str(ROOT))}/)")
    for name in own_files():
        if name == "tests/test_contract.py":
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        assert not place.search(text), f"{name}: {place.findall(text)}"
