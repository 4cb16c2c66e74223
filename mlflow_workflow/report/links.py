"""Pages of MLflow's UI, relative to the server so that they work wherever it is."""

import shlex

AS_MODEL_TRAINING = "?workflowType=machine_learning"
"""Without it a browser that never saw MLflow opens the UI made for language models."""


def run_page(experiment_id: str | None, run_id: str | None, tab: str = "") -> str:
    """A run's page, or one of its tabs, such as `artifacts/workflow.html`."""
    inner = f"/{tab}" if tab else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{inner}{AS_MODEL_TRAINING}"


def model_page(experiment_id: str | None, model_id: str) -> str:
    """The page of a logged model."""
    return f"#/experiments/{experiment_id}/models/{model_id}{AS_MODEL_TRAINING}"


def look(uri: str, experiment_id: str, run_id: str) -> str:
    """The link of a run in the UI, or the command that opens the UI."""
    if uri.startswith("http"):
        return f"{uri.rstrip('/')}/{run_page(experiment_id, run_id)}"
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
