"""What git itself says of a repository, asked through its own command."""

import os
import subprocess
from pathlib import Path

from mlflow_workflow.basics.credentials import without_credentials


def git(folder: Path, *arguments: str, extra: dict[str, str] | None = None, given: str = "") -> str:
    """What git prints when it is `given` this to read.

    Raises OSError without git, CalledProcessError if it refuses.
    """
    # A hook or a worktree's shell may export GIT_DIR and the like: the folder alone shall decide.
    environment = {k: v for k, v in os.environ.items() if k not in LOCATION_VARIABLES}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(extra or {})}
    command = ["git", "-C", str(folder), *NOTHING_HIDDEN, *arguments]
    text = given.encode(errors="surrogateescape")
    done = subprocess.run(command, check=True, capture_output=True, env=environment, input=text)
    return done.stdout.decode(errors="surrogateescape")


NOTHING_HIDDEN = [
    word
    for setting in (
        *("core.trustctime=true", "core.checkStat=default", "core.ignoreStat=false"),
        *("core.fsmonitor=false", "core.untrackedCache=false"),
    )
    for word in ("-c", setting)
]
"""Settings of the user's with which git would not notice every edit."""


LOCATION_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"}


def why_no_git(error: OSError | subprocess.CalledProcessError) -> str:
    """One clause on why git did not answer, with the cure where there is one."""
    if isinstance(error, OSError):
        return "git is not installed"
    said = (error.stderr or b"").decode(errors="replace")
    if "dubious ownership" in said:
        return "git refuses this folder as unsafe (git config --global --add safe.directory <folder>)"
    if "not a git repository" in said:
        return "this is no git repository"
    if "unknown revision" in said or "ambiguous argument" in said:
        return "this git repository has no commit yet"
    return "git failed: " + (said.strip().splitlines() or ["no message"])[-1]


def remote_url(repository: Path) -> str | None:
    """The URL of `origin` without credentials, if there is one."""
    try:
        return without_credentials(git(repository, "remote", "get-url", "origin").strip())
    except subprocess.CalledProcessError:
        return None
