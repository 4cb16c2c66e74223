"""`python -m benchmarks`: what reuse costs and saves, as ratios to plain MLflow of the same run.

Works on a copy of the committed project in a temporary folder. Takes about ten minutes.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.data import data_costs
from benchmarks.process import Comparison, Cost, alternate, run

ROOT = Path(__file__).parent.parent
PARTS = ("reuse", "data", "lookup")
PLAIN = "import mlflow; mlflow.start_run()"


def main(words: list[str]) -> int:
    """Prints the table; exit code 1 if a ratio is above what we promise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; all if none is named")
    parts = parser.parse_args(words).only or PARTS
    kept = True
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        project = clone(folder / "project")
        for row in compared(folder, project, parts):
            print(row.row(), flush=True)
            kept &= row.ratio <= row.most
    if "lookup" in parts:
        kept &= looked_up()
    return 0 if kept else 1


def looked_up() -> bool:
    """Prints the times of look-ups; are they within what we promise?"""
    from benchmarks.lookup import lookup_times

    times = lookup_times()
    for label, (milliseconds, most) in times.items():
        print(f"{label:44}  {milliseconds:8.2f} ms   (at most {most:,} ms)")
    return all(milliseconds <= most for milliseconds, most in times.values())


def compared(folder: Path, project: Path, parts: Sequence[str]) -> Iterator[Comparison]:
    """The parts that compare processes."""
    if "reuse" in parts:
        shutil.copytree(ROOT / "benchmarks" / "multistep", folder / "multistep")
        yield from warm(folder, project)
        yield cold(folder, project)
    if "data" in parts:
        yield from data_costs(folder, project)


def clone(target: Path) -> Path:
    """A clean clone of what is committed."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    return target


def warm(folder: Path, project: Path) -> list[Comparison]:
    """Everything is reused: what the look-ups cost on top of MLflow itself."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'warm.db'}"}

    def mlflow_run(where: Path, *more: str) -> Cost:
        return run(["mlflow", "run", ".", "--env-manager", "local", *more], where, store)

    def python(where: Path, *arguments: str) -> Cost:
        return run([sys.executable, *arguments], where, store)

    def reused(cost: Cost) -> Cost:
        if cost.printed.count(" reused ") != 3:
            raise RuntimeError(f"not everything was reused:\n{cost.printed}")
        return cost

    mlflow_run(project, "-P", "task=predict")
    ours, yardstick = alternate(
        lambda: reused(mlflow_run(project, "-P", "task=predict")),
        lambda: mlflow_run(folder / "multistep", "-e", "empty"),
    )
    own, plain = alternate(
        lambda: reused(python(project, "main.py", "predict")), lambda: python(folder, "-c", PLAIN)
    )
    return [
        Comparison("all reused, mlflow run", ours.seconds, yardstick.seconds, "s", 1.15),
        Comparison("all reused, python main.py", own.seconds, plain.seconds, "s", 1.25),
        Comparison("all reused, peak memory of main", own.memory, plain.memory, "MiB", 1.2),
    ]


def cold(folder: Path, project: Path) -> Comparison:
    """Three steps run, in a store whose tables exist: against MLflow's multistep way."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'cold.db'}"}
    command = ["mlflow", "run", ".", "--env-manager", "local"]

    def ours() -> Cost:
        name = {**store, "MLFLOW_EXPERIMENT_NAME": uuid.uuid4().hex}
        return run([*command, "-P", "task=predict"], project, name)

    def yardstick() -> Cost:
        name = {**store, "MLFLOW_EXPERIMENT_NAME": uuid.uuid4().hex}
        variables = {**name, "INPUT": str(project / "input")}
        return run(command, folder / "multistep", variables)

    one, other = alternate(ours, yardstick)
    return Comparison("all three steps run, mlflow run", one.seconds, other.seconds, "s", 0.65)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
