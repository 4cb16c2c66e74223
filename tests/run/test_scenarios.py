"""Whatever happens to a project, its plan is what its run then does, and nothing stale is reused.

Random changes on a real repository and a real store; the steps run in this process, and in a few
sequences in processes of their own.
"""

import json
import random
import shlex
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest

from mlflow_workflow.launch.calls import command_of
from mlflow_workflow.launch.engine import Job
from mlflow_workflow.project.parameters import step_values
from tests import in_process
from tests.conftest import Done, Project
from tests.in_process import environment_of, execute, quick_project, workflow_of

LENGTH = 20
STEPS = ("gather", "left", "right", "join", "shout")
PARAMETERS = {
    "factor": ("1", "2", "2.0", "3"),
    "limit": ("2", "10"),
    "text": ("plain", "other"),
    "mark": ("!", "?"),
    "match": ("commit", "commit", "code"),
}
FORMULAS = ("number * factor", "number * factor + 1", "number - factor")
DATA = ("1\n2\n3\n", "1\n2\n4\n", "7\n")
Content = Mapping[str, bytes]


@dataclass
class Fresh:
    """What every step gives when it is executed afresh, by a store of its own."""

    store: Project
    known: dict[str, tuple[Path, Content]] = field(default_factory=dict)

    def results(self, project: Project, task: str, given: Mapping[str, str]) -> dict[str, Content]:
        """Step → its outputs. The same code, data and parameters are executed once only."""
        workflow = workflow_of((project.folder / "MLproject").read_text())
        overrides = {name: value for name, value in given.items() if name != "match"}
        values = step_values(workflow, overrides, [])
        made: dict[str, tuple[Path, Content]] = {}
        for name in workflow.order(task):
            step = workflow.steps[name]
            folders = {above: str(made[above][0]) for above in step.upstream}
            read = {above: made[above][1] for above in step.upstream}
            key = repr((name, values[name], content(project.folder), read))
            if key not in self.known:
                job = Job("fresh", step, {**values[name], **folders})
                words = shlex.split(command_of(job, project.folder.parent))
                self.known[key] = self.execute(project, name, words)
            made[name] = self.known[key]
        return {name: found for name, (_, found) in made.items()}

    def execute(self, project: Project, step: str, words: list[str]) -> tuple[Path, Content]:
        with environment_of(self.store):
            run = self.store.client.create_run("0", tags={"mlflow.project.entryPoint": step})
            assert execute(project.folder, words, run.info.run_id) == 0
        folder = self.store.outputs(run, step)
        return folder, content(folder)


def content(folder: Path) -> Content:
    """Every file that may matter to a step of the example, or that a step left."""
    inside = [folder / "steps", folder / "data"] if (folder / "steps").is_dir() else [folder]
    files = sorted(path for top in inside for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Fresh:
    return Fresh(quick_project(tmp_path_factory.mktemp("fresh") / "fresh", empty_store))


@dataclass
class Scenario:
    """A project to which one thing after another happens."""

    project: Project
    luck: random.Random
    given: dict[str, str] = field(default_factory=dict)
    rerun: str = ""
    commits: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)

    def happen(self) -> str:
        """Something happens; tells what, for the message of a failing test."""
        events: list[Callable[[], str]] = [
            *(self.set_parameter, self.set_parameter, self.set_parameter, self.edit_step),
            *(self.edit_helper, self.edit_readme, self.edit_data, self.commit, self.go_back),
            *(self.damage, self.damage, self.damage, self.ban_or_unban, self.force),
        ]
        return self.luck.choice(events)()

    def set_parameter(self) -> str:
        name = self.luck.choice(list(PARAMETERS))
        self.given[name] = self.luck.choice(PARAMETERS[name])
        return f"{name} = {self.given[name]}"

    def write(self, name: str, text: str) -> str:
        self.project.write(name, text)
        return f"{name} is written"

    def edit_step(self) -> str:
        text = (self.project.folder / "steps/left.py").read_text()
        line = next(line for line in text.splitlines() if "for number in found" in line)
        formula = next(formula for formula in FORMULAS if f"[{formula} for" in line)
        new = line.replace(f"[{formula} for", f"[{self.luck.choice(FORMULAS)} for")
        return self.write("steps/left.py", text.replace(line, new))

    def edit_helper(self) -> str:
        text = (self.project.folder / "steps/numbers.py").read_text()
        other = text.replace("# edited\n", "") if "# edited\n" in text else f"{text}# edited\n"
        return self.write("steps/numbers.py", other)

    def edit_readme(self) -> str:
        return self.write("README.md", self.luck.choice(("one", "two")))

    def edit_data(self) -> str:
        return self.write("data/a.txt", self.luck.choice(DATA))

    def commit(self) -> str:
        self.commits.append(self.project.commit())
        return f"commit {self.commits[-1][:7]}"

    def go_back(self) -> str:
        if not self.commits:
            return "nothing"
        to = self.luck.choice(self.commits)
        self.project.git("checkout", "--quiet", "--force", "--detach", to)
        return f"checkout of {to[:7]}"

    def some_run(self) -> mlflow.entities.Run | None:
        """One that stood for a step last time, so that what happens to it matters."""
        runs = list(stands_for(self.project).values())
        return self.luck.choice(runs) if runs else None

    def damage(self) -> str:
        run = self.some_run()
        files = content(self.project.outputs(run, run.data.tags["workflow.step"])) if run else {}
        if not run or not files:
            return "nothing"
        name = self.luck.choice(list(files))
        file = self.project.outputs(run, run.data.tags["workflow.step"]) / name
        how = self.luck.choice(("deleted", "shorter", "flipped", "flipped", "joined", "run deleted"))
        if how == "run deleted":
            self.project.client.delete_run(run.info.run_id)
        elif how == "deleted":
            file.unlink()
        elif how == "joined":
            file.with_name("extra").write_text("")
        elif how == "shorter" and files[name]:
            file.write_bytes(files[name][:-1])
        elif files[name]:
            file.write_bytes(bytes([files[name][0] ^ 1]) + files[name][1:])
        self.damaged.add(run.info.run_id)
        return f"{name} of run {run.info.run_id[:8]}: {how}"

    def ban_or_unban(self) -> str:
        run = self.some_run()
        if run is None:
            return "nothing"
        if "workflow.banned" in run.data.tags:
            self.project.client.delete_tag(run.info.run_id, "workflow.banned")
        else:
            self.project.client.set_tag(run.info.run_id, "workflow.banned", "bad luck")
        return f"ban or unban run {run.info.run_id[:8]}"

    def force(self) -> str:
        self.rerun = self.luck.choice(STEPS)
        return f"rerun of {self.rerun}"

    def arguments(self, task: str) -> list[str]:
        given = {**self.given, **({"rerun": self.rerun} if self.rerun else {})}
        return [task, *(word for name, value in given.items() for word in (f"--{name}", value))]


