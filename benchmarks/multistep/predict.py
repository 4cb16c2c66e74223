"""Predicts with the logged model."""

import sys
import tempfile
from pathlib import Path

import mlflow
import pandas as pd

with mlflow.start_run(), tempfile.TemporaryDirectory() as folder:
    frame = pd.read_csv(Path(sys.argv[1], "test.csv"))
    model = mlflow.sklearn.load_model(sys.argv[2])
    frame["Survived"] = model.predict(frame[["Pclass", "SibSp", "Parch"]])
    frame[["PassengerId", "Survived"]].to_csv(Path(folder, "test_prediction.csv"), index=False)
    mlflow.log_artifacts(folder, "predict")
