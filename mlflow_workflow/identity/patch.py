"""The uncommitted changes of a project as a patch."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlflow_workflow.identity.code import Code, own_index
from mlflow_workflow.identity.git import git

PATCH = "code.patch"
"""The artifact that holds it."""


def patch(code: Code) -> bytes:
    """The uncommitted changes as a patch for `git apply`, untracked files included.

    It is made with an index of its own, so that the user's stays as it is. A repository in the
    repository is left out: no patch can hold it.
    """
    if code.repository is None or not code.changes:
        return b""
    top = code.repository
    there = [path for path in code.changes if (top / path).is_symlink() or (top / path).is_file()]
    with own_index(top, code.hidden) as variables, tempfile.NamedTemporaryFile() as listed:
        listed.write(b"\0".join(os.fsencode(f":(top,literal){path}") for path in there))
        listed.flush()
        if there:
            names = (f"--pathspec-from-file={listed.name}", "--pathspec-file-nul")
            git(top, "add", "--intent-to-add", *names, extra=variables)
        text = git(
            top, "diff", *PATCH_OPTIONS, "HEAD", "--", *all_but(top, code.not_code), extra=variables
        )
    return text.encode(errors="surrogateescape")


# The user's git settings must not make a patch that `git apply` refuses.
PATCH_OPTIONS = (
    *("--binary", "--full-index", "--no-renames", "--unified=3", "--inter-hunk-context=0"),
    *("--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)


def all_but(repository: Path, places: Iterable[Path]) -> list[str]:
    """Everything in a repository but these places, in git's words."""
    top = repository.resolve()
    inside = [path.relative_to(top).as_posix() for path in places if top in path.parents]
    return [":(top)", *(f":(top,exclude,literal){path}" for path in inside)]
