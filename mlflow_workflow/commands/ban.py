"""`mlflow-workflow ban RUN --why …`"""

import click

from mlflow_workflow.commands.refusal import told


@click.command()
@click.argument("run_id")
@click.option("--why", required=True, help="Shown wherever the run would have been reused.")
@told
def ban(run_id: str, why: str) -> None:
    """Never reuse this run again."""
    from mlflow_workflow.server import bans

    click.echo(f"run {bans.ban(run_id, why)} is banned: {why}")
