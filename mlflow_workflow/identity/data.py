"""Digests of files and folders by content, remembered so that unchanged files are read once."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.files import files_in, is_data, sha256_of

SETTLED = 2.0
"""Seconds a file must have rested before its digest is remembered: a file system's clock may be too
coarse to show that it was written again right after it was read (git's "racy" rule)."""


SMALL = 1_000_000
"""Bytes up to which reading a file costs no more than looking its digest up."""


def memo_file() -> Path:
    """Where digests are remembered, by the XDG rule. Raises OSError for a user without a home."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise OSError(str(error)) from None
    return home / "mlflow-workflow" / "digests.sqlite"


def digest_file(path: Path) -> str:
    """sha256 of a file's content in hex; not read again while its inode, size and times are the same.

    Raises:
        WorkflowError: it cannot be read.
    """
    try:
        if path.stat().st_size <= SMALL:
            return sha256_of(path)
        return recall(path, stamp(path)) or digest_anew(path)
    except OSError as error:
        raise WorkflowError(f"cannot read {path}: {error.strerror}") from None


def digest_data(path: Path) -> dict[str, str]:
    """{relative path: sha256} of a folder's files; {"": sha256} of a file.

    Raises:
        WorkflowError: it is neither, or a part of it cannot be read.
    """
    try:
        if not is_data(path):
            raise WorkflowError(f"cannot read {path}: it is neither a file nor a folder")
        files = {"": path} if path.is_file() else files_in(path)
    except OSError as error:
        raise WorkflowError(f"cannot read {error.filename}: {error.strerror}") from None
    return {name: digest_file(file) for name, file in files.items()}


def digest_anew(path: Path) -> str:
    """The digest of a file as it is on the disk, and remembered.

    What programs changed through a mapping is written first: a second change of a page that is not yet
    written would show in none of the file's times.
    """
    with path.open("rb") as file, contextlib.suppress(OSError):
        os.fsync(file.fileno())
    seen = stamp(path)
    return remember(path, seen, sha256_of(path))


def stamp(path: Path) -> str:
    """What changes whenever the file does; ctime too, which a program cannot set back."""
    stat = path.stat()
    return f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


@contextmanager
def memo() -> Iterator[sqlite3.Connection]:
    """The table of digests. Raises OSError or sqlite3.Error if this machine keeps none."""
    file = memo_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file, timeout=5)) as table, table:
        table.execute("create table if not exists digest (path primary key, stamp, sha256)")
        yield table


def recall(path: Path, seen: str) -> str | None:
    """The remembered digest, if the file still bears the stamp it had then."""
    try:
        with memo() as table:
            query = "select sha256 from digest where path = ? and stamp = ?"
            row = table.execute(query, (str(path.resolve()), seen)).fetchone()
    except (OSError, sqlite3.Error):
        return None
    return str(row[0]) if row else None


def remember(path: Path, seen: str, sha256: str) -> str:
    """Keeps a digest if the file rested long enough and did not change meanwhile; returns it."""
    rested = time.time() - path.stat().st_ctime > SETTLED
    if rested and stamp(path) == seen:
        try:
            with memo() as table:
                row = (str(path.resolve()), seen, sha256)
                table.execute("insert or replace into digest values (?, ?, ?)", row)
        except (OSError, sqlite3.Error):
            pass  # a memo that cannot be kept costs time, never correctness
    return sha256