Main = Callable[..., Done]


def number_of_runs(project: Project) -> int:
    with closing(sqlite3.connect(project.uri.removeprefix("sqlite:///"))) as store:
        return int(store.execute("select count(*) from runs").fetchone()[0])


def stands_for(project: Project) -> dict[str, mlflow.entities.Run]:
    """Step → the run that the newest parent run names."""
    query, newest = "tags.workflow.task LIKE '%'", ["attributes.start_time DESC"]
    begin = "workflow.run."
    for parent in project.client.search_runs(["0"], query, order_by=newest, max_results=1):
        tags = {k.removeprefix(begin): v for k, v in parent.data.tags.items() if k.startswith(begin)}
        return {step: project.client.get_run(run_id) for step, run_id in tags.items()}
    return {}


def check(scenario: Scenario, task: str, main: Main, fresh: Fresh) -> None:
    """The plan is what the run then does; what stands for each step is what a fresh execution gives."""
    project, arguments = scenario.project, scenario.arguments(task)
    before = number_of_runs(project)
    planned = in_process.run(project, *arguments, "--dry_run", "true", "--plan_format", "json")
    assert planned.text.startswith("{"), planned.text
    plan = {row["step"]: row["state"] for row in json.loads(planned.text)["steps"]}
    assert planned.code == (0 if set(plan.values()) == {"reused"} else 10)
    assert number_of_runs(project) == before + 1  # the plan's own run

    done = main(*arguments)
    assert done.code == 0, done.text
    states = done.states()
    assert agrees(plan, states), (plan, states)

    stands = stands_for(project)
    for step, expected in fresh.results(project, task, scenario.given).items():
        run = stands[step]
        unread = states[step] == "reused" and step != task and run.info.run_id in scenario.damaged
        if not unread:  # nobody read it this time: the next who does will find the damage
            assert content(project.outputs(run, step)) == expected, step
    scenario.rerun = ""


def agrees(plan: Mapping[str, str], states: Mapping[str, str]) -> bool:
    """What depends on another step may become either."""
    words = {"run": {"ran"}, "reused": {"reused"}, "depends": {"ran", "reused"}}
    return plan.keys() == states.keys() and all(states[step] in words[plan[step]] for step in plan)


def play(scenario: Scenario, length: int, tasks: Sequence[str], main: Main, fresh: Fresh) -> None:
    """That many times: something happens, then the plan and the run of a task are checked."""
    story = []
    for _ in range(length):
        happened = [scenario.happen() for _ in range(scenario.luck.choice((1, 1, 2, 3)))]
        task = scenario.luck.choice(tasks)
        story.append(f"{', '.join(happened)} → {' '.join(scenario.arguments(task))}")
        try:
            check(scenario, task, main, fresh)
        except AssertionError as error:
            raise AssertionError("\n".join([*story, str(error)])) from error


MORE = [pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 10)]


@pytest.mark.parametrize("seed", [0, 1, *MORE])
def test_a_plan_is_what_the_run_does_and_nothing_stale_is_reused(
    seed: int, tmp_path: Path, empty_store: Path, fresh: Fresh
) -> None:
    project = quick_project(tmp_path / "project", empty_store)
    scenario = Scenario(project, random.Random(seed))
    play(scenario, LENGTH, STEPS, lambda *words: in_process.run(project, *words), fresh)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 102))
def test_so_it_is_with_processes_of_their_own(
    seed: int, tmp_path: Path, empty_store: Path, fresh: Fresh
) -> None:
    project = quick_project(tmp_path / "project", empty_store)
    play(Scenario(project, random.Random(seed)), 5, ("left", "gather"), project.main, fresh)
