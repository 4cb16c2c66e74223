"""The engine as a project has it: named in its lists of packages, or as a copy in the project itself."""

import json
import re
import shutil
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from mlflow_workflow import __version__
from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.files import files_in, sha256_of
from mlflow_workflow.identity.origins import recorded

NAME, PACKAGE = "mlflow-workflow", "mlflow_workflow"
HERE = Path(__file__).resolve().parents[1]
"""The package that is running."""
CHANGES = "CHANGELOG.md"
COPY = "copy.json"
"""In a copy of the engine: which version it is, and a digest of its files."""


def requirement() -> str | None:
    """How a list of packages names the engine that is running; None if nobody installed it."""
    try:
        installed = distribution(NAME)
    except PackageNotFoundError:
        return None
    return where_from(installed) if is_running(installed) else None


def is_running(installed: Distribution) -> bool:
    """Is what is installed what runs, and not a clone or a copy beside it?"""
    origin = recorded(installed)
    if origin.get("dir_info", {}).get("editable"):
        return HERE.parent.as_uri() == str(origin.get("url"))
    return Path(str(installed.locate_file(PACKAGE))).resolve() == HERE


def where_from(installed: Distribution) -> str:
    """The requirement that installs the same again: by commit, by file, or by version."""
    record = recorded(installed)
    if not (url := without_credentials(str(record.get("url", "")))):
        return f"{NAME}=={installed.version}"
    if vcs := record.get("vcs_info"):
        below = record.get("subdirectory")
        end = f"#subdirectory={below}" if below else ""
        return f"{NAME} @ {vcs['vcs']}+{url}@{vcs['commit_id']}{end}"
    return f"{NAME} @ {url}"


def with_version(line: str) -> str:
    """A requirement with the version as a comment, which a commit or a file does not tell."""
    return line if "==" in line else f"{line}  # {__version__}"


def put_copy(project: Path) -> None:
    """Puts a copy of the running engine into a project, in place of an older one."""
    target = project / PACKAGE
    fresh = target.with_name(f".{PACKAGE}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(HERE, fresh, ignore=shutil.ignore_patterns("__pycache__", COPY))
    shutil.copy2(changelog(), fresh / CHANGES)
    known = {"version": __version__, "files": digest_of(fresh)}
    (fresh / COPY).write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    if target.exists():
        shutil.rmtree(target)
    fresh.rename(target)


def digest_of(package: Path) -> str:
    """A digest of a copy's files, but of what Python makes beside them."""
    files = {n: f for n, f in files_in(package).items() if "__pycache__" not in n and n != COPY}
    return digest({name: sha256_of(file) for name, file in files.items()})


def changelog() -> Path:
    """The file that says what each version changed: in the package, in a clone beside it."""
    inside = HERE / CHANGES
    return inside if inside.is_file() else HERE.parent / CHANGES


def changes_since(version: str | None) -> Iterator[str]:
    """What the changelog says of every version after this one; of the newest if it is not known."""
    text = changelog().read_text(encoding="utf-8")
    entries = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    known = [entry.partition("\n")[0].removeprefix("## ").strip() for entry in entries]
    count = known.index(version) if version in known else 1
    yield from (entry.strip() for entry in entries[:count])
