"""Pins: earlier results that the user names for a step, whatever their identity."""

import re
from pathlib import Path

from mlflow.exceptions import MlflowException

from workflow import artifacts
from workflow.artifacts import Damaged
from workflow.errors import WorkflowError
from workflow.manifest import Outputs
from workflow.store import Store
from workflow.tags import ENTRY_POINT


def pinned_uri(pin: str, step: str) -> str:
    """What a pin names: a run id stands for that run's outputs of the step."""
    if re.fullmatch(r"[0-9a-f]{32}", pin):
        return f"runs:/{pin}/{step}"
    if match := re.fullmatch(r"runs:/([0-9a-f]{32})/?", pin):
        return f"runs:/{match[1]}/{step}"
    return pin


def pinned_folder(store: Store, uri: str, into: Path) -> tuple[Path, str | None]:
    """The outputs that a pin names as a local folder, and their run if they are a run's.

    Raises:
        WorkflowError: nothing is there, or it is not what the run's manifest says.
    """
    match = re.fullmatch(r"runs:/([0-9a-f]{32})/(.+)", uri)
    try:
        if match and store.run(match[1]).data.tags.get(ENTRY_POINT) == match[2].strip("/"):
            root = store.run(match[1]).info.artifact_uri
            return artifacts.hand_over(Outputs(root, match[2].strip("/")), into), match[1]
        folder = artifacts.local_folder(uri) or artifacts.download(uri, into)
    except Damaged as error:
        raise WorkflowError(f"cannot use the pin {uri}: its outputs are {error}") from None
    except (OSError, MlflowException) as error:
        raise WorkflowError(f"cannot use the pin {uri}: {error}") from None
    if not folder.is_dir():
        raise WorkflowError(f"cannot use the pin {uri}: there is no folder {folder}")
    return folder.resolve(), match and match[1]
