"""What the parameters of a step name: data on this disk, data behind a URI, or nothing."""

import glob
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.files import is_data
from mlflow_workflow.project.graph import Parameter, Step, Workflow
from mlflow_workflow.project.parameters import Values

TYPES = ("string", "path", "uri")
"""Of parameters whose value may name data."""

Texts = frozenset[tuple[str, str]]
"""Values that may name data: the parameter's type, and the text."""


def data_texts(workflow: Workflow, values: Iterable[Values]) -> Texts:
    """What every step's parameters may point at, whether the task needs the step or not.

    Each once, however many combinations of a sweep share it: all are looked up again and again.
    """
    own = {step.name: step.own_parameters for step in workflow.steps.values()}
    return frozenset(
        (own[step][name].type, text)
        for each in values
        for step, given in each.items()
        for name, text in given.items()
        if own[step][name].type in TYPES
    )


def data_of(
    project: Path, step: Step, values: Mapping[str, str], fetched: Mapping[str, Path]
) -> dict[str, Path]:
    """The parameters whose values name an existing file or folder, with its path."""
    found = {}
    for parameter in step.own_parameters.values():
        text = values.get(parameter.name, "")
        path = fetched.get(text) or data_path(project, parameter.type, text)
        if path is not None:
            found[parameter.name] = path
    return found


def named_data(
    project: Path, step: Step, values: Mapping[str, str], fetched: Mapping[str, Path]
) -> dict[str, dict[str, Path]]:
    """The parameters whose values name data, with all that each names: {"": path} for one path alone.

    A text may also be a list with commas, and hold `*`, `?` and `[…]` for several files: each part
    of it that names something counts.
    """
    found = {name: {"": path} for name, path in data_of(project, step, values, fetched).items()}
    for parameter in step.own_parameters.values():
        if parameter.name not in found and parameter.type == "string":
            found[parameter.name] = named_by(project, values.get(parameter.name, ""))
    return {name: paths for name, paths in found.items() if paths}


def named_by(project: Path, text: str) -> dict[str, Path]:
    """What the parts of a text name, by the words that name it."""
    parts = [part.strip() for part in text.split(",")]
    found = {part: data_path(project, "string", part) for part in parts if len(parts) > 1}
    for part in parts:
        if glob.has_magic(part) and any(c.isalnum() for c in part) and "\0" not in part:
            matches = glob.glob(os.path.expanduser(part), root_dir=project, recursive=True)  # noqa: PTH111, PTH207
            found.update({match: data_path(project, "string", match) for match in matches})
    return {name: path for name, path in sorted(found.items()) if path is not None}


def data_path(project: Path, kind: str, text: str) -> Path | None:
    """What a value of a parameter of this type names on this disk, if it is there.

    A text such as '.' or '/' is more likely a separator than a wish to hash the whole disk: only a
    `path` parameter may name a folder that the project lies in.
    """
    local = local_text(kind, text)
    if not local or (kind != "path" and not any(c.isalnum() for c in local)):
        return None
    try:
        path = (project / os.path.expanduser(local)).resolve()  # noqa: PTH111 - it raises without a home
        there = path.exists()
    except (OSError, ValueError):
        return None
    around = path == project or path in project.parents
    return path if there and (kind == "path" or not around) else None


def local_text(kind: str, text: str) -> str | None:
    """The path in a value: of a file: URI its path; None if it can name nothing on this disk."""
    if kind not in TYPES:
        return None
    if not text.lower().startswith("file:/"):
        return None if kind == "uri" else text
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return unquote(parts.path) if parts.netloc in ("", "localhost") else None


def data_uris(step: Step, values: Mapping[str, str]) -> list[str]:
    """The values of `path` parameters that are URIs of something elsewhere."""
    paths = [values.get(p.name, "") for p in step.own_parameters.values() if p.type == "path"]
    return [text for text in paths if is_elsewhere(text)]


def is_elsewhere(text: str) -> bool:
    """Is the value of a `path` parameter a URI, and not of a file on this disk?"""
    is_uri = re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text)
    return bool(is_uri) and local_text("path", text) in (None, text)


def refuse_unfit_data(project: Path, step: Step, values: Mapping[str, str]) -> None:
    """Raises WorkflowError for a value that names no data where it must, or none that can be hashed."""
    for parameter in step.own_parameters.values():
        text = values.get(parameter.name, "")
        wrong = misnamed(project, parameter, text)
        if wrong:
            raise WorkflowError(f"{step.name}.{parameter.name} is {text!r}, {wrong}")


def misnamed(project: Path, parameter: Parameter, text: str) -> str | None:
    """What is wrong with a value as the name of data; None if nothing is."""
    if parameter.type == "uri" and not has_scheme(text):
        return "which is no URI: write file:///… for what is on this disk, or declare it as 'path'"
    if parameter.type == "path" and not text:
        return "but a step would get the current folder for it: name a file or folder"
    path = data_path(project, parameter.type, text)
    if path is None and parameter.type == "path" and not is_elsewhere(text):
        return f"but there is no file or folder {project / (local_text('path', text) or text)}"
    if path is not None and not is_data(path):
        return "which is neither a file nor a folder: its content cannot be compared"
    return None


def has_scheme(text: str) -> bool:
    """Is a text a URI to MLflow?"""
    try:
        return bool(urlsplit(text).scheme)
    except ValueError:
        return False
