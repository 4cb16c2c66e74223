"""What a node of the graph costs: a lattice of steps and a sweep, planned with all, or nothing, done.

    python -m benchmarks.graph

Prints seconds of a dry run, processor seconds in all and per node. Steps run in this process.
"""

import shutil
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

from tests import in_process
from tests.conftest import (
    EXAMPLE,
    Project,
    begin_repository,
    copy_own_files,
    keep_artifacts_in,
    new_project,
)

WIDE, READS = 10, 3
"""Of the lattice: steps in a layer, and how many of the layer above each reads."""
STEP = """
import sys

from mlflow_workflow.step import step

with step() as outputs:
    (outputs / "words.txt").write_text(" ".join(sys.argv[1:]))
"""


def main() -> None:
    """Prints a row for every size."""
    with tempfile.TemporaryDirectory(prefix="graph-") as name:
        folder = Path(name)
        MlflowClient(f"sqlite:///{folder / 'empty.db'}").search_experiments()
        for layers in (2, 20):
            project = lattice(folder / f"lattice{layers}", folder / "empty.db", layers)
            done(project)
            row(f"lattice of {layers * WIDE + 1} steps, all done", layers * WIDE + 1, project)
        project = new_project(folder / "sweep" / "project", folder / "empty.db")
        done(project, "left")
        values = ", ".join(str(number / 10) for number in range(1_000))
        row("sweep of 1,000, not done", 1_000, project, "left", "--sweep", f"{{factor: [{values}]}}")


def done(project: Project, *arguments: str) -> None:
    """Executes what will be planned."""
    ended = in_process.run(project, *arguments)
    if ended.code:
        raise RuntimeError(ended.text)


def row(what: str, nodes: int, project: Project, *arguments: str) -> None:
    """Plans twice, as the first time imports more, and prints what the second took."""
    for _ in range(2):
        began, cpu = time.perf_counter(), time.process_time()
        in_process.run(project, *arguments, "--dry_run", "true")
        seconds, processor = time.perf_counter() - began, time.process_time() - cpu
    print(f"{what:34} {seconds:6.2f} s {processor:6.2f} CPU-s {1000 * processor / nodes:6.2f} ms a node")


def lattice(folder: Path, empty: Path, layers: int) -> Project:
    """A project of so many layers, with a store of its own."""
    project = folder / "project"
    (project / "steps").mkdir(parents=True)
    copy_own_files(project, only=("mlflow_workflow/", "main.py", ".gitignore"))
    shutil.copy(EXAMPLE / "python_env.yaml", project)
    (project / "steps" / "node.py").write_text(STEP)
    main_entry = (EXAMPLE / "MLproject").read_text().partition("  gather:")[0]
    text = main_entry.replace("default: shout", "default: last")
    for layer in range(layers):
        for place in range(WIDE):
            above = [f"s{layer - 1}x{(place + k) % WIDE}" for k in range(READS)] if layer else []
            text += entry(f"s{layer}x{place}", above)
    text += entry("last", [f"s{layers - 1}x{place}" for place in range(WIDE)])
    (project / "MLproject").write_text(text)
    begin_repository(project)
    shutil.copy(empty, folder / "store.db")
    keep_artifacts_in(folder / "artifacts", folder / "store.db")
    return Project(project, f"sqlite:///{folder / 'store.db'}")


def entry(name: str, upstream: list[str]) -> str:
    """A step of MLproject that reads others."""
    read = "".join(f"      {above}: path\n" for above in upstream)
    words = " ".join(f"--{above} {{{above}}}" for above in upstream)
    own = f"      number: {{type: string, default: {name}}}\n"
    command = f"python -m steps.node --number {{number}} {words}".strip()
    return f'  {name}:\n    parameters:\n{read}{own}    command: "{command}"\n'


if __name__ == "__main__":
    main()
