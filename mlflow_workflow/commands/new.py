"""`mlflow-workflow new FOLDER`"""

import json
import re
import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from mlflow_workflow import __version__
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.files import files_in
from mlflow_workflow.commands import engine
from mlflow_workflow.commands.refusal import told
from mlflow_workflow.identity.git import git, why_no_git

TEMPLATE = Path(__file__).parent / "template"
PACKAGES = ("mlflow", "pandas", "scikit-learn", "skops", "click")
"""What the steps of the template import."""
OF_ENGINE = ("pyyaml", "psutil")
"""What a copy of the engine imports beside that; one that is listed brings it."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--vendor", is_flag=True, help="Put a copy of the engine in, instead of listing it.")
@told
def new(folder: Path, vendor: bool) -> None:
    """Make a project of your own in FOLDER: three small steps, which run at once."""
    refuse_used(folder)
    line = None if vendor else engine.requirement()
    beside = [engine.with_version(line)] if line else map(pinned, OF_ENGINE)
    count = write(folder, [*map(pinned, PACKAGES), *beside])
    if line is None:
        engine.put_copy(folder)
    click.echo(f"{folder}: a new project of {count} files")
    click.echo(f"engine: {engine.NAME} {__version__}, {whence(line, vendor)}")
    click.echo(f"git: {first_commit(folder)}")
    click.echo(f"\n  cd {shlex.quote(str(folder))}\n  mlflow run . --env-manager local\n")


def refuse_used(folder: Path) -> None:
    """Raises WorkflowError unless the folder is new or empty."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise WorkflowError(f"{folder} is there already and not empty: name a new folder")


def write(folder: Path, packages: list[str]) -> int:
    """Writes the files of the template; returns how many."""
    title = folder.resolve().name
    # An installer compiles what it installs.
    files = {name: file for name, file in files_in(TEMPLATE).items() if "__pycache__" not in name}
    for name, file in files.items():
        target = folder / name.replace("gitignore", ".gitignore")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(filled(file.read_text(encoding="utf-8"), title, packages), encoding="utf-8")
    return len(files)


def filled(text: str, title: str, packages: list[str]) -> str:
    """A template's text with the project's name and its packages, a line each."""
    named = text.replace("{{title}}", title).replace("{{name}}", json.dumps(title))
    return re.sub(
        r"^( *- )\{\{packages\}\}$",
        lambda found: "\n".join(found[1] + package for package in packages),
        named,
        flags=re.MULTILINE,
    )


def pinned(package: str) -> str:
    """A package with the version that is installed here."""
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        return f"{package}  # not installed where this project was made: pin the version"


def whence(line: str | None, vendor: bool) -> str:
    """Where the project has its engine from, in words."""
    if line is None:
        why = "" if vendor else ", because the one that runs was not installed from anywhere"
        return f"a copy in {engine.PACKAGE}/{why}"
    here = "; that is a place on this machine, --vendor makes a copy instead" if "file:" in line else ""
    return f"listed in python_env.yaml as {line}{here}"


def first_commit(folder: Path) -> str:
    """Commits what was written; returns what became of that, in words."""
    try:
        around = git(folder, "rev-parse", "--show-toplevel").strip()
        return f"not committed, because the folder lies in the repository {around}: commit it there"
    except OSError:
        return "not committed, because git is not installed"
    except subprocess.CalledProcessError:
        return committed(folder)


def committed(folder: Path) -> str:
    """Makes a repository with a first commit; returns what became of that, in words."""
    try:
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "A new project")
    except subprocess.CalledProcessError as error:
        again = f"git -C {folder} commit -m 'A new project'"
        if b"ident" in error.stderr:
            who = 'git config --global user.name "Your Name"; git config --global user.email you@…'
            return f"not committed, because git does not know who you are: {who}; {again}"
        return f"not committed, because {why_no_git(error)}: mend that, then {again}"
    return "a first commit"
