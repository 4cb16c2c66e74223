"""Train a classifier and estimate how well it does.

Reads rows.csv in the outputs of gather

Writes model
"""

from pathlib import Path

import click
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlflow_workflow.for_steps import estimator, tables
from mlflow_workflow.for_steps.model import log_model, save_model
from mlflow_workflow.for_steps.scores import log_folds
from mlflow_workflow.step import step


@click.command(help=__doc__)
@click.option("--gather", required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True)
@click.option("--seed", required=True, type=int)
def main(gather: Path, model: str, seed: int) -> None:
    chosen = estimator.unfitted(model, {}, seed)
    with step() as outputs:
        table = tables.read(gather / "rows.csv", key="id")
        frame = tables.typed(table.drop_columns(["id"])).to_pandas()
        features, label = frame.drop(columns="label"), frame["label"]
        columns = make_column_transformer(
            (SimpleImputer(), ["size", "weight"]), (OneHotEncoder(handle_unknown="ignore"), ["kind"])
        )
        pipeline = make_pipeline(columns, chosen)
        scores = cross_val_score(pipeline, features, label, cv=3)
        save_model(pipeline.fit(features, label), outputs / "model", features)
        metrics = log_folds("cv_accuracy", scores.tolist(), tables.digest_of(table))
        log_model(chosen, outputs / "model", metrics)


if __name__ == "__main__":
    main()
