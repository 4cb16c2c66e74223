"""Packages that are listed by where they come from, a URL or a path, and what of them is installed."""

import json
import re
from collections.abc import Mapping
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from mlflow_workflow.basics.credentials import without_credentials

EDITABLE = re.compile(r"\s*(?:-e|--editable)[ =]\s*")
CHANNEL = re.compile(r"\s*[\w./-]+::")
"""Of conda."""
NOT_INSTALLED = "not installed"


def is_place(requirement: str) -> bool:
    """Does a requirement say where the package comes from: `-e ./x`, `x @ https://…`, `./x.whl`?"""
    if EDITABLE.match(requirement):
        return True
    text = CHANNEL.sub("", requirement).partition(";")[0].strip()
    return not text.startswith("-") and bool(re.search(r"[/@]|^\.|\.(?:whl|zip|tar\.\w+)$", text))


def installed_from(project: Path, requirement: str, urls: Mapping[str, str]) -> str:
    """Name, version and origin of what was installed from the place that a requirement names.

    `urls` has that of every package, by the URL that it was installed from.
    """
    text = without_credentials(EDITABLE.sub("", requirement)).partition(";")[0].strip()
    if "://" in text:  # in which the recorded URL is surrounded by a revision and the like
        found = [what for url, what in urls.items() if url in text]
    else:
        path = re.sub(r"^.*@\s*|\[[^]]*\]$", "", text)
        found = [what for url, what in urls.items() if url == (project / path).resolve().as_uri()]
    return ", ".join(sorted(found)) or NOT_INSTALLED


def with_origin(package: Distribution) -> str:
    """The version of an installed package, and the commit or content it was made of if that is known."""
    record = recorded(package)
    commit = (record.get("vcs_info") or {}).get("commit_id")
    archive = record.get("archive_info") or {}
    hashes = [f"{kind}={value}" for kind, value in (archive.get("hashes") or {}).items()]
    origin = [f"commit {commit}"] if commit else sorted(hashes) or [str(archive.get("hash") or "")]
    return f"{package.version} ({origin[0]})" if origin[0] else str(package.version)


def recorded(package: Distribution) -> dict[str, Any]:
    """What an installer keeps of a package that it did not take from an index by name (PEP 610)."""
    try:
        record = json.loads(package.read_text("direct_url.json") or "{}")
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
