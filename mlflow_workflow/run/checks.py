"""What a request would fail of once it has started, told before it does."""

from pathlib import Path

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.checks.contract import unfit
from mlflow_workflow.checks.loading import broken
from mlflow_workflow.checks.script import look
from mlflow_workflow.project.request import Request


def check_request(project: Path, request: Request) -> None:
    """Raises WorkflowError with a sentence for all that would end a step as soon as it starts."""
    steps = {node.step.name: node.step for node in request.nodes if not node.pin}.values()
    sources = look(project)
    found = [
        line
        for step in steps
        for line in broken(sources, request.workflow, step) or unfit(sources, step)
    ]
    if found:
        raise WorkflowError("\n".join(dict.fromkeys(found)))
