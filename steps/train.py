"""Train a classifier of scikit-learn and estimate by cross validation how well it does.

Reads train.csv in the outputs of preprocess

Writes model: the fitted pipeline in MLflow's model format
"""

# While skops is imported it looks through all modules there are: first of all, that takes half as long.
import skops.io  # noqa: F401

# isort: split
import hashlib
import inspect
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModelOutput, Metric, RunTag
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import all_estimators

from mlflow_workflow.basics import yaml_text
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.step import step
from steps import passengers, saved_model

LONGEST = 10_000  # characters; no classifier has parameters that need as many


def classifier(name: str, given: Mapping[str, Any], seed: int) -> Any:
    """Make an unfitted classifier. The seed counts where it takes one and none was given.

    Raises UsageError: no such classifier, no such parameter, or one missing that it needs.
    """
    kinds = dict(all_estimators(type_filter="classifier"))
    if name not in kinds:
        near = suggestion(name, kinds)
        raise click.UsageError(f"--model {name!r} is no classifier of scikit-learn{near}")
    known = inspect.signature(kinds[name]).parameters
    check_parameters(name, given, known)
    seeded = {"random_state": seed} if "random_state" in known else {}
    return kinds[name](**{**seeded, **given})


def check_parameters(
    name: str, given: Mapping[str, Any], known: Mapping[str, inspect.Parameter]
) -> None:
    """Raise UsageError for a parameter that the classifier does not know, or needs and lacks."""
    for parameter in given:
        if parameter not in known:
            near = suggestion(str(parameter), known)
            raise click.UsageError(f"--model_params: {name} has no parameter {parameter!r}{near}")
    needed = [key for key, value in known.items() if value.default is value.empty]
    for parameter in needed:
        if parameter not in given:
            raise click.UsageError(f"--model_params: {name} needs a value for {parameter!r}")


def parameters(text: str) -> dict[str, Any]:
    """Read the parameters of a classifier. Raises UsageError if the text is not a YAML mapping."""
    if len(text) > LONGEST:
        raise click.UsageError(f"--model_params is longer than {LONGEST} characters")
    try:
        found = yaml_text.load(text, "--model_params")
    except WorkflowError as error:
        raise click.UsageError(str(error)) from None
    if not isinstance(found, dict | None):
        raise click.UsageError(f"--model_params must be a mapping such as {{alpha: 0.5}}, not {text}")
    return {name: number(value) for name, value in (found or {}).items()}


def number(value: Any) -> Any:
    """Read 1e-3 as the number it is; YAML wants 1.0e-3 and takes anything else for text."""
    written = isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value, re.IGNORECASE)
    return float(value) if written else value


def pipeline(features: pd.DataFrame, model: Any) -> Pipeline:
    """Put before a classifier what makes numbers of these features, missing values included.

    Numbers stay as they are, with the median for missing ones; text becomes one column for each
    value that occurs, where missing is a value too, and one that never occurred is none of them.
    """
    numbers = passengers.number_names(features)
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


def summarized(scores: list[float]) -> dict[str, float]:
    """Give mean and standard deviation over the folds."""
    return {"cv_accuracy_mean": float(np.mean(scores)), "cv_accuracy_std": float(np.std(scores))}


def log_folds(scores: list[float], table: pd.DataFrame, folds: int, seed: int) -> None:
    """Log each fold's accuracy, and which folds these are: runs of the same folds compare in pairs."""
    people = table[[passengers.KEY, passengers.TARGET]].to_csv(index=False)
    same = hashlib.sha256(f"{folds} {seed}\n{people}".encode()).hexdigest()[:16]
    now = int(time.time() * 1000)
    values = [Metric("cv_accuracy_fold", score, now, fold) for fold, score in enumerate(scores)]
    if run := mlflow.active_run():
        tags = [RunTag("pairs.cv_accuracy_fold", same)]
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=values, tags=tags)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn scikit-learn's refusal of parameters or data into one sentence."""
    try:
        yield
    except ValueError as error:
        reason = str(error).strip().splitlines()[0]
        raise click.ClickException(f"{name} cannot be trained like this: {reason}") from error


def fit(unfitted: Pipeline, features: pd.DataFrame, target: "pd.Series[int]") -> None:
    """Fit the pipeline; MLflow logs its parameters, and metrics and plots of the training."""
    # The model and the data sets are logged by this step itself, in a tenth of the time.
    mlflow.sklearn.autolog(log_models=False, log_datasets=False, log_post_training_metrics=False)
    with warnings.catch_warnings():
        # MLflow 3.17 calls a metric of scikit-learn 1.9 by an argument's old name.
        warnings.filterwarnings("ignore", "`y_pred` was renamed", FutureWarning)
        unfitted.fit(features, target)
    mlflow.sklearn.autolog(disable=True)


def log_model(folder: Path, model: Any, metrics: Mapping[str, float]) -> None:
    """Show a saved model among MLflow's models, linked with the run and its metrics."""
    client = mlflow.MlflowClient()
    chosen = {key: str(value) for key, value in model.get_params().items()}
    logged = mlflow.initialize_logged_model(type(model).__name__, params=chosen)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    if run := mlflow.active_run():
        client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    mlflow.log_metrics(dict(metrics), model_id=logged.model_id)


@click.command(help=__doc__)
@click.option("--preprocess", required=True, type=passengers.FOLDER)
@click.option("--model", required=True)
@click.option("--model_params", required=True)
@click.option("--seed", required=True, type=click.IntRange(0, 2**32 - 1))
@click.option("--folds", required=True, type=click.IntRange(min=2))
def main(preprocess: Path, model: str, model_params: str, seed: int, folds: int) -> None:
    """Run the step."""
    chosen = classifier(model, parameters(model_params), seed)
    with step() as outputs:
        file = preprocess / "train.csv"
        table = passengers.read(file)
        passengers.log(table, passengers.origin("preprocess", preprocess), file.name, "read")
        features, target = passengers.features(table, file), passengers.target(table, file)
        untrained = pipeline(features, chosen)
        with explained(model):
            scores = cross_validated(untrained, features, target, folds, seed)
            fit(untrained, features, target)
        log_folds(scores, table, folds, seed)
        saved_model.save(untrained, features, outputs / "model")
        log_model(outputs / "model", chosen, summarized(scores))


if __name__ == "__main__":
    main()
