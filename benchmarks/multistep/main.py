"""Runs the three steps one after the other, each through mlflow.run, as the example does."""

import os

import mlflow

with mlflow.start_run():
    here = os.environ["INPUT"]
    prepared = mlflow.run(".", "preprocess", parameters={"input": here}, env_manager="local")
    folder = f"runs:/{prepared.run_id}/preprocess"
    trained = mlflow.run(".", "train", parameters={"preprocess": folder}, env_manager="local")
    model = mlflow.get_run(trained.run_id).outputs.model_outputs[0].model_id
    values = {"preprocess": folder, "model": f"models:/{model}"}
    mlflow.run(".", "predict", parameters=values, env_manager="local")
