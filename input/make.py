"""Make the CSV files in this folder from the Titanic data set that scikit-learn carries.

Usage: python input/make.py
"""

import csv
import gzip
import hashlib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from sklearn.externals import _arff

SOURCE = files("sklearn.datasets.tests.data.openml") / "id_40945" / "data-v1-dl-16826755.arff.gz"
FOLDER = Path(__file__).parent
TRAINED = 891  # Kaggle's split: 891 passengers to train on, the other 418 to predict
COLUMNS = (
    *("PassengerId", "Survived", "Pclass", "Name", "Sex", "Age"),
    *("SibSp", "Parch", "Ticket", "Fare", "Cabin", "Embarked"),
)

Row = dict[str, str]


def source_rows() -> list[dict[str, Any]]:
    """Give the 1,309 people of the source, in its order, under its lower-case column names."""
    content = _arff.loads(gzip.decompress(SOURCE.read_bytes()).decode())
    names = [name for name, _ in content["attributes"]]
    return [dict(zip(names, row, strict=True)) for row in content["data"]]


def text(value: str | float | None) -> str:
    """Write a value as Kaggle does: nothing for a missing one, whole numbers without a point."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def shuffled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the rows into an order that no library's random generator decides."""
    # The source is sorted by class and survival, so a split of it unshuffled would be useless.
    numbers = sorted(range(len(rows)), key=lambda n: hashlib.sha256(str(n).encode()).digest())
    return [rows[number] for number in numbers]


def passenger(number: int, person: dict[str, Any]) -> Row:
    """Name a person's columns as Kaggle does, and number the passenger."""
    values = {column: text(person.get(column.lower())) for column in COLUMNS}
    return {**values, "PassengerId": str(number)}


def without(rows: Iterable[Row], column: str) -> list[Row]:
    """Leave one column out."""
    return [{name: row[name] for name in row if name != column} for row in rows]


def labels(rows: Iterable[Row]) -> list[Row]:
    """Keep what became of each passenger, and no more."""
    return [{name: row[name] for name in ("PassengerId", "Survived")} for row in rows]


def guess(row: Row) -> Row:
    """Let every woman survive and no man."""
    return {**row, "Survived": str(int(row["Sex"] == "female"))}


def tables() -> dict[str, list[Row]]:
    """Give the rows of every file, by file name."""
    people = enumerate(shuffled(source_rows()), start=1)
    rows = [passenger(number, person) for number, person in people]
    train, test = rows[:TRAINED], rows[TRAINED:]
    return {
        "train.csv": train,
        "test.csv": without(test, "Survived"),
        "gender_submission.csv": labels(guess(row) for row in test),
        "test_survived.csv": labels(test),
    }


def write(folder: Path) -> None:
    """Write the four files, with line feeds on every system."""
    for name, rows in tables().items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    write(FOLDER)
