"""Trains with scikit-learn alone, in a plain MLflow run: train.py <kept>."""

import sys
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

with mlflow.start_run():
    frame = pd.read_csv(Path(sys.argv[1], "train.csv"))
    features = frame.drop(columns=["PassengerId", "Survived"])
    columns = ColumnTransformer([("numbers", SimpleImputer(strategy="median"), list(features))])
    model = make_pipeline(columns, RidgeClassifier(random_state=0))
    split = StratifiedKFold(5, shuffle=True, random_state=0)
    scores = cross_val_score(model, features, frame["Survived"], cv=split, scoring="accuracy")
    mlflow.log_metric("cv_accuracy_mean", scores.mean())
    model.fit(features, frame["Survived"])
