"""Fetches the best runs of a step, by a bounded number of queries, and shows them."""

import os
from pathlib import Path

import click
import mlflow
from mlflow.entities import Run

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.report import compare
from mlflow_workflow.report.compare import Candidate
from mlflow_workflow.report.links import run_page
from mlflow_workflow.report.page import render
from mlflow_workflow.report.terminal import say
from mlflow_workflow.server.earlier import earlier
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import COMMIT, DIRTY
from mlflow_workflow.server.tracking import experiment_ids

PAIRS = "pairs"


def usual_metric(project: Path) -> str:
    """The metric that ranks sweeps by default. Raises WorkflowError if no MLproject here tells."""
    file = project / "MLproject"
    try:
        declared = read_workflow(file.read_text(encoding="utf-8")).main.parameters.get("metric")
    except OSError:
        declared = None
    if declared is None or not declared.default:
        raise WorkflowError(f"{file} gives no default metric: name one with --metric")
    return declared.default


def show(step: str, top: int, metric: str, experiment: str | None, html: Path | None) -> Path:
    """Prints the table and writes the page; returns where.

    Raises:
        WorkflowError: no such experiment, or no run with this metric.
    """
    store = open_store(experiment)
    name, lowest = metric.removeprefix("-"), metric.startswith("-")
    runs = store.best(step, name, lowest, top)
    if not runs:
        known = {name for run in store.find_lately(step, 10) for name in run.metrics}
        there = suggestion(name, known) if known else "; no run of this step is published"
        raise WorkflowError(f"no run of step {step!r} with a metric {name!r} in {store.uri}{there}")
    candidates = [candidate(store, run, name) for run in runs]
    click.echo(compare.table(candidates, name, lowest))
    file = html or Path(f"compare-{step}.html")
    file.write_text(page(step, name, lowest, candidates, store.uri), encoding="utf-8")
    return file


def open_store(experiment: str | None) -> Store:
    """The tracking server, looking in one experiment."""
    client, uri = mlflow.MlflowClient(), without_credentials(mlflow.get_tracking_uri())
    patience = Patience(uri, say)
    ids = experiment_ids(client, patience, [experiment] if experiment else [])
    found = ids[0] if ids else os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
    return Store(client, uri, found, (found,), patience)


def candidate(store: Store, run: Run, metric: str) -> Candidate:
    """A run as it is compared; its folds take one more query, if it has any."""
    tags, metrics, folds = run.data.tags, run.data.metrics, compare.folds_of(metric)
    return Candidate(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        name=run.info.run_name,
        commit=tags.get(COMMIT),
        dirty=DIRTY in tags,
        value=metrics[metric],
        parameters=chosen(run),
        metrics=metrics,
        folds=store.series(run.info.run_id, folds) if folds in metrics else (),
        pairs=tags.get(f"{PAIRS}.{folds}"),
    )


def chosen(run: Run) -> dict[str, str]:
    """What people chose: the step's own parameters and what it read, not what autologging adds."""
    known = earlier(run).summaries.get("commit", {})
    own = known.get("parameters", {})
    given = {n: v for n, v in run.data.params.items() if n in own or "*" in own}
    read = {**known.get("data", {}), **known.get("upstream", {})}
    return {**given, **{name: str(digest)[:7] for name, digest in read.items()}}


def page(step: str, metric: str, lowest: bool, candidates: list[Candidate], uri: str) -> str:
    """The HTML page of the comparison."""
    best = candidates[0]
    leads = [None, *(compare.difference(best, c, lowest) for c in candidates[1:])]
    return render(
        "compare.html",
        step=step,
        metric=metric,
        lowest_is_best=lowest,
        rows=list(zip(candidates, leads, strict=True)),
        links=[run_page(c.experiment_id, c.run_id) for c in candidates],
        parameters=compare.differing(candidates),
        metrics=compare.shared_metrics(candidates, metric),
        server=uri if uri.startswith("http") else None,
    )
