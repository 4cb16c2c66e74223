"""The outputs of a run where they are stored: read the manifest, check them, hand them to a step."""

import tempfile
from pathlib import Path

import mlflow.artifacts
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.file_utils import local_file_uri_to_path

from workflow import manifest
from workflow.manifest import Manifest, Outputs


class Damaged(Exception):
    """Outputs that are not what they were; the message says how, to follow 'outputs of run x are'."""


def local_folder(uri: str) -> Path | None:
    """The folder that a file: URI or a plain path names; None for any other scheme."""
    if "://" in uri and not uri.startswith("file://"):
        return None
    return Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]


def read_manifest(outputs: Outputs) -> Manifest:
    """The manifest stored beside the outputs.

    Raises:
        Damaged: it is gone, unreadable, or not the one that was published.
    """
    try:
        found = manifest.from_json(read_text(outputs.artifact_uri, manifest.NAME))
    except (OSError, MlflowException):
        raise Damaged(f"gone: {manifest.NAME}") from None
    except ValueError as error:
        raise Damaged(f"unreadable: {error}") from None
    if outputs.digest and manifest.digest_of(found) != outputs.digest:
        raise Damaged(f"changed: {manifest.NAME}")
    return found


def read_text(artifact_uri: str, name: str) -> str:
    """The text of one artifact. Raises OSError or MlflowException if it is not there."""
    folder = local_folder(artifact_uri)
    if folder:
        return (folder / name).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as target:
        got = mlflow.artifacts.download_artifacts(f"{artifact_uri.rstrip('/')}/{name}", dst_path=target)
        return Path(got).read_text(encoding="utf-8")


def check_names(outputs: Outputs) -> Manifest:
    """The manifest, if the stored files have its names and sizes. Raises Damaged if not."""
    found = read_manifest(outputs)
    misfit = manifest.misfit(found, stored_sizes(outputs))
    if misfit:
        raise Damaged(misfit)
    return found


def stored_sizes(outputs: Outputs) -> dict[str, int]:
    """Path → size in bytes of every file in the outputs folder; none if there is no folder."""
    folder = local_folder(outputs.uri)
    if folder:
        return {name: path.stat().st_size for name, path in manifest.files_in(folder).items()}
    repository = get_artifact_repository(outputs.artifact_uri)
    sizes: dict[str, int] = {}
    waiting = [outputs.step]
    while waiting:
        for item in repository.list_artifacts(waiting.pop()):
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
    folder = local_folder(outputs.uri) or download(outputs.uri, into)
    misfit = manifest.content_misfit(found, folder)
    if misfit:
        raise Damaged(misfit)
    return folder


def download(uri: str, into: Path) -> Path:
    """The folder (or file) that a URI names, below `into`."""
    into.mkdir(parents=True, exist_ok=True)
    return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(into)))
