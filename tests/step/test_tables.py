"""CSV tables in pieces: every value as it stands there, keys that are there once, and numbers."""

import random
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_workflow.for_steps import tables

# What a CSV file can hold without a dialect of its own.
cell_text = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=8
)
number_text = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(str),
    st.sampled_from(["", "007", "1e3", "22.0", "-0"]),
)


def csv_file(folder: Path, text: str, name: str = "data.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def piece(rows: list[tuple[str, ...]], *names: str) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    return pa.record_batch({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)})


@given(rows=st.lists(st.tuples(number_text, cell_text), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_every_value_survives_unchanged(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    numbered = [(str(n), *row) for n, row in enumerate(rows)]
    file = tmp_path_factory.mktemp("table") / "data.csv"
    assert tables.write([piece(numbered, "id", "fare", "name")], file) == len(rows)
    found = tables.read(file, key="id")
    assert [tuple(row.values()) for row in found.to_pylist()] == numbered


@given(rows=st.lists(st.tuples(number_text, cell_text.filter(lambda t: "\r" not in t)), min_size=1))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_pandas_writes(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    part = piece(rows, "fare", 'na"me')
    file = tmp_path_factory.mktemp("table") / "data.csv"
    tables.write([part], file)
    assert file.read_bytes() == part.to_pandas().to_csv(index=False, lineterminator="\n").encode()


def test_a_table_of_many_pieces_is_as_one(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'x' * 100} {n}\n" for n in range(20_000))
    file = csv_file(tmp_path, f"id,name\n{rows}")
    found = list(tables.pieces(file, key="id"))
    assert len(found) > 3
    assert tables.write(found, tmp_path / "copy.csv") == 20_000
    assert (tmp_path / "copy.csv").read_bytes() == file.read_bytes()
    one = pa.Table.from_batches(found).combine_chunks()
    assert tables.digest_of(one) == tables.digest_of(tables.read(file))


def test_the_wanted_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "id,a,b\n1,2,3\n")
    assert tables.read(file, ["b", "id"], key="id").to_pylist() == [{"b": "3", "id": "1"}]


def test_whole_numbers_stay_whole_in_a_column_with_gaps(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "id,age\n1,22\n2,\n3,0.9167\n")
    assert tables.read(file)["age"].to_pylist() == ["22", "", "0.9167"]


def test_a_file_with_carriage_returns_and_a_byte_order_mark_is_read_alike(tmp_path: Path) -> None:
    plain = csv_file(tmp_path, "id,name\n1,Ö\n", "plain.csv")
    other = csv_file(tmp_path, "\ufeffid,name\r\n1,Ö\r\n", "windows.csv")
    assert tables.read(plain) == tables.read(other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV table"),
        ("id,age\n", "holds no rows"),
        ("id,age\n1,2\n,3\n", "row 2 has no id"),
        ("id,age\n7,2\n8,2\n7,3\n", "has id 7 twice"),
        ("id,age\nb,2\n7,2\na,2\n7,3\n", "has id 7 twice"),
        ("Id,age\n1,2\n", "has no column 'id'; did you mean 'Id'"),
        ("id,age,age\n1,2,3\n", "more than one column 'age'"),
        ("id,age\n1,2,3,4\n1,2\n", "not a CSV table"),
        ("id,age\n1\n", "not a CSV table"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"data.csv") as refused:
        tables.read(csv_file(tmp_path, text), key="id")
    assert message in refused.value.message


def test_a_file_that_is_not_there_or_not_text_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"there is no file data.csv in"):
        tables.read(tmp_path / "data.csv")
    (tmp_path / "data.csv").write_bytes(b"id\n\xff\xfe")
    with pytest.raises(click.ClickException, match=r"data.csv is not a CSV table in UTF-8"):
        tables.read(tmp_path / "data.csv")


@pytest.mark.parametrize("twice", [False, True])
def test_keys_in_any_order_are_compared_across_pieces(tmp_path: Path, twice: bool) -> None:
    keys = [f"{n:07}" if n % 3 else f"k{n}" for n in range(60_000)]
    random.Random(0).shuffle(keys)
    keys += [keys[0]] if twice else []
    file = csv_file(tmp_path, "id,x\n" + "".join(f"{key},{'x' * 10}\n" for key in keys))
    assert tables.first_twice(file, "id") == (keys[0] if twice else None)
    if twice:
        with pytest.raises(click.ClickException, match=f"has id {keys[0]} twice"):
            tables.read(file, key="id")
    else:
        assert len(tables.read(file, key="id")) == 60_000


def test_keys_of_one_number_that_are_written_differently_are_two(tmp_path: Path) -> None:
    assert len(tables.read(csv_file(tmp_path, "id,x\n7,\n007,\n"), key="id")) == 2


# Numbers


@given(column=st.lists(st.one_of(number_text, cell_text), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_typing_loses_no_value(column: list[str]) -> None:
    typed = tables.typed(pa.table({"x": pa.array(column, pa.string())}))["x"].to_pandas()
    assert typed.isna().tolist() == [value == "" for value in column]
    if typed.dtype == "str":
        assert typed.dropna().tolist() == [value for value in column if value]
    else:
        assert np.isfinite(typed.dropna()).all()
        assert typed.dropna().tolist() == [float(value) for value in column if value]


@given(column=st.lists(number_text, min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_numbers_are_read_as_pandas_reads_them(column: list[str]) -> None:
    typed = tables.typed(pa.table({"x": pa.array(column, pa.string())}))["x"].to_pandas()
    pd.testing.assert_series_equal(typed, pd.to_numeric(pd.Series(column)), check_names=False)


def test_columns_are_numbers_only_if_all_their_values_are() -> None:
    rows = [("1", "1", "1", "x", " 5"), ("2", "", "PC 2", "inf", "6 ")]
    typed = tables.typed(pa.Table.from_batches([piece(rows, "id", "age", "ticket", "name", "room")]))
    kinds = [str(kind) for kind in typed.to_pandas().dtypes]
    assert kinds == ["int64", "float64", "str", "str", "int64"]
