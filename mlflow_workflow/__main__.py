"""The command line for people: `mlflow-workflow`, or in a clone `python -m mlflow_workflow`."""

import sys

import click

from mlflow_workflow import __version__
from mlflow_workflow.commands.ban import ban
from mlflow_workflow.commands.check import check
from mlflow_workflow.commands.compare import compare
from mlflow_workflow.commands.new import new
from mlflow_workflow.commands.steps import steps
from mlflow_workflow.commands.unban import unban
from mlflow_workflow.commands.upgrade import upgrade

NAME = "mlflow-workflow"


@click.group(NAME, help="What people do beside running a workflow.")
@click.version_option(__version__, prog_name=NAME)
def cli() -> None:
    """The commands below."""


for command in (new, steps, check, compare, ban, unban, upgrade):
    cli.add_command(command)


if __name__ == "__main__":
    sys.exit(cli(prog_name=NAME))
