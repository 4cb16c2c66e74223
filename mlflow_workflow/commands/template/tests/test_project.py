"""What every project wants to know; `mlflow-workflow check` says the same."""

from pathlib import Path

from mlflow_workflow.checks.contract import mistakes


def test_the_steps_are_what_mlproject_says() -> None:
    found = mistakes(Path(__file__).parent.parent)
    assert not found, "\n".join(found)
