"""Predicts with pandas and scikit-learn alone, in a plain MLflow run: predict.py <kept> <trained>."""

import sys
import tempfile
from pathlib import Path

import mlflow
import pandas as pd

with mlflow.start_run(), tempfile.TemporaryDirectory() as folder:
    model = mlflow.sklearn.load_model(str(Path(sys.argv[2], "model")))
    frame = pd.read_csv(Path(sys.argv[1], "test.csv"))
    frame["Survived"] = model.predict(frame.drop(columns="PassengerId"))
    result = Path(folder, "test_prediction.csv")
    frame[["PassengerId", "Survived"]].to_csv(result, index=False)
    mlflow.log_artifacts(folder, "predict")
