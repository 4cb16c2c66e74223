"""Can be held while it computes, and be slow in its upload. Reads: base.txt. Writes: number.txt.

The environment variable GATE is a folder: the step tells there that it computes, with the process
ids of itself and of a child process, and goes on once there is a file `go`. What is in the
environment is no part of a step's identity, so a run that is not held is the same run.
"""

import os
import resource
import subprocess
import time
from pathlib import Path

import click
import mlflow
import yaml

from mlflow_workflow.step import step


def hold(gate: Path) -> None:
    child = subprocess.Popen(["sleep", "100"])
    (gate / "new").write_text(f"{os.getpid()} {child.pid}")
    (gate / "new").rename(gate / "computes")
    while not (gate / "go").exists():
        if child.poll() is not None:
            raise ChildProcessError("the child process is gone")
        time.sleep(0.02)
    if "CHILD_STAYS" not in os.environ:
        child.kill()


def fill_disk(file: Path, late: bool) -> None:
    """The disk is full (no file may grow larger): while the outputs are written, or only after that."""
    if not late:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    file.write_bytes(os.urandom(3_000_000))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))


@click.command(help=__doc__)
@click.option("--base", required=True, type=click.Path(path_type=Path))
@click.option("--number", required=True, type=int)
@click.option("--options", required=True)
def main(base: Path, number: int, options: str) -> None:
    gate = os.environ.get("GATE")
    with step() as outputs:
        if gate:
            hold(Path(gate))
        if "CRAMPED" in os.environ:
            fill_disk(outputs / "more.bin", late=number % 2 == 0)
        for index in range(int(os.environ.get("FILES", "0"))):
            (outputs / f"{index}.txt").write_text("more\n")
        if number < 0:
            raise ValueError("this number is below zero")
        mlflow.log_metric("score", 10 * number + float(yaml.safe_load(options).get("alpha", 0)))
        (outputs / "number.txt").write_text((base / "base.txt").read_text() + f"{number} {options}\n")


if __name__ == "__main__":
    main()
