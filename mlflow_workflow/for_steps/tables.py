"""CSV tables as text, in pieces: no table need be in memory as a whole, and no value changes.

Read as numbers, 007 would come back as 7, and a whole number in a column with gaps as 22.0.
"""

import csv
import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from mlflow_workflow.basics.errors import suggestion

BLOCK = 2**17
"""Bytes that are read at a time: more take more memory, and no less time. No row may be longer."""

SYSTEM = pa.system_memory_pool()
"""Gives back what it no longer needs: Arrow's own pools keep some 40 MB."""

PLAIN = arrow_csv.WriteOptions(include_header=False, quoting_style="none")


def pieces(
    file: Path, names: Sequence[str] | None = None, key: str | None = None
) -> Iterator[pa.RecordBatch]:
    """Give the rows of a CSV file, all values as the text that stands there, "" for a missing one.

    `names` are the columns that are wanted, in this order; `key` is the one of them that names a row.
    Raises ClickException, at the latest after the last piece: no such file or column, not a table in
    UTF-8, no rows, or a key that is missing or there twice.
    """
    wanted = list(names or header(file))
    check_columns(header(file), [*wanted, *([key] if key else [])], file)
    rows, last = 0, Last()
    for piece in read_pieces(file, wanted):
        if key:
            check_present(piece[key], key, rows, file)
            last = last.then(piece[key])
        rows += piece.num_rows
        yield piece
    if not rows:
        raise click.ClickException(f"{file} holds no rows")
    if key and not last.ascends and (twice := first_twice(file, key)):
        raise click.ClickException(f"{file} has {key} {twice} twice")


def header(file: Path) -> list[str]:
    """Name the columns of a CSV file. Raises ClickException: no such file, or no table in it."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            return next(csv.reader(text))
    except FileNotFoundError:
        raise click.ClickException(f"there is no file {file.name} in {file.parent}") from None
    except (StopIteration, UnicodeDecodeError, csv.Error) as error:
        raise click.ClickException(f"{file} is not a CSV table in UTF-8: {error}") from None


def check_columns(there: Sequence[str], wanted: Sequence[str], file: Path) -> None:
    """Raise ClickException that names a column which is missing, or there more than once."""
    for name in wanted:
        if name not in there:
            raise click.ClickException(f"{file} has no column {name!r}{suggestion(name, there)}")
        if there.count(name) > 1:
            raise click.ClickException(f"{file} has more than one column {name!r}")


def read_pieces(file: Path, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Give some columns of a CSV file as text. Raises ClickException: the file is no table."""
    try:
        yield from arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(block_size=BLOCK, use_threads=False),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=names, column_types=dict.fromkeys(names, pa.string())
            ),
            memory_pool=SYSTEM,
        )
    except pa.ArrowInvalid as error:
        raise click.ClickException(f"{file} is not a CSV table in UTF-8: {error}") from None


def check_present(values: pa.Array, key: str, before: int, file: Path) -> None:
    """Raise ClickException if a row has no key."""
    if (row := pc.index(values, "").as_py()) >= 0:
        raise click.ClickException(f"{file}: row {before + row + 1} has no {key}")


@dataclass(frozen=True)
class Last:
    """The last of keys that are whole numbers and ascend, so that none of them can be there twice."""

    number: int = -(2**63)
    ascends: bool = True

    def then(self, keys: pa.Array) -> "Last":
        """Look at more keys."""
        if not self.ascends or not len(keys):
            return self
        if (found := cast(keys, pa.int64())) is None:
            return Last(ascends=False)
        numbers = found.to_numpy()
        ascend = numbers[0] > self.number and bool((numbers[1:] > numbers[:-1]).all())
        return Last(int(numbers[-1]), ascend)


def first_twice(file: Path, key: str) -> str | None:
    """Find a key that is there twice, in 8 bytes of memory for each row; None if there is none."""
    hashes = array("q")
    for piece in read_pieces(file, [key]):
        hashes.extend(map(hash, piece[key].to_pylist()))
    found = np.frombuffer(hashes, np.int64)
    found.sort()
    suspects, seen = set(found[1:][found[1:] == found[:-1]].tolist()), set()
    for piece in read_pieces(file, [key]) if suspects else ():
        for text in piece[key].to_pylist():
            if text in seen:
                return str(text)
            if hash(text) in suspects:
                seen.add(text)
    return None


def read(file: Path, names: Sequence[str] | None = None, key: str | None = None) -> pa.Table:
    """Give a whole CSV file as `pieces` does."""
    return pa.Table.from_batches(list(pieces(file, names, key)))


def write(parts: Iterable[pa.RecordBatch], file: Path) -> int:
    """Write pieces of one table as a CSV file, with line feeds on every system; count the rows."""
    rows = 0
    with file.open("wb") as output:
        for part in parts:
            if not output.tell():
                output.write(text_of(pa.record_batch({name: [name] for name in part.schema.names})))
            output.write(text_of(part))
            rows += part.num_rows
    return rows


def text_of(part: pa.RecordBatch) -> bytes:
    """Give rows as the lines of a CSV file, quoting what needs it as Python's csv module does."""
    plain = pa.BufferOutputStream(SYSTEM)
    try:
        arrow_csv.write_csv(part, plain, PLAIN, SYSTEM)
        return bytes(plain.getvalue())
    except pa.ArrowInvalid:  # a value needs quotes
        found = quoted(part, csv.QUOTE_MINIMAL)
        # Python 3.11 leaves a carriage return without quotes, which then ends the line.
        return quoted(part, csv.QUOTE_ALL) if b"\r" in found else found


def quoted(part: pa.RecordBatch, how: Literal[0, 1]) -> bytes:
    """Give rows as the lines of a CSV file, with quotes where they are needed, or everywhere."""
    text = part.to_pandas().to_csv(
        None, header=False, index=False, lineterminator="\n", quoting=how, encoding="utf-8"
    )
    return bytes(text, "utf-8")


def digest_of(table: pa.Table) -> str:
    """Give the sha256 of a table's rows in hex."""
    hashed = hashlib.sha256()
    for part in table.to_batches():
        hashed.update(text_of(part))
    return hashed.hexdigest()


def present(column: pa.Array | pa.ChunkedArray) -> Any:
    """Give text with null for a missing value."""
    return pc.if_else(pc.equal(column, ""), None, column)


def as_numbers(column: pa.Array | pa.ChunkedArray) -> Any:
    """Give text as numbers, null where it is missing; None if any value is no number, or infinite."""
    text = pc.ascii_trim_whitespace(present(column))
    numbers, whole = cast(text, pa.float64()), cast(text, pa.int64())
    if numbers is None or not pc.all(pc.is_finite(numbers), min_count=0).as_py():
        return None
    return numbers if whole is None else whole


def cast(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> Any:
    """Give a column as another type; None if a value is none of that."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def typed(table: pa.Table) -> pa.Table:
    """Turn text into numbers in each column that holds nothing else; missing values are null."""
    for index, name in enumerate(table.schema.names):
        numbers = as_numbers(table[name])
        found = present(table[name]) if numbers is None else numbers
        table = table.set_column(index, name, found)
    return table
