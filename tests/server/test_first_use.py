"""Which stores have tables to be made, and what is said where that cannot be."""

from pathlib import Path

import psutil
import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.server.first_use import make_tables, server_lock, sqlite_file


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////data/mlflow.db", Path("/data/mlflow.db")),
        ("sqlite:///mlflow.db", Path("mlflow.db")),
        ("sqlite:///a%20b.db", Path("a b.db")),
        ("sqlite:///:memory:", None),
        ("http://host:5000", None),
        ("postgresql://me@host/db", None),
    ],
)
def test_only_a_database_in_a_file_has_a_folder_to_lock(uri: str, file: Path | None) -> None:
    assert sqlite_file(uri) == file


def test_a_missing_driver_is_one_sentence() -> None:
    with pytest.raises(WorkflowError, match="needs the package pymysql"):
        make_tables("mysql+pymysql://me:secret@host.invalid/db")


def test_a_server_that_is_asked_over_http_has_made_its_tables_itself() -> None:
    make_tables("http://host.invalid:1")


def test_the_connection_that_holds_the_lock_ends_with_the_block_however_that_ends(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.db"

    def is_open() -> bool:
        return str(file) in {each.path for each in psutil.Process().open_files()}

    def fail() -> None:
        with server_lock(f"sqlite:///{file}", "select 1"):
            assert is_open()
            raise RuntimeError("in the block")

    with pytest.raises(RuntimeError, match="in the block") as failed:
        fail()
    assert not is_open(), failed
