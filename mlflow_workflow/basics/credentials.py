"""Credentials in URLs: nothing that is kept or told may hold them."""

import os
import re

from mlflow_workflow.basics.errors import WorkflowError

URL = re.compile(r"(?i)\b([a-z][\w+.-]*)://(\S*?)(?=\s|$|\b[a-z][\w+.-]*://)")
PORT = re.compile(r"(?:[\w.-]+|\[[\w:]+\]):\d{1,5}(?:[/?#]|$)")
"""How a URL goes on that names a host and its port, so that an @ further on is none of a password."""
SECRET = re.compile(
    r"(?i)([?&;#](?:[\w.%-]*(?:password|passwd|pwd|token|secret|signature|credential|"
    r"(?:api|access|account|private|shared)[-_]?key(?:[-_]?id)?)|sig|key|auth|sas)=)[^\s&;#'\"<>`]+"
)
"""A part of a query that opens a door: a password, a token, or the signature of a signed URL."""
HIDDEN = r"\1***"


def without_credentials(text: str) -> str:
    """The text, such as a URI or a message, with no credentials in any URL of it."""
    return URL.sub(without_secrets, text)


def without_secrets(url: re.Match[str]) -> str:
    """A URL without its user's password and without what its query tells."""
    return f"{url[1]}://{SECRET.sub(HIDDEN, without_user(url[1], url[2]))}"


def without_user(scheme: str, rest: str) -> str:
    """What follows `scheme://`, without a password; with http without the user, too, who may be a token.

    A user alone (`ssh://git@…`), or what looks like one (`abfss://container@…`), is part of the place.
    """
    end = end_of_user(rest, has_revision="+" in scheme)
    before, at, after = rest[:end].rpartition("@")
    if not at:
        return rest
    user = "" if scheme.lower().endswith(("http", "https")) else before.partition(":")[0] + "@"
    return user + after + rest[end:]


def end_of_user(rest: str, has_revision: bool) -> int:
    """Where to look no further for the @ behind a user: a password may hold `/`, `?` and `#`.

    In `git+https://me:secret@host/a.git@main` the @ of the user is the first.
    """
    host = re.search(r"[/?#]|$", rest)
    end = host.start() if host else len(rest)
    has_password = ":" in rest[:end] and not PORT.match(rest)
    found = has_password and "@" in rest[end:] and not (has_revision and "@" in rest[:end])
    return rest.rfind("@") + 1 if found else end


def refuse_credentials(what: str, text: str) -> None:
    """Raises WorkflowError if a text that would be kept on a run holds credentials in a URL."""
    if without_credentials(text) == text:
        return
    run_id = os.environ.get("MLFLOW_RUN_ID")
    known = f"; `mlflow run` has logged them on run {run_id}: delete it, then `mlflow gc`" * bool(run_id)
    raise WorkflowError(
        f"{what} holds credentials in a URL, and is kept where others can read it: "
        f"leave them to ~/.netrc or an environment variable{known}"
    )
