"""The tracking server: runs and experiments, made, marked, ended and read. Every call goes through here.

A server that is away is waited for (patience.py), whatever is asked of it.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.retries import persistently
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.tags import KIND

LONGEST_TAG = 8_000
MOST_TAGS = 100
"""How many tags or parameters MLflow takes at once."""
PAGE = 1_000
LONGEST_NAME = 250
FORBIDDEN = ("PERMISSION_DENIED", "UNAUTHENTICATED")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Store:
    """One tracking server; `experiment_id` is where new runs go, `experiments` where to look."""

    client: MlflowClient
    uri: str
    experiment_id: str
    experiments: tuple[str, ...]
    patience: Patience = field(default_factory=lambda: Patience("", print), compare=False)

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """What a call to the server answers; waits while it is away."""
        return self.patience.ask(call)

    def upload(self, call: Callable[[], None]) -> None:
        """As `ask`, for what takes long if it is much."""
        self.patience.insist(call)

    # -- reading

    def search(
        self, query: str, most: int, order: str = "attributes.start_time DESC", deleted: bool = False
    ) -> list[Run]:
        """The runs that a query finds where we look, newest first; with `deleted` these too."""
        view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
        where = list(self.experiments)
        return list(self.ask(lambda: self.client.search_runs(where, query, view, most, [order])))

    def all_runs(self, query: str) -> Iterator[Run]:
        """All runs of our own experiment that a query finds, however many."""
        token: str | None = ""
        while token is not None:
            search = partial(self.client.search_runs, [self.experiment_id], query, max_results=PAGE)
            page = self.ask(partial(search, page_token=token or None))
            yield from page
            token = page.token or None

    def tagged(self, key: str) -> Iterator[Run]:
        """The runs of our own experiment that bear this tag, whatever their status."""
        # A tag may be removed between the server's search and its reading of what it found.
        return (run for run in self.all_runs(f"tags.`{key}` LIKE '%'") if key in run.data.tags)

    def run(self, run_id: str) -> Run:
        """The run. Raises WorkflowError if there is none."""
        try:
            return self.ask(lambda: self.client.get_run(run_id))
        except MlflowException as error:
            raise WorkflowError(f"no run {run_id!r} in {self.uri}: {error.message}") from None

    def known_run(self, run_id: str) -> Run | None:
        """The run, deleted or not; None if there is none."""
        try:
            return self.ask(lambda: self.client.get_run(run_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def runs_beginning(self, digits: str) -> list[str]:
        """The ids of the runs that begin with these hex digits, two at most."""
        return [str(run.info.run_id) for run in self.search(f"attributes.run_id LIKE '{digits}%'", 2)]

    def series(self, run_id: str, metric: str) -> tuple[float, ...]:
        """The values of a metric by step."""
        found = self.ask(lambda: self.client.get_metric_history(run_id, metric))
        by_step = {m.step: m.value for m in found}  # of a step that was tried again: the last word
        return tuple(by_step[step] for step in sorted(by_step))

    def experiment_name(self, experiment_id: str) -> str:
        """What people call an experiment."""
        return str(self.ask(lambda: self.client.get_experiment(experiment_id)).name)

    # -- writing

    def create_child(self, name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """A new RUNNING run with these plain-text parameters; returns its id."""
        create = partial(self.client.create_run, self.experiment_id, run_name=name, tags=dict(tags))
        run_id = str(self.ask(create).info.run_id)
        self.log_parameters(run_id, parameters)
        return run_id

    def withdraw(self, run_id: str) -> None:
        """Ends and deletes a run that nothing was done in."""
        self.end(run_id, "KILLED")
        self.ask(lambda: self.client.delete_run(run_id))

    def log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        """Parameters as plain text; what MLflow finds too long it cuts (they are never read back)."""
        rows = [Param(fit_name(name), value) for name, value in parameters.items()]
        for start in range(0, len(rows), MOST_TAGS):
            batch = rows[start : start + MOST_TAGS]
            self.ask(partial(self.client.log_batch, run_id, params=batch))

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags, in one transaction unless there are very many."""
        rows = [RunTag(fit_name(key), value[:LONGEST_TAG]) for key, value in tags.items()]
        for start in range(0, len(rows), MOST_TAGS):
            self.ask(partial(self.client.log_batch, run_id, tags=rows[start : start + MOST_TAGS]))

    def remark(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags on somebody's run, if we may write there: it is no loss if not."""
        with suppress_forbidden():
            self.tag(run_id, tags)

    def untag(self, run_id: str, *keys: str) -> None:
        """Removes tags that may be there."""
        for key in keys:
            try:
                self.ask(partial(self.client.delete_tag, run_id, key))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Metrics of a report; names that MLflow refuses are made fit."""
        now = int(time.time() * 1000)
        rows = [Metric(fit_name(name), value, now, 0) for name, value in metrics.items()]
        for start in range(0, len(rows), MOST_TAGS):
            batch = rows[start : start + MOST_TAGS]
            self.ask(partial(self.client.log_batch, run_id, metrics=batch))

    def end(self, run_id: str, status: str) -> None:
        """Ends a run as FINISHED, FAILED or KILLED, also one that has ended otherwise."""
        self.ask(lambda: self.client.set_terminated(run_id, status))

    def open_as_model_training(self) -> None:
        """Lets MLflow's UI open the experiment with its runs, unless somebody chose otherwise."""
        experiment = self.ask(lambda: self.client.get_experiment(self.experiment_id))
        if KIND not in experiment.tags:
            self.tag_experiment(KIND, "custom_model_development")

    def tag_experiment(self, key: str, value: str) -> None:
        """Sets a tag of our own experiment, if we may."""
        with suppress_forbidden():
            self.ask(lambda: self.client.set_experiment_tag(self.experiment_id, key, value))

    # -- artifacts

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Adds a file to a run's artifacts."""
        log = partial(self.client.log_artifact, run_id, str(file), folder)
        persistently(lambda: self.upload(log))

    def log_folder(self, run_id: str, folder: Path) -> None:
        """Adds what a folder holds to a run's artifacts."""
        log = partial(self.client.log_artifacts, run_id, str(folder))
        persistently(lambda: self.upload(log))


@contextmanager
def suppress_forbidden() -> Iterator[None]:
    """Passes over a refusal of the server: some may read what they may not write."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in FORBIDDEN:
            raise


def fit_name(name: str) -> str:
    """A name of a parameter, metric or tag that MLflow takes."""
    return re.sub(r"[^/\w.\- ]", "_", name)[:LONGEST_NAME]
