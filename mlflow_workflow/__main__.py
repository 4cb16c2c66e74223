"""Maintenance: `python -m mlflow_workflow ban <run> --why …`, `unban <run>`, `compare <step>`."""

import sys
from pathlib import Path

import click
from mlflow import MlflowClient, get_tracking_uri, search_runs
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.errors import ServerGone, WorkflowError
from mlflow_workflow.server.tags import BANNED, UNUSABLE

WHOLE = 32
"""Hex digits of a run's id; tables show the first eight, which find it too."""


@click.group(help="Maintenance of the runs that the workflow keeps.")
def cli() -> None:
    """The commands below."""


@cli.command()
@click.argument("run_id")
@click.option("--why", required=True, help="Shown wherever the run would have been reused.")
def ban(run_id: str, why: str) -> None:
    """Never reuse this run again."""
    run = find(run_id)
    MlflowClient().set_tag(run, BANNED, why)
    click.echo(f"run {run} is banned: {why}")


@cli.command()
@click.argument("run_id")
def unban(run_id: str) -> None:
    """Let this run be reused again, if its outputs are whole."""
    run, client = find(run_id), MlflowClient()
    tags = client.get_run(run).data.tags
    for key in {BANNED, UNUSABLE} & set(tags):
        client.delete_tag(run, key)
    click.echo(f"run {run} may be reused again")


@cli.command()
@click.argument("step")
@click.option("--top", default=10, show_default=True, type=click.IntRange(2, 100))
@click.option("--metric", help="-name: lowest is best. Default: that of main in MLproject.")
@click.option("--experiment", envvar="MLFLOW_EXPERIMENT_NAME", help="Default: MLflow's own.")
@click.option("--html", type=click.Path(path_type=Path), help="Default: compare-STEP.html")
def compare(step: str, top: int, metric: str | None, experiment: str | None, html: Path | None) -> None:
    """Show the best runs of a step: what differs, and whether the lead is more than noise."""
    from mlflow_workflow.report import comparison

    try:
        metric = metric or comparison.usual_metric(Path.cwd())
        file = comparison.show(step, top, metric, experiment, html)
    except (WorkflowError, ServerGone) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"\npage:    {file}")


def find(run_id: str) -> str:
    """The whole id of a run. Raises ClickException naming the store if there is no such run."""
    try:
        begins_so = runs_beginning(run_id) if run_id.isalnum() and len(run_id) < WHOLE else [run_id]
        if len(begins_so) != 1:
            raise click.ClickException(f"{len(begins_so) or 'no'} runs begin with {run_id!r}")
        return str(MlflowClient().get_run(begins_so[0]).info.run_id)
    except MlflowException as error:
        where = f"the store {get_tracking_uri()}"
        raise click.ClickException(f"no run {run_id!r} in {where}: {error.message}") from None


def runs_beginning(digits: str) -> list[str]:
    """The ids of all runs of the store that begin with these digits."""
    query = f"attributes.run_id LIKE '{digits}%'"
    found = search_runs(search_all_experiments=True, filter_string=query, output_format="list")
    return [run.info.run_id for run in found if isinstance(run, Run)]


if __name__ == "__main__":
    sys.exit(cli())
