"""Data counts by content, and a remembered digest is never one of an earlier content."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.files import sha256_of
from mlflow_workflow.identity import data
from mlflow_workflow.identity.data import digest_data, digest_file, memo_file
from tests.conftest import unlistable


@pytest.fixture(autouse=True)
def own_memo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of the size from which on digests are remembered."""
    file = tmp_path / "large.bin"
    file.write_bytes(b"a" * (data.SMALL + 1))
    return file


@pytest.fixture
def settled(large: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `large`, once its digest is remembered."""
    monkeypatch.setattr(data, "SETTLED", -1.0)
    digest_file(large)
    return large


def remembered() -> list[str]:
    with sqlite3.connect(memo_file()) as table:
        return [row[0] for row in table.execute("select sha256 from digest")]


def forge(digest: str) -> None:
    """Puts a wrong digest in the memo, so that using the memo shows."""
    with sqlite3.connect(memo_file()) as table:
        table.execute("update digest set sha256 = ?", (digest,))


def test_the_same_content_under_another_path_has_the_same_digests(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.csv").write_text("1\n")
    assert digest_data(tmp_path / "one") == digest_data(tmp_path / "two")


def test_a_file_that_came_went_was_renamed_or_changed_changes_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    seen = [digest_data(tmp_path)]
    (tmp_path / "b.csv").write_text("1")
    seen.append(digest_data(tmp_path))
    (tmp_path / "a.csv").unlink()
    seen.append(digest_data(tmp_path))
    (tmp_path / "b.csv").write_text("2")
    seen.append(digest_data(tmp_path))
    assert all(one != other for i, one in enumerate(seen) for other in seen[:i])


def test_a_file_is_not_read_again_while_it_is_untouched(settled: Path) -> None:
    forge("forged")
    assert digest_file(settled) == "forged"


@pytest.mark.parametrize("how", ["content", "same size and time", "another file in its place"])
def test_a_touched_file_is_read_again(settled: Path, how: str) -> None:
    forge("forged")
    before = settled.stat()
    if how == "another file in its place":
        other = settled.with_name("other")
        other.write_bytes(b"b" * before.st_size)
        other.replace(settled)
    else:
        settled.write_bytes(b"b" * (before.st_size + (how == "content")))
    os.utime(settled, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest_file(settled) == sha256_of(settled)


def test_a_file_written_just_now_is_not_remembered(large: Path) -> None:
    assert time.time() - large.stat().st_ctime < data.SETTLED
    digest_file(large)
    assert not memo_file().exists() or remembered() == []


@pytest.mark.parametrize("memo", ["no database", "a folder", "not writable"])
def test_a_memo_that_cannot_be_used_costs_nothing_but_time(settled: Path, memo: str) -> None:
    file = memo_file()
    file.unlink()
    if memo == "no database":
        file.write_text("this is no database" * 100)
    elif memo == "a folder":
        file.mkdir()
    else:
        file.parent.rmdir()
        file.parent.write_text("a file where the folder should be")
    assert digest_file(settled) == sha256_of(settled)


def test_data_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkflowError, match=r"cannot read .*gone\.csv: No such file"):
        digest_file(tmp_path / "gone.csv")


def test_a_folder_in_data_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    said = r"cannot read .*data/sub: Permission denied"
    with unlistable(tmp_path / "data" / "sub", monkeypatch), pytest.raises(WorkflowError, match=said):
        digest_data(tmp_path / "data")


def test_a_pipe_is_no_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WorkflowError, match=r"cannot read .*pipe: it is neither a file nor a folder"):
        digest_data(tmp_path / "pipe")


def test_a_user_without_a_home_reads_every_file_anew(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # so it is for a user nobody knows
    assert digest_file(large) == sha256_of(large)
