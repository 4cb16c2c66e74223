"""The workflow's entry point: `mlflow run . -P task=evaluate`, or `python main.py evaluate`."""

from mlflow_workflow.run.command import run_beside

if __name__ == "__main__":
    run_beside(__file__)
