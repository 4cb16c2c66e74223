"""Models in skops files: the same model as the same bytes, and no code that came with the file."""

import json
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import click
import numpy as np
import skops.io
from skops.io.exceptions import UnsupportedTypeException

SCHEMA = "schema.json"
ARRAY = b"\x93NUMPY"  # how a .npy file begins
UNIX = 3  # what the zip format calls the system that made an entry
COMPUTING = (
    "sklearn.metrics.",
    "sklearn.feature_selection.",
    "sklearn.cluster.",
    "sklearn.gaussian_process.",
)
"""Where scikit-learn's functions do nothing but compute: a SelectKBest holds f_classif."""


def dumped(model: object) -> bytes:
    """Give a model as bytes that depend on nothing but the model.

    Raises ClickException: skops cannot store such a model.
    """
    try:
        return canonical(skops.io.dumps(model))
    except UnsupportedTypeException as error:
        raise click.ClickException(f"this model cannot be stored as a skops file: {error}") from None


def canonical(content: bytes) -> bytes:
    """Rewrite a skops file without what differs from process to process.

    skops names objects and files after addresses in memory and stamps the time on each; both are
    replaced by numbers in the order of appearance and one fixed date.
    """
    with ZipFile(BytesIO(content)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        renamed = renumber(schema, set(archive.namelist()))
        members = {new: without_padding(archive.read(old)) for old, new in renamed.items()}
    return zipped({**members, SCHEMA: json.dumps(schema, separators=(",", ":")).encode()})


def renumber(schema: dict[str, Any], files: set[str]) -> dict[str, str]:
    """Renumber the objects and files of a schema, in place; give the new name of each file."""
    numbers: dict[int, int] = {}
    renamed: dict[str, str] = {}
    for node in nodes(schema):
        if isinstance(number := node.get("__id__"), int):
            # From 1, because skops takes the number 0 for none.
            node["__id__"] = numbers.setdefault(number, len(numbers) + 1)
        if isinstance(file := node.get("file"), str) and file in files:
            node["file"] = renamed.setdefault(file, f"{len(renamed) + 1}{Path(file).suffix}")
    return renamed


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Give every mapping in a JSON value, in the order of the text."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            yield item
            rest.extend(reversed(item.values()))
        elif isinstance(item, list):
            rest.extend(reversed(item))


def without_padding(content: bytes) -> bytes:
    """Zero the unused bytes between the fields of a stored array, if it is one with fields.

    The nodes of scikit-learn's trees have seven of them each, with whatever was in memory before.
    """
    if not content.startswith(ARRAY):
        return content
    array = np.load(BytesIO(content), allow_pickle=False)
    if array.dtype.names is None or not array.size:
        return content
    # In the stored bytes, because numpy brings in new padding whenever it copies such an array.
    stored = np.frombuffer(content, np.uint8).copy()
    rows = stored[-array.nbytes :].reshape(array.size, array.dtype.itemsize)
    rows[:, padding(array.dtype)] = 0
    return stored.tobytes()


def padding(kind: "np.dtype[Any]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Mark the bytes of a record that belong to none of its fields."""
    unused = np.ones(kind.itemsize, np.bool_)
    for field, offset, *_ in (kind.fields or {}).values():
        unused[offset : offset + field.itemsize] = False
    return unused


def zipped(members: dict[str, bytes]) -> bytes:
    """Pack files as any system would at any time. Not compressed: zlib's bytes vary by version."""
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            entry = ZipInfo(name)
            entry.create_system = UNIX
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def trusted_types(content: bytes, trusted: Collection[str] = ()) -> list[str]:
    """Name the types of a skops file beyond those that skops itself trusts.

    Raises ClickException: the file has types that are neither harmless nor in `trusted`.
    """
    named = [str(name) for name in skops.io.get_untrusted_types(data=content)]
    if unknown := [name for name in named if name not in trusted and not is_harmless(name)]:
        raise click.ClickException(
            f"the model holds types that are not scikit-learn's own: {', '.join(unknown)}."
            " They may run any code when it is loaded. If you trust them, name them to both"
            f" save_model and load_model: trusted={unknown}"
        )
    return named


def is_harmless(name: str) -> bool:
    """Tell whether scikit-learn defines a class of that name there, or a function that computes.

    A name that merely begins with "sklearn." may stand for anything which a module there imported,
    such as a function that starts processes.
    """
    module, _, attribute = name.rpartition(".")
    if not module.startswith("sklearn."):
        return name == "numpy.dtype"
    try:
        found = resolve_name(f"{module}:{attribute}")
    except (ImportError, AttributeError):
        return False
    computes = isinstance(found, FunctionType) and module.startswith(COMPUTING)
    return (computes or isinstance(found, type)) and found.__module__ == module


def load(file: Path, trusted: Collection[str] = ()) -> Any:
    """Give the model in a skops file.

    Raises ClickException: not a skops file, or one with types that are not trusted.
    """
    content = file.read_bytes()
    try:
        return skops.io.loads(content, trusted=trusted_types(content, trusted))
    except (BadZipFile, KeyError, ValueError, TypeError) as error:
        raise click.ClickException(f"{file} is not a skops file: {error}") from error
