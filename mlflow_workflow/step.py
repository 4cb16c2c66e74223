"""The little that a step imports: a run to log to, and a folder to write its outputs in.

    with step() as outputs:
        (outputs / "result.csv").write_text(…)

A step in another language runs under it: `python -m mlflow_workflow.step -- <command>`, which finds the
outputs folder in the environment variable WORKFLOW_OUTPUTS.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow

from mlflow_workflow.outputs import manifest

OUTPUTS_VARIABLE = "WORKFLOW_OUTPUTS"
ENTRY_POINT = "mlflow.project.entryPoint"


@contextmanager
def step() -> Iterator[Path]:
    """Resumes the run that MLflow set up (or starts one) and gives an empty folder for the outputs.

    On a clean exit the folder becomes the run's artifact folder named after the step, and its
    manifest is logged last: outputs without a manifest were never finished. On an exception nothing
    is logged and the run ends FAILED.
    """
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory(prefix="outputs-") as folder, mlflow.start_run() as run:
        yield Path(folder)
        now = client.get_run(run.info.run_id)
        if now.info.status not in ("RUNNING", "FINISHED"):
            raise ChildProcessError(f"the step ended its own run as {now.info.status}")
        name = now.data.tags.get(ENTRY_POINT) or Path(sys.argv[0]).stem
        client.log_artifacts(run.info.run_id, folder, artifact_path=name)
        made = manifest.to_json(manifest.read_folder(Path(folder)))
        client.log_text(run.info.run_id, made, manifest.NAME)


def main(arguments: list[str]) -> int:
    """Runs a command with an outputs folder; returns its exit code."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print("usage: python -m mlflow_workflow.step -- <command>", file=sys.stderr)
        return 2
    code = 1
    try:
        with step() as outputs:
            environment = {**os.environ, OUTPUTS_VARIABLE: str(outputs)}
            code = subprocess.run(command, env=environment, check=False).returncode
            if code:
                raise ChildProcessError(f"{command[0]} ended with exit code {code}")
    except ChildProcessError as error:
        print(error, file=sys.stderr)
        code = code or 1
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
