"""The little that a step imports: a run to log to, and a folder to write its outputs in.

    with step() as outputs:
        (outputs / "result.csv").write_text(…)

A step in another language runs under it: `python -m mlflow_workflow.step -- <command>`, which finds the
outputs folder in the environment variable WORKFLOW_OUTPUTS.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import mlflow
from mlflow.entities import Run

from mlflow_workflow.outputs import artifacts, manifest
from mlflow_workflow.outputs.manifest import Manifest, Outputs

OUTPUTS_VARIABLE = "WORKFLOW_OUTPUTS"
GIVEN_VARIABLE = "MLFLOW_RUN_ID"
TAKEN_VARIABLE = "WORKFLOW_STEP_RUN"
"""The run that this process, or the one that started it, took by `step()`."""

ENTRY_POINT = "mlflow.project.entryPoint"
USAGE = """usage: python -m mlflow_workflow.step -- <command>

Runs the command as a step: what it writes in the folder $WORKFLOW_OUTPUTS becomes the run's outputs."""


@contextmanager
def step() -> Iterator[Path]:
    """Resumes the run that MLflow set up (or starts one) and gives an empty folder for the outputs.

    On a clean exit the folder becomes the run's artifact folder named after the step, and its
    manifest is logged last: outputs without a manifest were never finished. On an exception nothing
    is logged and the run ends FAILED.

    Raises:
        click.ClickException: the run has had its step, or what was left cannot be its outputs.
    """
    take_run()
    owner = os.getpid()
    with mlflow.start_run() as run:
        folder = Path(tempfile.mkdtemp(prefix="outputs-"))
        try:
            yield folder
            check_owner(owner)
            leave(run, folder)
        finally:
            if os.getpid() == owner:  # a forked child must not remove what its parent still fills
                shutil.rmtree(folder, ignore_errors=True)


def take_run() -> None:
    """A run that was given has one step: what a second one left would go to a run that nobody knows."""
    if given := os.environ.get(GIVEN_VARIABLE):
        os.environ[TAKEN_VARIABLE] = given
    elif taken := os.environ.get(TAKEN_VARIABLE):
        raise click.ClickException(
            f"step() was used already for run {taken}: write all outputs in one `with step()` block"
        )


def check_owner(owner: int) -> None:
    """The process that entered the block leaves it."""
    if os.getpid() != owner:
        raise click.ClickException(
            f"process {os.getpid()} leaves the block of step() that process {owner} entered:"
            " end a forked process inside of it, with os._exit()"
        )


def leave(run: Run, folder: Path) -> None:
    """Stores the outputs, and then their manifest if what is stored is what was there before."""
    if not folder.is_dir():
        raise click.ClickException(
            f"the outputs folder {folder} is gone: a step writes into it, and leaves it where it is"
        )
    client = mlflow.MlflowClient()
    now = client.get_run(run.info.run_id)
    if now.info.status not in ("RUNNING", "FINISHED"):
        raise click.ClickException(f"the step ended its own run as {now.info.status}")
    made = manifest.read_folder(folder)
    outputs = Outputs(str(now.info.artifact_uri), name_of(now))
    client.log_artifacts(run.info.run_id, str(folder), artifact_path=outputs.step)
    if wrong := stored_misfit(made, outputs, folder):
        raise click.ClickException(
            f"what was stored of the outputs is {wrong}. Does something still write into {folder}?"
        )
    client.log_text(run.info.run_id, manifest.to_json(made), manifest.NAME)


def stored_misfit(made: Manifest, outputs: Outputs, folder: Path) -> str | None:
    """How the stored outputs differ from the manifest. Of a remote store, by name and size."""
    here = artifacts.local_folder(outputs.uri)
    if here is None:
        far = manifest.misfit(made, artifacts.stored_sizes(outputs))
        return far or manifest.content_misfit(made, folder)
    return manifest.content_misfit(made, here)


def name_of(run: Run) -> str:
    """The step that a run executes: its entry point, or the script that was started by hand."""
    return run.data.tags.get(ENTRY_POINT) or Path(sys.argv[0]).stem


def main(arguments: list[str]) -> int:
    """Runs a command with an outputs folder; returns its exit code."""
    if arguments[:1] in (["--help"], ["-h"]):
        print(USAGE)
        return 0
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command or (command is arguments and command[0].startswith("-")):
        print(USAGE, file=sys.stderr)
        return 2
    return run_command(command)


def run_command(command: list[str]) -> int:
    """As `main`, once the command is known."""
    code = 1
    try:
        with step() as outputs:
            environment = {**os.environ, OUTPUTS_VARIABLE: str(outputs)}
            code = exit_code(command, environment)
            if code:
                raise click.ClickException(f"{command[0]} ended with exit code {code}")
    except click.ClickException as error:
        print(error.message, file=sys.stderr)
        code = code or 1
    return code if code >= 0 else 128 - code


def exit_code(command: list[str], environment: dict[str, str]) -> int:
    """The exit code of a command. Raises ClickException: it cannot be started."""
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        raise click.ClickException(f"cannot run {command[0]}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
