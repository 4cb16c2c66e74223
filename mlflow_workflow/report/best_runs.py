"""The best runs of a step side by side, fetched by a bounded number of queries."""

import os
from collections.abc import Sequence
from pathlib import Path

import click
import mlflow
from mlflow.entities import Run

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.mlproject import open_workflow
from mlflow_workflow.report.highlights import FOLD
from mlflow_workflow.report.lead import Folds, Lead, lead
from mlflow_workflow.report.links import run_page
from mlflow_workflow.report.page import render
from mlflow_workflow.report.table import Cell, Table, as_text, run_cell, state_cell
from mlflow_workflow.report.terminal import say, width
from mlflow_workflow.server.earlier import earlier
from mlflow_workflow.server.lookup import find_best, find_recent
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import COMMIT, DIRTY
from mlflow_workflow.server.tracking import experiment_ids


def usual_metric(project: Path) -> str:
    """The metric that ranks sweeps by default. Raises WorkflowError if no MLproject here tells."""
    default = open_workflow(project).main.parameters["metric"].default
    if not default:
        raise WorkflowError(
            f"main in {project / 'MLproject'} gives no default metric: name one with --metric"
        )
    return default


def show(step: str, top: int, metric: str, experiment: str | None, html: Path | None) -> Path:
    """Prints the table and writes the page; returns where.

    Raises:
        WorkflowError: no such experiment, or no run with this metric.
    """
    store = open_store(experiment)
    name, lowest = metric.removeprefix("-"), metric.startswith("-")
    runs = find_best(store, step, name, lowest, top)
    if not runs:
        known = {name for run in find_recent(store, step) for name in run.metrics}
        there = suggestion(name, known) if known else "; no run of this step is stored there"
        raise WorkflowError(f"no run of step {step!r} with a metric {name!r} in {store.uri}{there}")
    folds = [folds_of(store, run, f"{name.removesuffix('_mean')}{FOLD}") for run in runs]
    found = comparison(runs, [lead(folds[0], other, lowest) for other in folds], name)
    click.echo(as_text(found, width()))
    file = html or Path(f"compare-{step}.html")
    page = render(
        "compare.html",
        title=f"The best {len(runs)} runs of {step}",
        order=f"by {name}, {'lowest' if lowest else 'highest'} first",
        runs=found,
        metrics=all_metrics(runs, name),
        server=store.uri if store.uri.startswith("http") else None,
    )
    file.write_text(page, encoding="utf-8")
    return file


def open_store(experiment: str | None) -> Store:
    """The tracking server, looking in one experiment."""
    client, uri = mlflow.MlflowClient(), without_credentials(mlflow.get_tracking_uri())
    patience = Patience(uri, say)
    ids = experiment_ids(client, patience, [experiment] if experiment else [])
    found = ids[0] if ids else os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
    return Store(client, uri, found, (found,), patience)


def folds_of(store: Store, run: Run, metric: str) -> Folds:
    """A run's values fold by fold; they take one more query, if it has any."""
    values = store.series(run.info.run_id, metric) if metric in run.data.metrics else ()
    return Folds(values, run.data.tags.get(f"pairs.{metric}"))


def comparison(runs: Sequence[Run], leads: Sequence[Lead | None], metric: str) -> Table:
    """A row for every run, best first: what differs, and how far it is behind."""
    parameters = [chosen(run) for run in runs]
    names = [
        n
        for n in dict.fromkeys(n for p in parameters for n in p)
        if len({p.get(n) for p in parameters}) > 1
    ]
    rows = [
        [
            run_cell(run.info.run_id, run_page(run.info.experiment_id, run.info.run_id)),
            Cell(f"{run.data.metrics[metric]:.4f}", "number"),
            *(Cell(mine.get(name, ""), "code") for name in names),
            Cell(f"{run.data.tags.get(COMMIT, '-')[:7]}{' dirty' * (DIRTY in run.data.tags)}", "code"),
            state_cell("done", "the best") if run is runs[0] else verdict_cell(found),
        ]
        for run, mine, found in zip(runs, parameters, leads, strict=True)
    ]
    return Table(("run", metric, *names, "commit", "behind the best (95 %)"), rows)


def chosen(run: Run) -> dict[str, str]:
    """What people chose: the step's own parameters and what it read, not what autologging adds."""
    known = earlier(run).summaries.get("commit", {})
    own = known.get("parameters", {})
    given = {n: v for n, v in run.data.params.items() if n in own or "*" in own}
    read = {**known.get("data", {}), **known.get("upstream", {})}
    return {**given, **{name: str(digest)[:7] for name, digest in read.items()}}


def verdict_cell(found: Lead | None) -> Cell:
    """`0.0112 [0.0021, 0.0203] really worse`."""
    if found is None:
        return Cell("no folds to compare")
    return state_cell("failed" if found.low > 0 else "skipped", str(found))


def all_metrics(runs: Sequence[Run], first: str) -> Table:
    """The metric asked for, then the others that some run has."""
    others = {n for run in runs for n in run.data.metrics if n != first and not n.endswith(FOLD)}
    rows = [
        [
            Cell(n),
            *(Cell(f"{r.data.metrics[n]:.4g}" if n in r.data.metrics else "", "number") for r in runs),
        ]
        for n in [first, *sorted(others)]
    ]
    return Table(("metric", *(run.info.run_id[:8] for run in runs)), rows)
