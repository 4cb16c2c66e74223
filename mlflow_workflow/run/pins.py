"""Pins: earlier results that the user names for a step, whatever their identity."""

import re
from pathlib import Path

from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.outputs import artifacts, manifest
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.server.earlier import earlier
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import ENTRY_POINT, STEP


def pinned_uri(pin: str, step: str) -> str:
    """What a pin names: a run id stands for that run's outputs of the step."""
    if re.fullmatch(r"[0-9a-f]{32}", pin):
        return f"runs:/{pin}/{step}"
    if match := re.fullmatch(r"runs:/([0-9a-f]{32})/?", pin):
        return f"runs:/{match[1]}/{step}"
    return pin


def whole_id(store: Store, pin: str) -> str:
    """The run's id, if the pin is the beginning of one as tables show it; else the pin as it is."""
    if not re.fullmatch(r"[0-9a-f]{6,31}", pin) or Path(pin).exists():
        return pin
    found = store.runs_beginning(pin)
    return found[0] if len(found) == 1 else pin


def pinned(store: Store, node: Node, into: Path) -> tuple[Outcome, Path]:
    """What stands for a pinned node, and its outputs as a local folder, which may be a copy in `into`.

    Raises:
        WorkflowError: as pinned_folder.
    """
    uri = pinned_uri(whole_id(store, str(node.pin)), node.step.name)
    folder, run_id = pinned_folder(store, uri, into)
    run = earlier(store.run(run_id)) if run_id else None
    outcome = Outcome(
        node=node.name,
        step=node.step.name,
        state=State.PINNED,
        reason=f"pinned to {uri}" + (f", though {run.unusable}" if run and run.unusable else ""),
        run_id=run_id,
        uri=uri,
        digest=manifest.digest_of(manifest.read_folder(folder)),
        earlier=run,
        metrics=run.metrics if run else {},
        models=run.models if run else (),
    )
    return outcome, folder


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
        made_by = store.run(match[1]).data.tags.get(STEP) if match else None
        hint = f" (that run is of step {made_by!r})" if made_by else ""
        raise WorkflowError(f"cannot use the pin {uri}{hint}: {error}") from None
    if not folder.is_dir():
        raise WorkflowError(f"cannot use the pin {uri}: there is no folder {folder}")
    return folder.resolve(), match and match[1]
