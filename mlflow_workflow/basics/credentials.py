"""User names, passwords and tokens in URLs: nothing that is kept or told may hold them."""

import os
import re

from mlflow_workflow.basics.errors import WorkflowError

HTTP = re.compile(r"(?i)(\bhttps?://)[^\s/?#]+@")
"""Here the user, too, may be a token."""
OTHER = re.compile(r"(?i)(\b[a-z][\w+.-]*://[^\s/?#:]*):[^\s/?#]*@")
"""A user alone (`ssh://git@…`), or what looks like one (`abfss://container@…`), is part of the place."""


def without_credentials(text: str) -> str:
    """The text, such as a URI, with no credentials in any URL of it."""
    return OTHER.sub(r"\1@", HTTP.sub(r"\1", text))


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
