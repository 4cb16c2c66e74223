"""What can be known to be wrong with a project before anything of it runs."""

from pathlib import Path

from mlflow_workflow.identity.project_state import refuse_missing_module
from mlflow_workflow.project.request import Request


def check_request(project: Path, request: Request) -> None:
    """Raises WorkflowError for what would fail once a step is started."""
    executed = [node.step for node in request.nodes if not node.pin]
    for step in {step.name: step for step in executed}.values():
        refuse_missing_module(project, step)
