"""The parent run: started or resumed, told what was asked for and what came of it, and ended."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

from workflow import report
from workflow.code import Code, without_credentials
from workflow.command import Request
from workflow.errors import Interrupted, WorkflowError
from workflow.lease import OWNER, owner
from workflow.plan import Outcome
from workflow.store import (
    COMMIT,
    DIRTY,
    NAME,
    NOTE,
    PARENT,
    REPOSITORY,
    SOURCE,
    SOURCE_TYPE,
    USER,
    Store,
)
from workflow.surroundings import Surroundings


@contextmanager
def started(task: str) -> Iterator[Run]:
    """The run that `mlflow run` set up, or a new one; ended FAILED or KILLED if an error comes through.

    It is named after the task unless the user gave a name.
    """
    given = os.environ.get("MLFLOW_RUN_ID")
    make_uri_absolute()
    run = mlflow.start_run(run_name=None if given else os.environ.get("MLFLOW_RUN_NAME") or task)
    try:
        if given and has_generated_name(run):
            mlflow.MlflowClient().set_tag(run.info.run_id, NAME, task)
        yield run
    except WorkflowError as error:
        end("FAILED", str(error))
        raise
    except Interrupted:
        end("KILLED")
        raise
    except BaseException:
        end("FAILED")
        raise


def end(status: str, error: str | None = None) -> None:
    """Ends the parent run, if it has not ended; an error becomes its description."""
    run = mlflow.active_run()
    if run:
        client = mlflow.MlflowClient()
        if error:
            client.set_tag(run.info.run_id, NOTE, f"**Error**: {report.escaped(error)}")
        if OWNER in client.get_run(run.info.run_id).data.tags:
            client.delete_tag(run.info.run_id, OWNER)
        mlflow.end_run(status)


def refused(error: str) -> None:
    """Marks the run that `mlflow run` set up as FAILED, with the error as its description."""
    mlflow.start_run()
    end("FAILED", error)


def make_uri_absolute() -> None:
    """Steps run in the project folder: a relative SQLite file must mean to them what it means here."""
    uri = mlflow.get_tracking_uri()
    path = uri.removeprefix("sqlite:///")
    if path != uri and path and not Path(path).is_absolute():
        mlflow.set_tracking_uri(f"sqlite:///{Path(path).resolve()}")


def has_generated_name(run: Run) -> bool:
    """Did MLflow make the run's name up, because the user gave none?"""
    words = str(run.info.run_name or "").split("-")
    return (
        len(words) == 3
        and words[0] in _GENERATOR_PREDICATES
        and words[1] in _GENERATOR_NOUNS
        and words[2].isdigit()
    )


def child_tags(run: Run, code: Code, project: Path) -> dict[str, str]:
    """Whose child a run is, and where its code came from: a URL if there is one, never a clone."""
    source = run.data.tags.get(SOURCE, "")
    url = source if "://" in source and not source.startswith("file:") else code.url
    tags = {
        PARENT: run.info.run_id,
        USER: run.data.tags.get(USER),
        SOURCE_TYPE: "PROJECT",
        SOURCE: without_credentials(url or str(project)),
        COMMIT: code.commit,
        REPOSITORY: without_credentials(url) if url else None,
        DIRTY: "true" if code.dirty else None,
    }
    return {key: value for key, value in tags.items() if value}


def record_request(store: Store, run: Run, request: Request, around: Surroundings) -> None:
    """What was asked for: the parameters of every step, the config files, where the code is from."""
    # MLflow itself logged what came through `mlflow run`, and a parameter cannot be logged twice.
    asked = {n: v for n, v in requested(request).items() if n not in run.data.params}
    store.log_parameters(run.info.run_id, asked)
    tags = {"workflow.task": request.task, OWNER: owner()}
    if source := run.data.tags.get(SOURCE):
        tags[SOURCE] = without_credentials(source)
    if around.code.dirty:
        tags[DIRTY] = "true"
    if around.code.commit:
        tags[COMMIT] = around.code.commit
    store.tag(run.info.run_id, tags)
    for file in request.configs:
        store.log_file(run.info.run_id, file, "config")


def requested(request: Request) -> dict[str, str]:
    """The task, the settings that are not empty, and the parameters of every step by dotted name.

    Swept ones have no one value: they are in `sweep`.
    """
    found = {"task": request.task, **{n: v for n, v in request.settings.items() if v}}
    swept = set()
    for node in request.nodes:
        for name, value in {**node.values, **({"": node.pin} if node.pin else {})}.items():
            dotted = f"{node.step.name}.{name}" if name else node.step.name
            if found.setdefault(dotted, value) != value:
                swept.add(dotted)
    return {name: value for name, value in found.items() if name not in swept}


def record_outcomes(store: Store, run: Run, request: Request, outcomes: Mapping[str, Outcome]) -> None:
    """Which run stands for each step, and the description that people see first."""
    stands = {f"workflow.run.{o.node}": o.run_id for o in outcomes.values() if o.run_id}
    note = report.description(request.settings.get("description", ""), list(outcomes.values()))
    store.tag(run.info.run_id, {**stands, NOTE: note})
