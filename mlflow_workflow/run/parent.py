"""The parent run: started or resumed, told what was asked for and what came of it, and ended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

from mlflow_workflow import __version__
from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import Interrupted, ServerGone, WorkflowError
from mlflow_workflow.basics.processes import owner, starters
from mlflow_workflow.identity.code import Code
from mlflow_workflow.identity.reading import Reading
from mlflow_workflow.project.request import Request
from mlflow_workflow.report import ending, highlights
from mlflow_workflow.report.description import description
from mlflow_workflow.report.facts import Facts, to_json
from mlflow_workflow.report.gather import gather
from mlflow_workflow.report.names import parent_name
from mlflow_workflow.report.page import page
from mlflow_workflow.report.table import escaped
from mlflow_workflow.report.terminal import say
from mlflow_workflow.run.execute import Loop
from mlflow_workflow.server.first_use import make_tables
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import (
    COMMIT,
    DIRTY,
    ENGINE,
    ENTRY_POINT,
    NAME,
    NOTE,
    OWNER,
    PARENT,
    REPOSITORY,
    SOURCE,
    SOURCE_TYPE,
    USER,
)
from mlflow_workflow.server.tracking import make_uri_absolute


@contextmanager
def started(task: str, patience: Patience) -> Iterator[Run]:
    """The run that `mlflow run` set up, or a new one; ended FAILED or KILLED if an error comes through.

    It is named after the task unless the user gave a name.
    """
    # MLflow would take it out itself, also if the server is away; asked again, it would begin a new run.
    given = os.environ.pop("MLFLOW_RUN_ID", None)
    # The end of every run would print two lines of links; the report ends with the one that matters.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    make_uri_absolute()
    # Not `ask`, which would take those before us in the queue for a server that is away.
    patience.insist(lambda: make_tables(mlflow.get_tracking_uri()))
    name = None if given else os.environ.get("MLFLOW_RUN_NAME") or task
    tags = {OWNER: owner(), ENGINE: __version__}
    # Owned from its first moment on, so that whatever happens somebody will close it.
    run = patience.ask(lambda: mlflow.start_run(given, run_name=name, tags=tags))
    try:
        if given and has_generated_name(run):
            patience.ask(lambda: mlflow.MlflowClient().set_tag(run.info.run_id, NAME, task))
        yield run
    except BaseException as error:
        if isinstance(error, Interrupted | ServerGone):
            patience.hurry()
        with suppress(ServerGone, MlflowException):  # the first error is the one to tell
            status = "KILLED" if isinstance(error, Interrupted) else "FAILED"
            end(patience, status, str(error) if isinstance(error, WorkflowError) else None)
        raise


def end(patience: Patience, status: str, error: str | None = None) -> None:
    """Ends the parent run, if it has not ended; an error becomes its description."""
    run = mlflow.active_run()
    if run is None:
        return
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    try:
        patience.ask(lambda: client.set_terminated(run_id, status))
    finally:
        # MLflow forgets the run before it asks, once only; a run that it knows is FINISHED at exit.
        with suppress(MlflowException):
            mlflow.end_run(status)
    if error:
        note = f"**Error**: {escaped(without_credentials(error))}"
        patience.ask(lambda: client.set_tag(run_id, NOTE, note))
    if OWNER in patience.ask(lambda: client.get_run(run_id)).data.tags:
        patience.ask(lambda: client.delete_tag(run_id, OWNER))


def starters_of(run: Run) -> list[tuple[int, str]]:
    """The processes that this one must not outlive; none unless `mlflow run` here started it."""
    return starters(run.info.run_id) if ENTRY_POINT in run.data.tags else []


def refused(error: str) -> None:
    """Marks the run that `mlflow run` set up as FAILED, with the error as its description.

    The error has been told already: a tracking server that is away is not waited for.
    """
    patience, given = server_patience(), os.environ.pop("MLFLOW_RUN_ID", None)
    patience.hurry()
    with suppress(ServerGone, MlflowException):
        patience.ask(lambda: mlflow.start_run(given))
        end(patience, "FAILED", error)


def server_patience() -> Patience:
    """For the tracking server that MLflow uses."""
    return Patience(without_credentials(mlflow.get_tracking_uri()), say)


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
        ENGINE: __version__,
        USER: run.data.tags.get(USER),
        SOURCE_TYPE: "PROJECT",
        SOURCE: without_credentials(url or str(project)),
        COMMIT: code.commit,
        REPOSITORY: without_credentials(url) if url else None,
        DIRTY: "true" if code.dirty else None,
    }
    return {key: value for key, value in tags.items() if value}


def record_request(store: Store, run: Run, request: Request, around: Reading) -> None:
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
    store.open_as_model_training()
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


def facts_of(store: Store, run: Run, request: Request, code: Code, loop: Loop) -> Facts:
    """What happened, once every node has its outcome."""
    return gather(
        request,
        code,
        loop.board.done,
        loop.compared,
        planned=loop.acting is None,
        run_id=run.info.run_id,
        experiment_id=store.experiment_id,
        started=(run.info.start_time or 0) / 1000,
        uri=store.uri,
        source=run.data.tags.get(SOURCE, ""),
    )


def record_outcomes(store: Store, run: Run, found: Facts, folder: Path) -> None:
    """The description that people see first, the steps' metrics, and the page with everything."""
    shown = highlights.shown_on_parent(found)
    used = {f"workflow.run.{name}": step.run_id for name, step in shown.items() if step.run_id}
    tags = {**used, NOTE: encodable(description(found))}
    if run.info.run_name == found.task or has_generated_name(run):  # else the user gave one
        tags[NAME] = encodable(parent_name(found))
    metrics = highlights.parent_metrics(found)
    store.log_parameters(run.info.run_id, highlights.best_parameters(found))
    store.log_metrics(run.info.run_id, metrics)
    store.tag(run.info.run_id, tags)
    files = {"workflow.json": to_json(found), "workflow.html": page(found)}
    if found.sweep:
        files["leaderboard.txt"] = ending.board(found, found.sweep)
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(encodable(text), encoding="utf-8")
    store.log_folder(run.info.run_id, folder)


def encodable(text: str) -> str:
    """Text without the stand-ins for bytes of file names that are no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
