"""The manifest says what a step left, and tells every way in which a folder may differ from it."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_workflow.basics.files import files_in
from mlflow_workflow.outputs.manifest import (
    Output,
    content_misfit,
    digest_of,
    from_json,
    misfit,
    read_folder,
    to_json,
)
from tests.conftest import unlistable

NAME = st.text("abc é.", min_size=1, max_size=6).map(lambda t: f"x{t}")
MANIFESTS = st.dictionaries(NAME, st.builds(Output, st.integers(0), st.text("0a", max_size=4)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "sub" / "b c.txt").write_text("two")
    return tmp_path


@settings(max_examples=50, deadline=None)
@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(manifest: dict[str, Output]) -> None:
    assert from_json(to_json(manifest)) == manifest


def test_a_folder_fits_its_own_manifest(folder: Path) -> None:
    assert set(read_folder(folder)) == {"a.txt", "sub/b c.txt"}
    assert content_misfit(read_folder(folder), folder) is None


def damage(folder: Path, how: str) -> None:
    file = folder / "a.txt"
    if how == "gone: a.txt":
        file.unlink()
    elif how == "of another size: a.txt":
        file.write_text("on")
    elif how == "changed: a.txt":
        file.write_text("onf")
    else:
        (folder / "sub" / "new.txt").write_text("")


@pytest.mark.parametrize(
    "how",
    ["gone: a.txt", "of another size: a.txt", "changed: a.txt", "not theirs: sub/new.txt"],
)
def test_every_kind_of_damage_is_told_with_the_file(folder: Path, how: str) -> None:
    made = read_folder(folder)
    damage(folder, how)
    assert content_misfit(made, folder) == how
    sizes = {name: path.stat().st_size for name, path in files_in(folder).items()}
    assert misfit(made, sizes) == (None if how.startswith("changed") else how)


def test_many_damaged_files_are_told_in_short(folder: Path) -> None:
    made = {f"{i}.txt": Output(1, "") for i in range(9)}
    assert misfit(made, {}) == "gone: 0.txt, 1.txt, 2.txt and 6 more"


def test_the_digest_is_of_names_and_contents(folder: Path) -> None:
    before = digest_of(read_folder(folder))
    (folder / "a.txt").rename(folder / "c.txt")
    renamed = digest_of(read_folder(folder))
    (folder / "c.txt").write_text("One")
    assert len({before, renamed, digest_of(read_folder(folder))}) == 3
    (folder / "c.txt").write_text("one")
    (folder / "c.txt").rename(folder / "a.txt")
    assert digest_of(read_folder(folder)) == before


def test_files_behind_a_link_to_a_folder_count(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.txt").write_text("far")
    (folder / "link").symlink_to(elsewhere)
    before = digest_of(read_folder(folder))
    (elsewhere / "far.txt").write_text("for")
    assert digest_of(read_folder(folder)) != before


def test_a_link_back_to_a_folder_above_ends(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "here").symlink_to(".")
    assert set(files_in(folder)) == {"a.txt", "sub/b c.txt"}


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unlistable(folder / "sub", monkeypatch), pytest.raises(PermissionError):
        files_in(folder)
    assert files_in(folder / "gone") == files_in(folder / "a.txt") == {}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..", "a\\b", ""])
def test_a_manifest_that_names_something_outside_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="outside the outputs folder"):
        from_json(json.dumps({name: {"size": 1, "sha256": "00"}}))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {"size": "x", "sha256": ""}}', "null"]
)
def test_a_text_that_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_json(text)
