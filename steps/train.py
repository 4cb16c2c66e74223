"""Train a classifier of scikit-learn and estimate by cross validation how well it does.

Reads train.csv in the outputs of preprocess

Writes model: the fitted pipeline in MLflow's model format
"""

# First of all: while it is imported it looks through all modules there are.
import skops.io  # noqa: F401

# isort: split
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import mlflow
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from mlflow_workflow.for_steps import datasets, estimator, tables
from mlflow_workflow.for_steps.model import log_model, save_model
from mlflow_workflow.for_steps.scores import log_folds
from mlflow_workflow.step import step
from mlflow_workflow.step_command import StepCommand
from steps import passengers
from steps.passengers import FOLDER, KEY, TARGET


def pipeline(features: pd.DataFrame, model: Any) -> Pipeline:
    """Put before a classifier what makes numbers of these features, missing values included.

    Numbers stay as they are, with the median for missing ones; text becomes one column for each
    value that occurs, where missing is a value too, and one that never occurred is none of them.
    """
    numbers = [str(name) for name in features.select_dtypes("number").columns]
    texts = [name for name in features.columns if name not in numbers]
    parts = [
        ("numbers", SimpleImputer(strategy="median", keep_empty_features=True), numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
    ]
    columns = ColumnTransformer([part for part in parts if part[2]])
    return Pipeline([("columns", columns), ("classifier", model)])


def cross_validated(
    unfitted: Pipeline, features: pd.DataFrame, target: "pd.Series[int]", folds: int, seed: int
) -> list[float]:
    """Give for each fold the accuracy on its passengers, who were held back from the training."""
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_score(
        unfitted, features, target, cv=split, scoring="accuracy", error_score="raise"
    )
    return [float(score) for score in scores]


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn scikit-learn's refusal of parameters or data into one sentence."""
    try:
        yield
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise click.ClickException(f"{name} cannot be trained like this: {reason}") from error


def log_training(fitted: Pipeline, features: pd.DataFrame, target: "pd.Series[int]") -> None:
    """Log what the classifier was, and its accuracy on what it has seen.

    autolog would: with metrics and plots that take five times as long as the training.
    """
    chosen = fitted["classifier"].get_params()
    mlflow.log_params({f"classifier__{name}": value for name, value in chosen.items()})
    mlflow.log_metric("training_accuracy_score", float(fitted.score(features, target)))


@click.command(cls=StepCommand, help=__doc__)
@click.option("--preprocess", required=True, type=FOLDER)
@click.option("--model", required=True)
@click.option("--model_params", required=True, type=estimator.YamlMapping())
@click.option("--seed", required=True, type=click.IntRange(0, 2**32 - 1))
@click.option("--folds", required=True, type=click.IntRange(min=2))
def main(preprocess: Path, model: str, model_params: dict[str, Any], seed: int, folds: int) -> None:
    """Run the step."""
    chosen = estimator.unfitted(model, model_params, seed)
    with step() as outputs:
        file = preprocess / "train.csv"
        table = tables.read(file, key=KEY)
        datasets.log_read(file, len(table), "preprocess")
        features, target = passengers.features(table, file), passengers.target(table, file)
        untrained = pipeline(features, chosen)
        with explained(model):
            scores = cross_validated(untrained, features, target, folds, seed)
            untrained.fit(features, target)
        log_training(untrained, features, target)
        people = tables.digest_of(table.select([KEY, TARGET]))
        metrics = log_folds("cv_accuracy", scores, f"{folds} {seed} {people}")
        save_model(untrained, outputs / "model", features)
        log_model(chosen, outputs / "model", metrics)


if __name__ == "__main__":
    main()
