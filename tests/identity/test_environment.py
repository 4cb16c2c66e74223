"""The environment counts by the versions that are installed of the packages that the project lists."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.identity.environment import package_name, read_environment, requirements
from mlflow_workflow.identity.origins import is_place


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("pandas==3.1.1", "pandas"),
        ("scikit_learn >= 1.0, <2", "scikit-learn"),
        ("skops[rich]~=0.16", "skops"),
        ("mlflow", "mlflow"),
        ("numpy=1.26", "numpy"),
        ("conda-forge::numpy=1.26", "numpy"),
        ("pkg @ https://example.org/pkg.whl", "pkg"),
        ("tomli>=2; python_version < '3.11'", "tomli"),
        ("Ruamel.YAML", "ruamel.yaml"),
        ("python>=3.11", None),
        ("pip", None),
        ("--index-url https://example.org", None),
        ("https://example.org/pkg.whl", None),
        ("", None),
    ],
)
def test_the_name_of_a_requirement(requirement: str, name: str | None) -> None:
    assert package_name(requirement) == name


@pytest.mark.parametrize("file", ["python_env.yaml", "conda.yaml", "requirements.txt"])
def test_every_form_of_list_is_read(tmp_path: Path, file: str) -> None:
    texts = {
        "python_env.yaml": "dependencies: [click, -r more.txt]",
        "conda.yaml": "dependencies: [python=3.11, pip, {pip: [click, -r more.txt]}]",
        "requirements.txt": "# a comment\nclick # another\n\n-r more.txt\n",
    }
    (tmp_path / file).write_text(texts[file])
    (tmp_path / "more.txt").write_text("psutil\n")
    assert {package_name(r) for r in requirements(tmp_path / file)} - {None} == {"click", "psutil"}


def install(folder: Path, version: str) -> None:
    """A package as pip leaves it."""
    for before in folder.glob("some_package-*"):
        shutil.rmtree(before)
    info = folder / f"some_package-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-package\nVersion: {version}\n")


def test_another_version_of_a_listed_package_is_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "python_env.yaml").write_text("dependencies: [some_package, not-there]")
    seen = []
    for version in ("1.0", "1.1"):
        install(tmp_path, version)
        seen.append(read_environment(tmp_path, "python_env.yaml"))
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    rest = {"python": minor, "not-there": "not installed"}
    assert seen == [{**rest, "some-package": "1.0"}, {**rest, "some-package": "1.1"}]


PLACES = {
    "git+https://example.org/a/some@main": ("https://example.org/a/some", "vcs_info"),
    "some_package[x] @ git+https://example.org/a/some@main#subdirectory=b": (
        "https://example.org/a/some",
        "vcs_info",
    ),
    "-e git+ssh://git@example.org/a/some#egg=some-package": (
        "ssh://git@example.org/a/some",
        "vcs_info",
    ),
    "git+https://me:secret@example.org/a/some": ("https://example.org/a/some", "vcs_info"),
    "./some.whl": ("file://{project}/some.whl", "archive_info"),
    "some_package @ ./some.whl": ("file://{project}/some.whl", "archive_info"),
    "https://example.org/some.whl ; python_version > '3'": (
        "https://example.org/some.whl",
        "archive_info",
    ),
}


def install_from(folder: Path, url: str, kind: str, origin: str) -> None:
    """A package as pip leaves it that it took from a place."""
    install(folder, "1.0")
    commit = {"vcs": "git", "commit_id": origin}
    info = commit if kind == "vcs_info" else {"hashes": {"sha256": origin}}
    record = folder / "some_package-1.0.dist-info" / "direct_url.json"
    record.write_text(json.dumps({"url": url.format(project=folder), kind: info}))


@pytest.mark.parametrize("requirement", PLACES)
def test_a_package_from_a_place_counts_by_the_place_and_what_was_installed_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirement: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "python_env.yaml").write_text(json.dumps({"dependencies": [requirement]}))
    seen = []
    for origin in ("aaa", "bbb"):
        install_from(tmp_path, *PLACES[requirement], origin)
        seen.append(read_environment(tmp_path, "python_env.yaml"))
    del seen[0]["python"], seen[1]["python"]
    place = requirement.replace("me:secret@", "")
    assert list(seen[0])[-1] == place
    for read, origin in zip(seen, ("aaa", "bbb"), strict=True):
        assert "1.0" in read[place] and all(origin in value for value in read.values())


def test_a_folder_counts_by_its_name_and_version_wherever_the_project_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for name in ("one", "two"):
        project = tmp_path / name
        project.mkdir()
        (project / "requirements.txt").write_text("-e ./pkg  # ours\n-e ./other\n")
        install(project, "1.0")
        record = project / "some_package-1.0.dist-info" / "direct_url.json"
        record.write_text(json.dumps({"url": (project / "pkg").as_uri(), "dir_info": {}}))
        with monkeypatch.context() as context:
            context.syspath_prepend(str(project))
            seen.append(read_environment(project, "requirements.txt"))
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    rest = {"python": minor, "-e ./other": "not installed"}
    assert seen == [{**rest, "-e ./pkg": "some-package 1.0"}] * 2


@pytest.mark.parametrize(
    "requirement",
    [
        "pandas==3.1.1",
        "conda-forge/linux-64::numpy=1.26=py311_0",
        "--index-url https://example.org",
        "-c x/y",
        "",
    ],
)
def test_other_requirements_name_no_place(requirement: str) -> None:
    assert not is_place(requirement)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- click", "must be a mapping with a list 'dependencies'"),
        ("click", "must be a mapping with a list 'dependencies'"),
        ("dependencies: 5", "'dependencies' in .* must be a list"),
        ("dependencies: click", "'dependencies' in .* must be a list"),
        ("dependencies: [{pip: click}]", "'pip' in .* must be a list"),
        ("dependencies: [\udcff]", "line 1 is not UTF-8"),
        ("dependencies: [-r gone.txt]", "gone.txt: No such file"),
        ("dependencies: [-r again.txt]", "again.txt includes itself: take out the line '-r again.txt'"),
    ],
)
def test_a_list_that_is_none_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "again.txt").write_text("-r again.txt\n")
    (tmp_path / "python_env.yaml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WorkflowError, match=said):
        requirements(tmp_path / "python_env.yaml")


def test_two_lists_may_include_the_same_third(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r c.txt\n-r b.txt\n")
    (tmp_path / "b.txt").write_text("-r c.txt\n")
    (tmp_path / "c.txt").write_text("click\n")
    assert requirements(tmp_path / "a.txt") == ["click", "click"]
