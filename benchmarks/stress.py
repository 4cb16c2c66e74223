"""Stress: many workflow runs at once, killed at random; nothing wrong is reused or left RUNNING.

    python -m benchmarks.stress --runs 200 --seed 0

Every run is a real `python main.py` on the tests' small project, with few different parameters, so
that runs meet: they wait for each other, take over from the dead, and reuse. Some are killed at a random
moment (the orchestrator, or one of its steps; SIGKILL, SIGTERM or SIGINT). At the end one more
orchestrator, which nobody kills, asks for everything. Ends with exit code 1 if anything is wrong.
"""

import contextlib
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import Project, new_project
from tests.started import Started, left_open, starting

NUMBERS = 40
LONGEST = 180.0
"""Seconds after which a run that does not end counts as a hang, and is ended."""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Figures:
    """What happened, counted by name."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, more: int = 1) -> None:
        """Counts one more of it."""
        with self.lock:
            self.counts[name] += more

    def accuse(self, what: str) -> None:
        """Keeps what must not be."""
        with self.lock:
            self.wrong.append(what)


@dataclass(frozen=True)
class Attack:
    """What one run asks for, and when and how it is killed (never, if `after` is None)."""

    index: int
    arguments: tuple[str, ...]
    after: float | None
    number: signal.Signals
    aims_at_step: bool


def attacks(runs: int, seed: int, share: float) -> list[Attack]:
    chance = random.Random(seed)
    found = []
    for index in range(runs):
        wanted = ["--number", str(chance.randrange(NUMBERS))]
        if chance.random() < 0.2:
            wanted = ["--sweep", f"{{number: {sorted(chance.sample(range(NUMBERS), 2))}}}"]
        if chance.random() < 0.2:
            wanted += ["--rerun", "hold"]
        after = chance.uniform(0.5, 15.0) if chance.random() < share else None
        how = chance.choice(SIGNALS)
        found.append(Attack(index, ("hold", *wanted), after, how, chance.random() < 0.3))
    return found


def run_one(project: Project, attack: Attack, figures: Figures) -> None:
    with starting(project, *attack.arguments, name=f"run{attack.index}") as one:
        if attack.after is not None:
            strike(one, attack, figures)
        try:
            done = one.wait(LONGEST)
        except subprocess.TimeoutExpired:
            figures.accuse(f"run {attack.index} hangs: {one.text[-500:]}")
            return
        figures.count(f"exit code {done.code}")
        figures.count("waited for another", "waits for run" in done.text)
        figures.count("took over from a dead one", "died" in done.text)
        # Of Ctrl-C in the first moment, before main begins, Python itself tells in this way.
        traceback = "Traceback" in done.text and "KeyboardInterrupt" not in done.text
        if traceback or "locked" in done.text:
            figures.accuse(f"run {attack.index} printed an error: {done.text[-1500:]}")


def strike(one: Started, attack: Attack, figures: Figures) -> None:
    """Kills the orchestrator, or a process below it if there is one."""
    seconds = attack.after or 0
    with contextlib.suppress(psutil.Error):
        if attack.aims_at_step:
            while one.process.poll() is None and not one.family()[1:]:
                time.sleep(0.05)
            seconds = seconds / 5
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(seconds)
            return
        victims = one.family()
        aimed = victims[1:] if attack.aims_at_step and victims[1:] else victims[:1]
        random.Random(attack.index).choice(aimed).send_signal(attack.number)
        figures.count(f"{attack.number.name} to {'a step' if aimed != victims[:1] else 'main'}")


def judge(project: Project, figures: Figures) -> None:
    """What the store holds at the end."""
    runs = all_runs(project.client)
    published = [run for run in runs if "workflow.published" in run.data.tags]
    figures.count("child runs", sum("workflow.step" in run.data.tags for run in runs))
    figures.count("published", len(published))
    for run in published:
        complain = wrong_outputs(project, run)
        if complain or run.info.status != "FINISHED":
            figures.accuse(f"published run {run.info.run_id} is {run.info.status}: {complain}")
    for run_id in left_open(project):
        figures.accuse(f"run {run_id} is left RUNNING")
    for run in runs:
        if "workflow.owner" in run.data.tags:
            figures.accuse(f"run {run.info.run_id} is still owned")
        for key, run_id in run.data.tags.items():
            if key.startswith("workflow.run.") and run.info.status == "FINISHED":
                check_reuse(key, run_id, {r.info.run_id for r in published}, figures)


def check_reuse(key: str, run_id: str, published: set[str], figures: Figures) -> None:
    """A finished workflow stands on published runs only."""
    figures.count("steps of finished workflows")
    if run_id not in published:
        figures.accuse(f"{key} stands on run {run_id}, which was never published")


def wrong_outputs(project: Project, run: Run) -> str | None:
    """What is wrong with a published run's outputs; the parameters say what they must be."""
    step = run.data.tags["workflow.step"]
    made = {f.name: f.read_text() for f in project.outputs(run, step).iterdir()}
    number = run.data.params.get("number")
    right = {"base.txt": "base\n"} if step == "base" else {"number.txt": f"base\n{number} {{}}\n"}
    return None if made == right else f"{made} instead of {right}"


def all_runs(client: MlflowClient) -> list[Run]:
    found, token = [], None
    while token != "":
        page = client.search_runs(["0"], max_results=1_000, page_token=token)
        found += page
        token = page.token or ""
    return found


def stress(project: Project, runs: int, seed: int, share: float, together: int) -> Figures:
    figures = Figures()
    with ThreadPoolExecutor(together) as pool:
        for attack in attacks(runs, seed, share):
            pool.submit(run_one, project, attack, figures)
    last = project.main("--sweep", f"{{number: {list(range(NUMBERS))}}}")
    if last.code:
        figures.accuse(f"the last orchestrator failed: {last.text}")
    judge(project, figures)
    return figures


@click.command(help=__doc__)
@click.option("--runs", default=200, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--killed", default=0.6, show_default=True, help="The share of runs that are killed.")
@click.option("--together", default=6, show_default=True, help="How many run at the same time.")
def main(runs: int, seed: int, killed: float, together: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="stress-"))
    try:
        empty = folder / "empty.db"
        MlflowClient(f"sqlite:///{empty}").search_experiments()
        begin = time.monotonic()
        figures = stress(new_project(folder / "project", empty, "relay"), runs, seed, killed, together)
        click.echo(f"{runs} workflow runs, seed {seed}, {time.monotonic() - begin:.0f} s")
        for name, count in sorted(figures.counts.items()):
            click.echo(f"{count:6}  {name}")
        click.echo(f"{len(figures.wrong):6}  wrong")
        for what in figures.wrong:
            click.echo(f"        {what}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise SystemExit(bool(figures.wrong))


if __name__ == "__main__":
    main()
