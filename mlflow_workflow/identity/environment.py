"""The environment that steps run in: the Python version and the packages the env file lists."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow_workflow.basics import yaml_text
from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.identity.origins import NOT_INSTALLED, installed_from, is_place
from mlflow_workflow.identity.packages import installed, normal


def read_environment(project: Path, file: str | None) -> dict[str, str]:
    """`python` with its minor version, and each listed package with the version that is installed.

    What is listed by where it comes from counts by these words, too.
    """
    packages = installed()
    listed = requirements(project / file) if file else []
    names = sorted({name for line in listed if (name := package_name(line))})
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    places = {without_credentials(line.strip()): line for line in listed if is_place(line)}
    return {
        "python": minor,
        **{name: packages.version(normal(name)) or NOT_INSTALLED for name in names},
        **{text: installed_from(project, line, packages.urls) for text, line in places.items()},
    }


def requirements(file: Path, above: tuple[Path, ...] = ()) -> list[str]:
    """The requirement lines of a python_env.yaml, conda.yaml or requirements file.

    `above` are the files that include it.

    Raises:
        WorkflowError: the file cannot be read, is no such file, or includes itself.
    """
    if file.resolve() in above:
        raise WorkflowError(f"{file} includes itself: take out the line '-r {file.name}'")
    text = yaml_text.read(file, f"the list of packages {file}")
    within = (*above, file.resolve())
    if file.suffix == ".txt":
        return included(within, [COMMENT.sub("", line) for line in text.splitlines()])
    content = yaml_text.load(text, file.name)
    if not isinstance(content or {}, dict):
        raise WorkflowError(f"{file} must be a mapping with a list 'dependencies'")
    return included(within, packages_under("dependencies", content or {}, file))


COMMENT = re.compile(r"(?:^|\s)#.*")


def packages_under(key: str, content: Mapping[str, Any], file: Path) -> list[Any]:
    """The list that stands under this key; it may be missing."""
    listed = content.get(key) or []
    if not isinstance(listed, list):
        raise WorkflowError(f"{key!r} in {file} must be a list: [package, …]")
    return listed


def included(within: tuple[Path, ...], lines: list[Any]) -> list[str]:
    """The lines, with `-r file` replaced by that file's and conda's `pip:` list by its own."""
    found: list[str] = []
    for line in lines:
        if isinstance(line, dict):
            found += included(within, packages_under("pip", line, within[-1]))
        elif match := re.match(r"\s*(?:-r|--requirement)[ =]*(\S+)", str(line)):
            found += requirements(within[-1].parent / match[1], within)
        else:
            found.append(str(line))
    return found


def package_name(requirement: str) -> str | None:
    """The name at the head of `channel::name[extra]>=1; marker`; None for an option or a bare URL."""
    match = re.match(r"\s*(?:[\w./-]+::)?([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:$|[\[=<>!~;@ ])", requirement)
    name = match[1].lower().replace("_", "-") if match else None
    return None if name in ("python", "pip") else name
