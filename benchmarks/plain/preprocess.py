"""Keeps columns by pyarrow alone, in a plain MLflow run: preprocess.py <input> <kept> <features>."""

import sys
from pathlib import Path

import mlflow
import pyarrow as pa
from pyarrow import csv

source, target = map(Path, sys.argv[1:3])
target.mkdir(exist_ok=True)
with mlflow.start_run():
    for name, others in (("train.csv", ["PassengerId", "Survived"]), ("test.csv", ["PassengerId"])):
        names = [*others, *sys.argv[3].split(",")]
        text = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, pa.string()))
        reader = csv.open_csv(source / name, convert_options=text)
        header = csv.WriteOptions(quoting_style="none")
        with csv.CSVWriter(target / name, reader.schema, write_options=header) as writer:
            for batch in reader:
                writer.write_batch(batch)
    mlflow.log_artifacts(str(target), "preprocess")
