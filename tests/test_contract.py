"""What holds across the repository: steps as MLproject declares them, one environment, one direction."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import yaml

from mlflow_workflow.checks.contract import mistakes
from tests.conftest import ROOT, own_files


def test_every_step_is_what_mlproject_says() -> None:
    said = mistakes(ROOT)
    assert not said, "\n".join(said)


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
    brought = {"scipy", "pyarrow", "jinja2", "sqlalchemy", "requests"}
    packages = {"sklearn": "scikit-learn", "yaml": "pyyaml"}
    known = {*pins(listed), *brought, *sys.stdlib_module_names, "mlflow_workflow", "steps"}
    recorder = ROOT / "mlflow_workflow/identity/recorder"  # is put on the path of a step's processes
    known |= {file.stem for file in recorder.glob("workflow_*.py")}
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
