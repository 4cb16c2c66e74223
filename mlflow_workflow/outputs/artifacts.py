"""The outputs of a run where they are stored: read the manifest, check them, hand them to a step."""

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import mlflow.artifacts
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path

from mlflow_workflow.basics import files
from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.retries import persistently
from mlflow_workflow.outputs import manifest
from mlflow_workflow.outputs.manifest import Manifest, Outputs


class Damaged(Exception):
    """Outputs that are not what they were; the message says how, to follow 'outputs of run x are'.

    `lasting` is False where another machine may find them whole.
    """

    def __init__(self, how: str, lasting: bool = True) -> None:
        super().__init__(how)
        self.lasting = lasting


def local_folder(uri: str) -> Path | None:
    """The folder that a file: URI or a plain path names; None for any other scheme."""
    # Some have one slash only, as `mlflow-artifacts:/1`; a scheme of one letter is a Windows drive.
    scheme = re.match(r"([A-Za-z][\w+.-]+):/", uri)
    if scheme and scheme[1].lower() != "file":
        return None
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """A store that does not answer is no sign of damage: ends the workflow instead.

    Raises:
        WorkflowError: for any error of the store.
    """
    try:
        yield
    except (OSError, MlflowException) as error:
        raise WorkflowError(
            f"cannot read the artifacts in {without_credentials(uri)}: {error}"
        ) from None


def read_manifest(outputs: Outputs) -> Manifest:
    """The manifest stored beside the outputs.

    Raises:
        Damaged: it is gone, unreadable, or not the one that was published.
    """
    with reaching(outputs.artifact_uri):
        text = read_text(outputs.artifact_uri, manifest.NAME)
    if text is None:
        raise Damaged(f"gone: {manifest.NAME}", lasting=is_here(outputs.artifact_uri))
    try:
        found = manifest.from_json(text)
    except ValueError as error:
        raise Damaged(f"unreadable: {error}") from None
    if outputs.digest and manifest.digest_of(found) != outputs.digest:
        raise Damaged(f"changed: {manifest.NAME}")
    return found


def read_text(artifact_uri: str, name: str) -> str | None:
    """The text of an artifact at the root of a run; None if it is not there.

    A listing tells whether it is: what a missing file raises differs from store to store.
    """
    folder = local_folder(artifact_uri)
    if folder:
        there = (folder / name).is_file()
        return (folder / name).read_text(encoding="utf-8", errors="replace") if there else None
    root = persistently(get_artifact_repository(artifact_uri).list_artifacts)
    if name not in (item.path for item in root):
        return None
    with tempfile.TemporaryDirectory() as target:
        file = download(f"{artifact_uri.rstrip('/')}/{name}", Path(target))
        return file.read_text(encoding="utf-8", errors="replace")


def is_here(artifact_uri: str) -> bool:
    """Is the store there at all, so that what it lacks is lost?

    A folder of another machine's disk, or a disk that is not mounted, is not.
    """
    folder = local_folder(artifact_uri)
    return folder is None or folder.parent.parent.is_dir()


def check_names(outputs: Outputs) -> Manifest:
    """The manifest, if the stored files have its names and sizes. Raises Damaged if not."""
    found = read_manifest(outputs)
    with reaching(outputs.uri):
        misfit = manifest.misfit(found, stored_sizes(outputs))
    if misfit:
        raise Damaged(misfit)
    return found


def stored_sizes(outputs: Outputs) -> dict[str, int]:
    """Path → size in bytes of every file in the outputs folder; none if there is no folder."""
    folder = local_folder(outputs.uri)
    if folder:
        return {name: path.stat().st_size for name, path in files.files_in(folder).items()}
    repository = get_artifact_repository(outputs.artifact_uri)
    sizes: dict[str, int] = {}
    waiting = [outputs.step]
    while waiting:
        for item in persistently(partial(repository.list_artifacts, waiting.pop())):
            if item.is_dir:
                waiting.append(item.path)
            else:
                sizes[item.path.removeprefix(f"{outputs.step}/")] = int(item.file_size or 0)
    return sizes


def hand_over(outputs: Outputs, into: Path) -> Path:
    """The outputs as a local folder whose every byte was checked.

    The artifact folder itself if the store is a local disk, else a download into `into`.

    Raises:
        Damaged: they are not what the manifest says.
    """
    found = check_names(outputs)
    if not found:  # a step may leave nothing but metrics; a store keeps no empty folder
        into.mkdir(parents=True, exist_ok=True)
        return into
    with reaching(outputs.uri):
        folder = local_folder(outputs.uri) or download(outputs.uri, into)
        misfit = manifest.content_misfit(found, folder)
    if misfit:
        raise Damaged(misfit)
    return folder


def download(uri: str, into: Path) -> Path:
    """The folder (or file) that a URI names, below `into`. Raises OSError or MlflowException."""
    into.mkdir(parents=True, exist_ok=True)
    try:
        fetch = partial(mlflow.artifacts.download_artifacts, uri, dst_path=str(into))
        return Path(persistently(fetch))
    except (OSError, MlflowException):
        raise
    except Exception as error:  # every kind of store has a library with errors of its own
        raise OSError(f"MLflow cannot load from there ({type(error).__name__}: {error})") from error


def remove(outputs: Outputs) -> None:
    """Removes what a failed attempt left, so that the next one starts from nothing."""
    with suppress(OSError, MlflowException, NotImplementedError):
        repository = get_artifact_repository(outputs.artifact_uri)
        for path in (outputs.step, manifest.NAME):
            repository.delete_artifacts(path)  # type: ignore[no-untyped-call]


def fetch_data(uris: Iterable[str], folder: Path) -> dict[str, Path]:
    """Data that parameters name by URI, as local copies: its content counts like any other.

    Raises:
        WorkflowError: it cannot be had.
    """
    fetched = {}
    for number, uri in enumerate(sorted(uris)):
        try:
            fetched[uri] = download(uri, folder / f"data {number}")
        except (OSError, MlflowException) as error:
            raise WorkflowError(f"cannot fetch {without_credentials(uri)}: {error}") from None
    return fetched
