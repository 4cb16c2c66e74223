"""What every MLflow Project's main does at least: open its run."""

import mlflow

with mlflow.start_run():
    pass
