"""`mlflow-workflow upgrade`"""

import json
import re
from pathlib import Path

import click

from mlflow_workflow import __version__
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.commands import engine
from mlflow_workflow.commands.refusal import told
from mlflow_workflow.project.mlproject import open_workflow

ITEM = re.compile(r"^( *- *)[\"']?(mlflow[-_]workflow(?![\w.-])[^\r\n]*)", re.MULTILINE)
"""The engine in a list of packages: what comes before it, and what it is named by."""


@click.command()
@click.option("--discard-edits", is_flag=True, help="Replace a copy of the engine that was edited, too.")
@told
def upgrade(discard_edits: bool) -> None:
    """Give the project here the engine that this command comes with, and say what changed."""
    project = Path.cwd()
    has_copy = (project / engine.PACKAGE / engine.COPY).is_file()
    before = renew_copy(project, discard_edits) if has_copy else move_pins(project)
    if before == __version__:
        click.echo(f"the project has {engine.NAME} {__version__}")
        return
    click.echo(f"{engine.NAME} {before or 'of an unknown version'} → {__version__}\n")
    click.echo("\n\n".join(engine.changes_since(before)))
    click.echo("\nSteps may run again: the engine counts as a part of what they are made of.")


def renew_copy(project: Path, discard_edits: bool) -> str:
    """Replaces the project's copy of the engine; returns the version that it was.

    Raises:
        WorkflowError: the copy was edited, or it is itself what is running.
    """
    package = project / engine.PACKAGE
    known = json.loads((package / engine.COPY).read_text(encoding="utf-8"))
    if package.resolve() == engine.HERE:
        raise WorkflowError(
            "this is the project's own copy of the engine: install a newer one, and run its command"
            f" {engine.NAME} in this folder"
        )
    if engine.digest_of(package) != known["files"] and not discard_edits:
        raise WorkflowError(
            f"{engine.PACKAGE}/ was edited since it was put in: keep your changes elsewhere,"
            " then upgrade with --discard-edits"
        )
    engine.put_copy(project)
    return str(known["version"])


def move_pins(project: Path) -> str | None:
    """Renews the engine's line in the project's lists of packages; returns the version that it named.

    Raises:
        WorkflowError: no list names the engine, or the one that runs was not installed.
    """
    names = (open_workflow(project).environment_file, "python_env.yaml", "conda.yaml")
    files = [project / name for name in dict.fromkeys(names) if name and (project / name).is_file()]
    found = [(file, item) for file in files if (item := ITEM.search(read(file)))]
    if not found:
        raise WorkflowError(
            f"no list of packages here names {engine.NAME}, and there is no copy of it that"
            " 'new --vendor' made: is this the folder of a project?"
        )
    if (line := engine.requirement()) is None:
        raise WorkflowError(
            "this engine was not installed, so that no list can name it: install it first"
        )
    for file, item in found:
        move(file, item[2], engine.with_version(line))
    return version_in(found[0][1][2])


def move(file: Path, old: str, new: str) -> None:
    """Renews the engine's line of a file, and says so if that changes it."""
    before = read(file)
    after = ITEM.sub(lambda item: item[1] + new, before)
    if after != before:
        file.write_bytes(after.encode())
        click.echo(f"{file.name}: {old.strip()} → {new}")


def read(file: Path) -> str:
    """A file's text, with its line ends as they are."""
    return file.read_bytes().decode("utf-8")


def version_in(named: str) -> str | None:
    """The version that the engine's line in a list of packages tells, in it or as a comment."""
    found = re.search(r"(?:==|# *)(\d[\w.]*)[\"']? *$", named)
    return found[1] if found else None
