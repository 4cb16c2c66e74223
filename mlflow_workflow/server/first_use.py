"""The first use of an empty database as the store, by several processes at once."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from mlflow_workflow.basics.errors import WorkflowError

SERVER_LOCKS = {
    "postgresql": "SELECT pg_advisory_lock(hashtext('mlflow tables'))",
    "mysql": "SELECT GET_LOCK('mlflow tables', 60)",
}
"""How one waits for one's turn on a server: as long as it takes, or so many seconds."""


def sqlite_file(uri: str) -> Path | None:
    """The database file of a `sqlite:///` URI; None for any other store, or one in memory."""
    # As SQLAlchemy reads it: `%20` may stand for a space.
    path = make_url(uri).database if uri.startswith("sqlite:///") else None
    return Path(path) if path not in (None, "", ":memory:") else None


def backend_of(uri: str) -> str:
    """The kind of store that a tracking URI names: `postgresql` of `postgresql+psycopg2://…`."""
    return re.split(r"[:+]", uri)[0]


def make_tables(uri: str) -> None:
    """Makes sure that a database used as the store has its tables.

    MLflow makes them when they are missing, but two processes that do it at the same time fail, or
    spoil a SQLite file for good. So here one goes after the other.
    """
    file, backend = sqlite_file(uri), backend_of(uri)
    if file or backend in SERVER_LOCKS:
        with folder_lock(file.parent) if file else server_lock(uri, SERVER_LOCKS[backend]):
            MlflowClient(uri).search_experiments(max_results=1)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Only one process is in such a block for a folder at a time, where the disk knows locks."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)  # the folder itself: a lock file would be left behind
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def server_lock(uri: str, statement: str) -> Iterator[None]:
    """The same for a database server, which frees a lock with the connection that took it.

    Raises:
        MlflowException: it does not answer, as MLflow says it of a store that it knows already.
        WorkflowError: the driver for it is not installed.
    """
    with contextlib.ExitStack() as stack:
        try:
            # Without a pool: there a connection would live on, and with it the lock.
            connection = stack.enter_context(create_engine(uri, poolclass=NullPool).connect())
            connection.execute(text(statement))
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", error)).strip()
            raise MlflowException(said, error_code=TEMPORARILY_UNAVAILABLE) from None
        except ModuleNotFoundError as error:
            needed = f"the tracking server's database needs the package {error.name}"
            raise WorkflowError(needed) from None
        yield
