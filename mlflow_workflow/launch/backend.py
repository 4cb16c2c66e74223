"""The one place that calls `mlflow.run`: MLflow starts a step, and we decide which process that is.

MLflow finds the project backends that it does not know itself by what is installed. A clone has
nothing installed, so ours puts itself into MLflow's own registry.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import projects
from mlflow.projects.backend import loader
from mlflow.projects.backend.abstract_backend import AbstractBackend

from mlflow_workflow.launch.engine import Job

NAME = "workflow"
JOB, START = "job", "start"


class JobBackend(AbstractBackend):
    """Starts the job that it is given. What is run is the job's command, not MLproject's of now."""

    def run(  # noqa: D102, PLR0917 - MLflow's
        self,
        project_uri: str,
        entry_point: str,
        params: Mapping[str, str],
        version: str | None,
        backend_config: Mapping[str, Any],
        tracking_uri: str,
        experiment_id: str,
    ) -> Any:
        backend_config[START]()
        return backend_config[JOB]  # of which MLflow, which does not wait, wants the run's id only


def start_through_mlflow(project: Path, experiment_id: str, job: Job, start: Callable[[], None]) -> None:
    """`mlflow.run` for a job: MLflow calls `start`, and then sets the run's tag mlflow.project.backend.

    Raises:
        Exception: what `start` raised, or the tag could not be set. Then the job may have been started.
    """
    loader.MLFLOW_BACKENDS.setdefault(NAME, JobBackend)  # type: ignore[arg-type]
    projects.run(  # type: ignore[no-untyped-call]
        uri=str(project),
        entry_point=job.step.name,
        parameters=dict(job.parameters),
        experiment_id=experiment_id,
        backend=NAME,
        backend_config={JOB: job, START: start},
        env_manager="local",
        synchronous=False,
    )
