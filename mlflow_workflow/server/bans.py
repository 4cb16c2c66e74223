"""Runs that people take out of use, and put back."""

from mlflow import MlflowClient, get_tracking_uri, search_runs
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.server.tags import BANNED, UNUSABLE

WHOLE = 32
"""Hex digits of a run's id; tables show the first eight, which find it too."""


def ban(digits: str, why: str) -> str:
    """Has a run never be reused again; returns its whole id. Raises WorkflowError as find."""
    run_id = find(digits)
    MlflowClient().set_tag(run_id, BANNED, why)
    return run_id


def unban(digits: str) -> str:
    """Lets a run be reused again if its outputs are whole; returns its whole id.

    Raises:
        WorkflowError: as find.
    """
    run_id, client = find(digits), MlflowClient()
    for key in {BANNED, UNUSABLE} & set(client.get_run(run_id).data.tags):
        client.delete_tag(run_id, key)
    return run_id


def find(digits: str) -> str:
    """The whole id of the one run that begins so. Raises WorkflowError if there is none, or are more."""
    try:
        found = beginning(digits) if digits.isalnum() and len(digits) < WHOLE else [digits]
        if len(found) != 1:
            raise WorkflowError(f"{len(found) or 'no'} runs begin with {digits!r}")
        return str(MlflowClient().get_run(found[0]).info.run_id)
    except MlflowException as error:
        where = f"the store {without_credentials(get_tracking_uri())}"
        raise WorkflowError(f"no run {digits!r} in {where}: {error.message}") from None


def beginning(digits: str) -> list[str]:
    """The ids of all runs of the store that begin with these digits."""
    query = f"attributes.run_id LIKE '{digits}%'"
    found = search_runs(search_all_experiments=True, filter_string=query, output_format="list")
    return [run.info.run_id for run in found if isinstance(run, Run)]
