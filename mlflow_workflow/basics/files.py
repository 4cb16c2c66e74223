"""Files and folders on this disk: what is in them, and the sha256 of their content."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def sha256_of(path: Path) -> str:
    """The content's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> dict[str, Path]:
    """Every file below a folder by its relative path with '/', sorted; links are followed.

    Raises:
        OSError: a folder cannot be listed. One that is not there holds no files.
    """
    found = (Path(here, name) for here, names in walk(folder) for name in names)
    return {path.relative_to(folder).as_posix(): path for path in sorted(found) if path.is_file()}


def walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each folder below and its files; a link back to where it was reached from is not followed."""
    for here, folders, names in os.walk(folder, onerror=raise_unless_gone, followlinks=True):
        folders[:] = [name for name in folders if not leads_back(Path(here, name))]
        yield here, names


def raise_unless_gone(error: OSError) -> None:
    """What cannot be listed must not pass for empty."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def leads_back(folder: Path) -> bool:
    """Is this a link to one of the folders on the way to it?"""
    return folder.is_symlink() and folder.resolve() in {above.resolve() for above in folder.parents}


def listed(names: list[str], most: int = 3) -> str:
    """The first few names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def is_data(path: Path) -> bool:
    """Is it a file or folder? What a pipe or a device holds cannot be known without taking it."""
    return path.is_file() or path.is_dir()
