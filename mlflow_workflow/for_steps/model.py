"""A fitted model as a folder in MLflow's model format, without pickles and always the same bytes."""

from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.entities import LoggedModelOutput
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from mlflow_workflow.for_steps import skops_file

DATA = "model.skops"
TEXT = DataType.string.name
NO_TIME = "not recorded, so that the same model is the same bytes"
PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
"""What loading a model takes; stated here because to infer it takes MLflow five seconds."""


def save_model(
    model: Any, folder: Path, features: pd.DataFrame | None = None, trusted: Collection[str] = ()
) -> None:
    """Write a fitted model of scikit-learn; the folder must not be there yet.

    `features` are what it was fitted on: MLflow then knows its columns, and so does `columns_of`.
    `trusted` names the types of the model that are not scikit-learn's own.

    Raises ClickException: a type is neither scikit-learn's own nor trusted, or cannot be stored.
    """
    content = skops_file.dumped(model)
    described = None if features is None else signature(model, features)
    mlflow_model = Model(signature=described, model_uuid=None)
    mlflow.sklearn.save_model(
        model,
        folder,
        mlflow_model=mlflow_model,
        serialization_format="skops",
        skops_trusted_types=skops_file.trusted_types(content, trusted),
        pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
    )
    (folder / DATA).write_bytes(content)
    describe(mlflow_model, folder)


def signature(model: Any, features: pd.DataFrame) -> ModelSignature:
    """Describe what a model takes and gives.

    MLflow then checks what a served model is sent: a `long` may not be missing, a `double` may.
    """
    inputs: list[ColSpec | TensorSpec] = [ColSpec(kind(features[n]), n) for n in features.columns]
    if not hasattr(model, "predict"):
        return ModelSignature(inputs=Schema(inputs))
    given = np.asarray(model.predict(features.head(1)))
    one = given.ndim == 1
    outputs = ColSpec(kind(pd.Series(given))) if one else TensorSpec(given.dtype, (-1, *given.shape[1:]))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([outputs]))


def kind(column: "pd.Series[Any]") -> DataType:
    """Name a column's type as MLflow does."""
    if pd.api.types.is_bool_dtype(column):
        return DataType.boolean
    if pd.api.types.is_signed_integer_dtype(column):
        return DataType.long
    return DataType.double if pd.api.types.is_numeric_dtype(column) else DataType.string


def describe(mlflow_model: Model, folder: Path) -> None:
    """Write MLmodel again, without the time, and with the size of the file as it now is."""
    mlflow_model.utc_time_created = NO_TIME
    mlflow_model.model_size_bytes = (folder / DATA).stat().st_size
    mlflow_model.save(folder / "MLmodel")


def load_model(folder: Path, trusted: Collection[str] = ()) -> Any:
    """Give a model that `save_model` wrote.

    Raises ClickException: no such model, or one whose loading could run code that came with it.
    """
    flavors = read_description(folder).flavors
    form = flavors.get("sklearn", {}).get("serialization_format", "pickle")
    if form != "skops":
        raise click.ClickException(
            f"{folder} is stored as {form}, which may run any code when loaded: train it again"
        )
    return skops_file.load(folder / DATA, trusted)


def columns_of(folder: Path) -> dict[str, bool]:
    """Name the columns that a saved model takes, and of each whether it holds numbers.

    Raises ClickException: no such model, or one that does not say.
    """
    described = read_description(folder).signature
    if described is None:
        raise click.ClickException(
            f"{folder} does not say which columns it takes: give save_model the features"
        )
    return {column["name"]: column["type"] != TEXT for column in described.inputs.to_dict()}


def read_description(folder: Path) -> Model:
    """Give what MLmodel says. Raises ClickException if it is not there."""
    if not (folder / "MLmodel").is_file():
        raise click.ClickException(f"there is no model {folder.name} in {folder.parent}")
    return Model.load(folder)


def log_model(model: Any, folder: Path, metrics: Mapping[str, float]) -> None:
    """Show a saved model among MLflow's models, linked with the run and its metrics."""
    client = mlflow.MlflowClient()
    chosen = {key: str(value) for key, value in model.get_params().items()}
    logged = mlflow.initialize_logged_model(type(model).__name__, params=chosen)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    if run := mlflow.active_run():
        client.log_outputs(run.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    mlflow.log_metrics(dict(metrics), model_id=logged.model_id)
