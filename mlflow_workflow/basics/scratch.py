"""The temporary folder of one invocation: logs, downloads, and the temporary files of its steps."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlflow_workflow.basics.processes import owner, owner_is_gone

PREFIX = "workflow-"
OWNER_FILE = "owner"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is removed at the end; by the next invocation, if this process is killed."""
    remove_orphans(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / OWNER_FILE).write_text(owner())
        yield folder


def remove_orphans(place: Path) -> None:
    """Removes the folders of invocations that are certain to be dead. Nobody else's can be."""
    for folder in place.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if owner_is_gone((folder / OWNER_FILE).read_text()):
                shutil.rmtree(folder, ignore_errors=True)
