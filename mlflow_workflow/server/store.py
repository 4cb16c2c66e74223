"""The tracking server: find, create, publish and end runs. No other module of workflow/ asks it.

A published run bears its fingerprint in the KEY of a tag. MLflow indexes tags by (key, run), so
finding a run by fingerprint costs the same among ten runs and among a million.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.canonical import canonical
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.identity.fingerprint import Identity, fingerprint, near_keys, summary
from mlflow_workflow.server.earlier import Earlier, earlier
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.tags import BANNED, IDENTITY, KIND, NEAR, NOTE, OUTPUTS, PUBLISHED, UNUSABLE

CANDIDATES = 20
"""How many runs of one fingerprint are considered, newest first: of some the outputs may be damaged."""
LONGEST_TAG = 8_000
MOST_TAGS = 100
"""How many tags MLflow takes at once."""
LONGEST_NAME = 250
LEDGER_NOTE = "Which orchestrator runs which step: kept by the workflow, of no interest to people."
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
        """What a call to the server answers; waits while it is away. Every call goes through here."""
        return self.patience.ask(call)

    def upload(self, call: Callable[[], None]) -> None:
        """As `ask`, for what takes long if it is much."""
        self.patience.insist(call)

    # -- look-up

    def find(self, step: str, mode: str, fingerprint: str) -> list[Earlier]:
        """The published runs of a fingerprint, newest first: one indexed query."""
        return self.search(f"fingerprint.{mode}.{fingerprint}", step, CANDIDATES)

    def find_near(self, step: str, near_key: str) -> list[Earlier]:
        """The newest published runs that have all but one ingredient in common."""
        return self.search(f"{NEAR}.{near_key}", step, CANDIDATES)

    def find_lately(self, step: str, most: int = 100) -> list[Earlier]:
        """The newest published runs of a step. No index leads to them: reads all published runs."""
        return self.search(PUBLISHED, step, most)

    def published(self, run_id: str) -> Earlier | None:
        """The run, if there is such a one and it was published."""
        run = self.known_run(run_id)
        return earlier(run) if run and PUBLISHED in run.data.tags else None

    def find_deleted(self, step: str, mode: str, fingerprint: str) -> list[Earlier]:
        """The published runs of a fingerprint that somebody deleted, newest first."""
        return self.search(f"fingerprint.{mode}.{fingerprint}", step, 1, ViewType.DELETED_ONLY)

    def search(self, key: str, step: str, most: int, view: int = ViewType.ACTIVE_ONLY) -> list[Earlier]:
        """Finished runs with this tag, newest first; not the deleted ones unless asked for."""
        # A step's name may hold a quote, which a filter cannot; its key or the name check decides.
        same_step = f" and tags.`{key}` = '{step}'" if "'" not in step else f" and tags.`{key}` LIKE '%'"
        runs = self.ask(
            lambda: self.client.search_runs(
                list(self.experiments),
                filter_string="attributes.status = 'FINISHED'" + same_step,
                order_by=["attributes.start_time DESC"],
                max_results=most,
                run_view_type=view,
            )
        )
        return [earlier(run) for run in runs if run.data.tags.get(key) == step]

    def best(self, step: str, metric: str, lowest: bool, most: int) -> list[Run]:
        """The published runs of a step that have a metric, best first: one query."""
        tag = f"tags.`{PUBLISHED}` " + (f"= '{step}'" if "'" not in step else "LIKE '%'")
        order = f"metrics.`{fit_name(metric)}` {'ASC' if lowest else 'DESC'}"
        query = f"attributes.status = 'FINISHED' and {tag}"
        found = self.ask(
            lambda: self.client.search_runs(
                list(self.experiments), query, order_by=[order], max_results=most
            )
        )
        usable = [run for run in found if not {BANNED, UNUSABLE} & set(run.data.tags)]
        return [run for run in usable if metric in run.data.metrics]

    def series(self, run_id: str, metric: str) -> tuple[float, ...]:
        """The values of a metric by step."""
        found = self.ask(lambda: self.client.get_metric_history(run_id, metric))
        by_step = {m.step: m.value for m in found}  # of a step that was tried again: the last word
        return tuple(by_step[step] for step in sorted(by_step))

    def run(self, run_id: str) -> Run:
        """The run. Raises WorkflowError if there is none."""
        try:
            return self.ask(lambda: self.client.get_run(run_id))
        except MlflowException as error:
            raise WorkflowError(f"no run {run_id!r} in {self.uri}: {error.message}") from None

    def runs_beginning(self, digits: str) -> list[str]:
        """The ids of the runs that begin with these hex digits, two at most."""
        query = f"attributes.run_id LIKE '{digits}%'"
        found = self.ask(lambda: self.client.search_runs(list(self.experiments), query, max_results=2))
        return [str(run.info.run_id) for run in found]

    # -- runs of this workflow

    def create_child(self, name: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """A new RUNNING run with these plain-text parameters; returns its id."""
        run = self.ask(
            lambda: self.client.create_run(self.experiment_id, run_name=name, tags=dict(tags))
        )
        self.log_parameters(run.info.run_id, parameters)
        return str(run.info.run_id)

    def log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        """Parameters as plain text; what MLflow finds too long it cuts (they are never read back)."""
        rows = [Param(fit_name(name), value) for name, value in parameters.items()]
        for start in range(0, len(rows), 100):
            batch = rows[start : start + 100]
            self.ask(partial(self.client.log_batch, run_id, params=batch))

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags, in one transaction unless there are very many."""
        rows = [RunTag(key, value[:LONGEST_TAG]) for key, value in tags.items()]
        for start in range(0, len(rows), MOST_TAGS):
            self.ask(partial(self.client.log_batch, run_id, tags=rows[start : start + MOST_TAGS]))

    def record(
        self,
        run_id: str,
        parameters: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> None:
        """Parameters, metrics and tags of a report; names that MLflow refuses are made fit."""
        now = int(time.time() * 1000)
        tag_rows = [RunTag(fit_name(key), value[:LONGEST_TAG]) for key, value in tags.items()]
        self.log_parameters(run_id, parameters)
        metric_rows = [Metric(fit_name(name), value, now, 0) for name, value in metrics.items()]
        for start in range(0, max(len(tag_rows), len(metric_rows)), 90):
            part = slice(start, start + 90)
            send = partial(self.client.log_batch, run_id, metrics=metric_rows[part], tags=tag_rows[part])
            self.ask(send)

    def open_as_model_training(self) -> None:
        """Lets MLflow's UI open the experiment with its runs, unless somebody chose otherwise."""
        experiment = self.ask(lambda: self.client.get_experiment(self.experiment_id))
        if KIND not in experiment.tags:
            kind = "custom_model_development"
            self.ask(lambda: self.client.set_experiment_tag(self.experiment_id, KIND, kind))

    def untag(self, run_id: str, key: str) -> None:
        """Removes a tag, if it is there."""
        try:
            self.ask(lambda: self.client.delete_tag(run_id, key))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def publish(
        self,
        run_id: str,
        identities: Mapping[str, Identity],
        outputs: str,
    ) -> None:
        """Makes a run reusable: from this one transaction on, `find` finds it."""
        rows = list(published_tags(identities, outputs).items())
        for batch in (rows[:-MOST_TAGS], rows[-MOST_TAGS:]):  # a step may have very many parameters
            self.tag(run_id, dict(batch))

    def mark_unusable(self, run_id: str, why: str) -> None:
        """Keeps a damaged run from being looked at again."""
        self.tag(run_id, {UNUSABLE: why})

    def end(self, run_id: str, status: str, even_finished: bool = False) -> None:
        """Ends a run as FINISHED, FAILED or KILLED; one that has ended only if `even_finished`."""
        if even_finished or self.run(run_id).info.status in ("RUNNING", "SCHEDULED"):
            self.ask(lambda: self.client.set_terminated(run_id, status))

    def experiment_name(self, experiment_id: str) -> str:
        """What people call an experiment."""
        return str(self.ask(lambda: self.client.get_experiment(experiment_id)).name)

    # -- what leases need

    def runs_tagged(self, key: str) -> list[Run]:
        """The newest runs of the experiment that bear this tag, whatever their status."""
        query, most = f"tags.`{key}` LIKE '%'", 1_000
        found = self.ask(lambda: self.client.search_runs([self.experiment_id], query, max_results=most))
        # A tag may be removed between the server's search and its reading of what it found.
        return [run for run in found if key in run.data.tags]

    def known_run(self, run_id: str) -> Run | None:
        """The run, deleted or not; None if there is none."""
        try:
            return self.ask(lambda: self.client.get_run(run_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def experiment_named(self, name: str) -> Experiment | None:
        """The experiment, deleted or not."""
        return self.ask(lambda: self.client.get_experiment_by_name(name))

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> str | None:
        """A new experiment's id; None if the name is taken."""
        try:
            return str(self.ask(lambda: self.client.create_experiment(name, tags=dict(tags))))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return None

    def create_ledger(self, experiment: str, name: str) -> str:
        """A new run in an experiment of this name, which is made or brought back where needed."""
        made = self.create_experiment(experiment, {NOTE: LEDGER_NOTE})
        known = None if made else self.experiment_named(experiment)
        if known and known.lifecycle_stage == "deleted":
            self.ask(lambda: self.client.restore_experiment(known.experiment_id))
        home = made or (known.experiment_id if known else self.experiment_id)
        run = self.ask(lambda: self.client.create_run(str(home), run_name=name))
        self.ask(lambda: self.client.set_terminated(run.info.run_id))
        return str(run.info.run_id)

    # -- artifacts

    def log_file(self, run_id: str, file: Path, folder: str | None = None) -> None:
        """Adds a file to a run's artifacts."""
        self.upload(lambda: self.client.log_artifact(run_id, str(file), folder))

    def log_folder(self, run_id: str, folder: Path) -> None:
        """Adds what a folder holds to a run's artifacts."""
        self.upload(lambda: self.client.log_artifacts(run_id, str(folder)))


def published_tags(identities: Mapping[str, Identity], outputs: str) -> dict[str, str]:
    """What a published run bears, the decisive tag last."""
    step = identities["code"].step
    prints = {f"fingerprint.{mode}.{fingerprint(i)}": step for mode, i in identities.items()}
    keys = {*near_keys(identities["code"]).values(), near_keys(identities["commit"])["upstream"]}
    near = {f"{NEAR}.{key}": step for key in keys}
    cut = {f"{IDENTITY}.{mode}": canonical(summary(i)) for mode, i in identities.items()}
    return {**near, **cut, **prints, OUTPUTS: outputs, PUBLISHED: step}


def fit_name(name: str) -> str:
    """A name of a parameter, metric or tag that MLflow takes."""
    return re.sub(r"[^/\w.\- ]", "_", name)[:LONGEST_NAME]
