"""`mlflow-workflow unban RUN`"""

import click

from mlflow_workflow.commands.refusal import told


@click.command()
@click.argument("run_id")
@told
def unban(run_id: str) -> None:
    """Let this run be reused again, if its outputs are whole."""
    from mlflow_workflow.server import bans

    click.echo(f"run {bans.unban(run_id)} may be reused again")
