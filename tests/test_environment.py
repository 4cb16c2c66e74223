"""The environment counts by the versions that are installed of the packages that the project lists."""

import sys
from pathlib import Path

import pytest

from workflow import environment
from workflow.environment import package_name, read_environment, requirements


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
    info = folder / "some_package-1.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: some-package\nVersion: {version}\n")


def test_another_version_of_a_listed_package_is_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "python_env.yaml").write_text("dependencies: [some_package, not-there]")
    seen = []
    for version in ("1.0", "1.1"):
        install(tmp_path, version)
        environment.installed_version.cache_clear()
        seen.append(read_environment(tmp_path, "python_env.yaml"))
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    rest = {"python": minor, "not-there": "not installed"}
    assert seen == [{**rest, "some-package": "1.0"}, {**rest, "some-package": "1.1"}]
