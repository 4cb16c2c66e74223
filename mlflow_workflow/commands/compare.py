"""`mlflow-workflow compare STEP`"""

from pathlib import Path

import click

from mlflow_workflow.commands.refusal import told


@click.command()
@click.argument("step")
@click.option("--top", default=10, show_default=True, type=click.IntRange(2, 100))
@click.option("--metric", help="-name: lowest is best. Default: that of main in MLproject.")
@click.option("--experiment", envvar="MLFLOW_EXPERIMENT_NAME", help="Default: MLflow's own.")
@click.option("--html", type=click.Path(path_type=Path), help="Default: compare-STEP.html")
@told
def compare(step: str, top: int, metric: str | None, experiment: str | None, html: Path | None) -> None:
    """Show the best runs of a step: what differs, and whether the lead is more than noise."""
    from mlflow_workflow.report import best_runs

    metric = metric or best_runs.usual_metric(Path.cwd())
    file = best_runs.show(step, top, metric, experiment, html)
    click.echo(f"\npage:    {file}")
