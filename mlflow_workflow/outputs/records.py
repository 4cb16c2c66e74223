"""Where a run keeps the record of what it was seen to use, and how that is read back."""

from pathlib import Path

from mlflow_workflow.identity import record
from mlflow_workflow.identity.record import Record
from mlflow_workflow.outputs.artifacts import reaching, read_text

NAME = "record.json"


def write_record(found: Record, folder: Path) -> Path:
    """The file to be kept by the run, in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / NAME
    file.write_text(record.to_json(found), encoding="utf-8")
    return file


def read_record(artifact_uri: str, digest: str) -> Record | None:
    """The record of a run; None if it is lost, or is not the one with this digest.

    Raises:
        WorkflowError: the store cannot be read now.
    """
    with reaching(artifact_uri):
        text = read_text(artifact_uri, NAME)
    try:
        found = record.from_json(text or "")
    except (ValueError, TypeError, AttributeError):
        return None
    return found if found.digest == digest else None
