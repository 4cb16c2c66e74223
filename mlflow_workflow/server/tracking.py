"""Which tracking server it is, and which of its files lie on this disk."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from sqlalchemy import make_url

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.outputs.artifacts import local_folder
from mlflow_workflow.project.request import Request, split
from mlflow_workflow.server.first_use import sqlite_file
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.store import Store


def make_uri_absolute() -> None:
    """Steps run in the project folder: a relative SQLite file must mean to them what it means here."""
    uri = mlflow.get_tracking_uri()
    file = sqlite_file(uri)
    if file and not file.is_absolute():
        absolute = make_url(uri).set(database=str(file.resolve()))
        mlflow.set_tracking_uri(absolute.render_as_string(hide_password=False))


def open_store(run: Run, request: Request, patience: Patience) -> Store:
    """The tracking server of a run; looks in its experiment, and in those that `reuse_from` names."""
    client, experiment = mlflow.MlflowClient(), run.info.experiment_id
    others = experiment_ids(client, patience, split(request.settings["reuse_from"]))
    looked_in = tuple(dict.fromkeys((experiment, *others)))
    uri = without_credentials(mlflow.get_tracking_uri())
    return Store(client, uri, experiment, looked_in, patience)


def experiment_ids(client: MlflowClient, patience: Patience, names: Sequence[str]) -> tuple[str, ...]:
    """The ids of experiments given by name. Raises WorkflowError for one that does not exist."""
    found = []
    for name in names:
        experiment = patience.ask(partial(client.get_experiment_by_name, name))
        if experiment is None:
            known = [e.name for e in patience.ask(partial(client.search_experiments, max_results=200))]
            raise WorkflowError(f"no experiment {name!r} to reuse from{suggestion(name, known)}")
        found.append(str(experiment.experiment_id))
    return tuple(found)


def store_paths(store: Store) -> tuple[Path, ...]:
    """The files and folders of a tracking store on this disk, which must not count as code."""
    paths = []
    if file := sqlite_file(store.uri):
        paths = [file.with_name(file.name + end) for end in ("", "-wal", "-shm", "-journal")]
    experiment = store.ask(lambda: store.client.get_experiment(store.experiment_id))
    artifacts = local_folder(experiment.artifact_location)
    if artifacts:
        default_root = artifacts.parent.name in ("mlruns", "mlartifacts")
        paths.append(artifacts.parent if default_root else artifacts)
    return tuple(paths)
