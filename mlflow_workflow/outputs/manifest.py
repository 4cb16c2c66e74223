"""The manifest of a step's outputs: path, size and sha256 of every file."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.basics.files import files_in, listed, sha256_of

NAME = "manifest.json"
"""Where a run keeps it: beside the outputs folder, at the root of its artifacts."""


@dataclass(frozen=True)
class Output:
    """One file: its size in bytes and its content's sha256 in hex."""

    size: int
    sha256: str


Manifest = Mapping[str, Output]
"""Path relative to the outputs folder, with '/', → file."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of one run: its artifact root, and the step that is the folder's name there."""

    artifact_uri: str
    step: str
    digest: str | None = None

    @property
    def uri(self) -> str:
        """Where the outputs folder is."""
        return f"{self.artifact_uri.rstrip('/')}/{self.step}"


def read_folder(folder: Path, hashed: Callable[[Path], str] = sha256_of) -> Manifest:
    """The manifest of what a folder holds now."""
    return {n: Output(p.stat().st_size, hashed(p)) for n, p in files_in(folder).items()}


def to_json(manifest: Manifest) -> str:
    """One line a file, so that two manifests compare well."""
    rows = {name: {"size": o.size, "sha256": o.sha256} for name, o in manifest.items()}
    return json.dumps(rows, indent=1, sort_keys=True)


def from_json(text: str) -> Manifest:
    """The manifest that `to_json` wrote.

    Raises:
        ValueError: it is none, or names a path outside the outputs folder.
    """
    try:
        rows: dict[str, Any] = json.loads(text)
        manifest = {str(n): Output(int(o["size"]), str(o["sha256"])) for n, o in rows.items()}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a manifest: {error!r}") from None
    for name in manifest:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not name:
            raise ValueError(f"the manifest names {name!r}, outside the outputs folder")
    return manifest


def digest_of(manifest: Manifest) -> str:
    """What the outputs are, in 64 hex digits: names and contents."""
    return digest({name: output.sha256 for name, output in manifest.items()})


def misfit(manifest: Manifest, sizes: Mapping[str, int]) -> str | None:
    """How the files that are there differ from the manifest, by name and size; None if they fit."""
    gone = sorted(set(manifest) - set(sizes))
    extra = sorted(set(sizes) - set(manifest))
    if gone:
        return f"gone: {listed(gone)}"
    if extra:
        return f"not theirs: {listed(extra)}"
    wrong = sorted(name for name, output in manifest.items() if sizes[name] != output.size)
    return f"of another size: {listed(wrong)}" if wrong else None


def content_misfit(manifest: Manifest, folder: Path) -> str | None:
    """As `misfit`, by content too: reads every file."""
    there = files_in(folder)
    by_name = misfit(manifest, {name: path.stat().st_size for name, path in there.items()})
    if by_name:
        return by_name
    wrong = [name for name, output in manifest.items() if sha256_of(there[name]) != output.sha256]
    return f"changed: {listed(sorted(wrong))}" if wrong else None
