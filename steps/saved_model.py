"""A fitted pipeline as a folder in MLflow's model format, without pickles and always the same."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import mlflow.sklearn
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from steps import skops_file

DATA = "model.skops"
TEXT = DataType.string.name
NO_TIME = "not recorded, so that the same model is the same bytes"
PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "skops")
"""What loading a model takes; stated here because to infer it takes MLflow five seconds."""


def signature(features: pd.DataFrame) -> ModelSignature:
    """Describe what a model takes and gives.

    MLflow then checks what a served model is sent: a `long` may not be missing, a `double` may.
    """
    inputs: list[ColSpec | TensorSpec] = [ColSpec(kind(features[n]), n) for n in features.columns]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.long)]))


def kind(column: "pd.Series[Any]") -> DataType:
    """Name a column's type as MLflow does."""
    if pd.api.types.is_signed_integer_dtype(column):
        return DataType.long
    return DataType.double if pd.api.types.is_numeric_dtype(column) else DataType.string


def save(pipeline: Any, features: pd.DataFrame, folder: Path) -> None:
    """Write a pipeline that was fitted on these features; the folder must not be there yet.

    Raises ClickException: the pipeline has parts that are not scikit-learn's own.
    """
    content = skops_file.dumped(pipeline)
    mlflow_model = Model(signature=signature(features), model_uuid=None)
    mlflow.sklearn.save_model(
        pipeline,
        folder,
        mlflow_model=mlflow_model,
        serialization_format="skops",
        skops_trusted_types=skops_file.trusted_types(content),
        pip_requirements=[f"{package}=={version(package)}" for package in PACKAGES],
    )
    (folder / DATA).write_bytes(content)
    describe(mlflow_model, folder)


def describe(mlflow_model: Model, folder: Path) -> None:
    """Write MLmodel again, without the time, and with the size of the file as it now is."""
    mlflow_model.utc_time_created = NO_TIME
    mlflow_model.model_size_bytes = (folder / DATA).stat().st_size
    mlflow_model.save(folder / "MLmodel")


def load(folder: Path) -> tuple[Any, dict[str, bool]]:
    """Give a pipeline that `save` wrote, and of each column that it takes whether it is of numbers.

    Raises ClickException: no such model, or one whose loading could run code that came with it.
    """
    mlflow_model = read_description(folder)
    form = mlflow_model.flavors.get("sklearn", {}).get("serialization_format", "pickle")
    if form != "skops":
        raise click.ClickException(
            f"{folder} is stored as {form}, which may run any code when loaded: train it again"
        )
    taken = mlflow_model.signature.inputs.to_dict()
    numeric = {column["name"]: column["type"] != TEXT for column in taken}
    return skops_file.load(folder / DATA), numeric


def read_description(folder: Path) -> Model:
    """Give what MLmodel says. Raises ClickException if it is not there or names no columns."""
    if not (folder / "MLmodel").is_file():
        raise click.ClickException(f"there is no model in {folder.parent}: train leaves one there")
    mlflow_model = Model.load(folder)
    if mlflow_model.signature is None:
        raise click.ClickException(f"{folder} does not say which columns it takes: train it again")
    return mlflow_model
