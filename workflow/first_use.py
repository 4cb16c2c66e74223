"""The first use of an empty SQLite store, by several processes at once."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from sqlalchemy import make_url


def sqlite_file(uri: str) -> Path | None:
    """The database file of a `sqlite:///` URI; None for any other store, or one in memory."""
    # As SQLAlchemy reads it: `%20` may stand for a space.
    path = make_url(uri).database if uri.startswith("sqlite:///") else None
    return Path(path) if path not in (None, "", ":memory:") else None


def make_tables(uri: str) -> None:
    """Makes sure that a SQLite store has its tables.

    MLflow makes them when they are missing, but two processes that do it at the same time spoil the
    file for good. So here one goes after the other.
    """
    file = sqlite_file(uri)
    if file:
        with one_at_a_time(file.parent):
            MlflowClient(uri).search_experiments(max_results=1)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Only one process is in such a block for a folder at a time, where the disk knows locks."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)  # the folder itself: a lock file would be left behind
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
