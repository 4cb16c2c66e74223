"""Trains with autolog, which logs the model and infers what it requires."""

import sys
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.linear_model import RidgeClassifier

mlflow.sklearn.autolog()
with mlflow.start_run():
    frame = pd.read_csv(Path(sys.argv[1], "train.csv"))
    RidgeClassifier(random_state=0).fit(frame[["Pclass", "SibSp", "Parch"]], frame["Survived"])
