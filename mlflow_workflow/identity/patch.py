"""The uncommitted changes of a project as a patch."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mlflow_workflow.identity.code import Code
from mlflow_workflow.identity.git import git
from mlflow_workflow.identity.index import left_out, read_index

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
    with tempfile.TemporaryDirectory() as folder:
        own_index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        there = [p for p in code.changes if (top / p).is_symlink() or (top / p).is_file()]
        listed = Path(folder, "paths")
        listed.write_bytes(b"\0".join(os.fsencode(f":(top,literal){path}") for path in there))
        git(top, "read-tree", "HEAD", extra=own_index)
        # What a sparse checkout leaves out is not deleted.
        if absent := "".join(f"{path}\0" for path in left_out(top, read_index(top))):
            git(top, "update-index", "--skip-worktree", "-z", "--stdin", extra=own_index, given=absent)
        if there:
            names = (f"--pathspec-from-file={listed}", "--pathspec-file-nul")
            git(top, "add", "--intent-to-add", *names, extra=own_index)
        text = git(top, "diff", *PATCH_OPTIONS, "HEAD", "--", *but(top, code.not_code), extra=own_index)
    return text.encode(errors="surrogateescape")


# The user's git settings must not make a patch that `git apply` refuses.
PATCH_OPTIONS = (
    *("--binary", "--full-index", "--no-renames", "--unified=3", "--inter-hunk-context=0"),
    *("--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)


def but(repository: Path, places: Iterable[Path]) -> list[str]:
    """Everything in a repository but these places, in git's words."""
    top = repository.resolve()
    inside = [path.relative_to(top).as_posix() for path in places if top in path.parents]
    return [":(top)", *(f":(top,exclude,literal){path}" for path in inside)]
