"""The passengers in input/ are those of the source, each once, as Kaggle would write them."""

import csv
import gzip
import hashlib
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

INPUT = Path(__file__).parent.parent.parent / "input"
FILES = ("train.csv", "test.csv", "gender_submission.csv", "test_survived.csv")


@pytest.fixture(scope="module")
def make() -> dict[str, Any]:
    # Run, not imported: an import would leave a __pycache__ among the data.
    return runpy.run_path(str(INPUT / "make.py"))


@pytest.fixture(scope="module")
def source(make: dict[str, Any]) -> list[dict[str, str]]:
    """Read the source a second way: below @data it happens to be plain CSV."""
    header, data = gzip.decompress(make["SOURCE"].read_bytes()).decode().split("@data\n")
    columns = [line.split("'")[1] for line in header.splitlines() if line.startswith("@attr")]
    return [
        {c: "" if v == "?" else v for c, v in zip(columns, row, strict=True)}
        for row in csv.reader(data.splitlines())
    ]


def read(name: str, folder: Path = INPUT) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everyone() -> list[dict[str, str]]:
    """All passengers, those of test.csv joined with their outcome."""
    outcome = {row["PassengerId"]: row for row in read("test_survived.csv")}
    return read("train.csv") + [row | outcome[row["PassengerId"]] for row in read("test.csv")]


def test_the_source_is_the_file_that_openml_describes(make: dict[str, Any]) -> None:
    content = gzip.decompress(make["SOURCE"].read_bytes())
    stated = "60ac7205eee0ba5045c90b3bba95b1c4"
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == stated
    assert stated in (INPUT / "README.md").read_text(encoding="utf-8")


def test_make_gives_the_committed_bytes(make: dict[str, Any], tmp_path: Path) -> None:
    make["write"](tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (INPUT / name).read_bytes(), name


@pytest.mark.slow
def test_the_script_writes_beside_itself_and_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    script = tmp_path / "data" / "make.py"
    script.write_bytes((INPUT / "make.py").read_bytes())
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True)
    for name in FILES:
        assert (tmp_path / "data" / name).read_bytes() == (INPUT / name).read_bytes(), name


@pytest.mark.parametrize("name", FILES)
def test_lines_end_with_a_line_feed_only(name: str) -> None:
    content = (INPUT / name).read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n")


@pytest.mark.parametrize(
    ("name", "rows"), [("train.csv", 891), ("test.csv", 418), ("test_survived.csv", 418)]
)
def test_the_counts_are_those_of_kaggle(name: str, rows: int) -> None:
    assert len(read(name)) == rows


def test_the_columns_are_those_of_kaggle() -> None:
    columns = "PassengerId Survived Pclass Name Sex Age SibSp Parch Ticket Fare Cabin Embarked"
    assert list(read("train.csv")[0]) == columns.split()
    assert list(read("test.csv")[0]) == [c for c in columns.split() if c != "Survived"]
    assert list(read("gender_submission.csv")[0]) == ["PassengerId", "Survived"]
    assert list(read("test_survived.csv")[0]) == ["PassengerId", "Survived"]


def test_passengers_are_numbered_as_kaggle_does() -> None:
    assert [row["PassengerId"] for row in everyone()] == [str(n) for n in range(1, 1310)]


def test_every_passenger_of_the_source_occurs_once_with_its_values(
    source: list[dict[str, str]],
) -> None:
    columns = [column for column in read("train.csv")[0] if column != "PassengerId"]
    ours = Counter(tuple(row[column] for column in columns) for row in everyone())
    assert ours == Counter(tuple(row[column.lower()] for column in columns) for row in source)


def test_names_keep_their_quotes_and_apostrophes() -> None:
    names = {row["Name"] for row in everyone()}
    assert "O'Brien, Mrs. Thomas (Johanna 'Hannah' Godfrey)" in names
    assert "Barber, Miss. Ellen 'Nellie'" in names


def test_numbers_are_written_as_kaggle_writes_them() -> None:
    rows = {row["Name"]: row for row in everyone()}
    assert rows["Allen, Miss. Elisabeth Walton"]["Age"] == "29"
    assert rows["Allen, Miss. Elisabeth Walton"]["Fare"] == "211.3375"
    assert rows["Allen, Miss. Elisabeth Walton"]["Ticket"] == "24160"
    assert rows["Allison, Master. Hudson Trevor"]["Age"] == "0.9167"
    assert rows["Baumann, Mr. John D"]["Age"] == ""
    assert rows["Baumann, Mr. John D"]["Cabin"] == ""


def test_no_value_is_a_question_mark() -> None:
    assert not [row for row in everyone() if "?" in row.values()]


def test_the_guess_lets_every_woman_survive_and_no_man() -> None:
    women = {row["PassengerId"] for row in read("test.csv") if row["Sex"] == "female"}
    for row in read("gender_submission.csv"):
        assert row["Survived"] == str(int(row["PassengerId"] in women))


def test_both_halves_hold_survivors_in_like_proportion() -> None:
    shares = [
        sum(row["Survived"] == "1" for row in rows) / len(rows)
        for rows in (read("train.csv"), read("test_survived.csv"))
    ]
    assert abs(shares[0] - shares[1]) < 0.05
