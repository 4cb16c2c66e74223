"""What a job becomes on a machine: a command for bash, its folder, and its environment variables."""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.projects._project_spec import EntryPoint
from mlflow.projects.utils import get_run_env_vars
from mlflow.utils.databricks_utils import get_databricks_env_vars

from mlflow_workflow.launch.engine import Job


@dataclass(frozen=True)
class Call:
    """A command for bash. A `timeout` of 0 is none; `preload` are packages it may find imported."""

    command: str
    folder: str
    variables: Mapping[str, str]
    log: str
    timeout: float
    preload: Sequence[str] | None


def command_of(job: Job, storage: Path) -> str:
    """The job's command with its parameters, quoted by MLflow itself.

    `path` parameters become local: what is a URI, MLflow downloads into a folder in `storage`.
    """
    declared = job.step.entry.get("parameters") or {}
    entry = EntryPoint(job.step.name, declared, job.step.command)  # type: ignore[no-untyped-call]
    place = tempfile.mkdtemp(dir=storage)
    return str(entry.compute_command(dict(job.parameters), place))  # type: ignore[no-untyped-call]


def variables_of(job: Job, experiment_id: str, project: Path, temporary: Path) -> dict[str, str]:
    """The environment variables of a step: ours, those of MLflow's local backend, and a few more.

    The running interpreter's folder is first on PATH, so that `python` in a command is this one. An
    experiment's name beside the id that MLflow sets would be refused. Temporary files go where they
    are removed even if the step is killed. What a step prints is in its log at once.
    """
    python = Path(sys.executable).parent
    found = {
        "PYTHONUNBUFFERED": "1",
        **os.environ,
        **get_run_env_vars(job.run_id, experiment_id),  # type: ignore[no-untyped-call]
        **get_databricks_env_vars(mlflow.get_tracking_uri()),  # type: ignore[no-untyped-call]
        "PWD": str(project),
        "TMPDIR": str(temporary),
        "PATH": f"{python}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    found.pop("MLFLOW_EXPERIMENT_NAME", None)
    return found
