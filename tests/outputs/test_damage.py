"""Outputs that are not what they were are never read, never reused, and always named.

Real git, real store, real files; the steps run in this process.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.entities import Run

from mlflow_workflow.basics.files import sha256_of
from mlflow_workflow.outputs import artifacts
from mlflow_workflow.outputs.handover import HandOver
from mlflow_workflow.outputs.manifest import Output, Outputs, from_json, to_json
from tests.conftest import Project, unlistable
from tests.in_process import quick_project, run

FILE, MANIFEST = "left.txt", "manifest.json"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """The example, with everything done once."""
    project = quick_project(tmp_path_factory.mktemp("damage") / "project", empty_store)
    assert run(project).code == 0
    return project


def outputs(project: Project, run: Run) -> Path:
    return project.outputs(run, run.data.tags["workflow.step"])


def delete_all(project: Project, run: Run) -> None:
    shutil.rmtree(outputs(project, run).parent)


def delete_one(project: Project, run: Run) -> None:
    (outputs(project, run) / FILE).unlink()


def truncate(project: Project, run: Run) -> None:
    file = outputs(project, run) / FILE
    file.write_bytes(file.read_bytes()[:-1])


def flip_one_byte(project: Project, run: Run) -> None:
    file = outputs(project, run) / FILE
    data = file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def add_a_file(project: Project, run: Run) -> None:
    (outputs(project, run) / "extra.txt").write_text("")


def delete_run(project: Project, run: Run) -> None:
    project.client.delete_run(run.info.run_id)


def delete_parent(project: Project, run: Run) -> None:
    project.client.delete_run(run.data.tags["mlflow.parentRunId"])


DAMAGES: dict[str, tuple[Callable[[Project, Run], None], str]] = {
    "delete all": (delete_all, f"outputs of run {{}} are gone: {MANIFEST}"),
    "delete one": (delete_one, f"outputs of run {{}} are gone: {FILE}"),
    "truncate": (truncate, f"outputs of run {{}} are of another size: {FILE}"),
    "flip one byte": (flip_one_byte, f"outputs of run {{}} are changed: {FILE}"),
    "add a file": (add_a_file, "outputs of run {} are not theirs: extra.txt"),
    "delete the run": (delete_run, "run {} was deleted"),
    "delete the run's parent": (delete_parent, ""),
}
# What is asked for before the damage to `left`, and what afterwards.
PLACES = {
    "is the target": ("left", "left"),
    "is upstream of something that runs": ("left", "join"),
    "is upstream of something reused": ("join", "join"),
}
CELLS = [(damage, place) for damage in DAMAGES for place in PLACES]


def is_unread(damage: str, place: str) -> bool:
    """Nobody reads, so nobody misses, what is above something whole: its digest is on the run."""
    found_out = damage.startswith("delete the run") or damage == "delete all"  # with the record
    return not found_out and place == "is upstream of something reused"


def expected(damage: str, place: str) -> dict[str, str]:
    """Step → state."""
    whole = damage == "delete the run's parent" or is_unread(damage, place)
    states = {"gather": "reused", "left": "reused" if whole else "ran"}
    if place == "is upstream of something that runs":
        states |= {"right": "reused", "join": "ran"}
    if place == "is upstream of something reused":
        states |= {"right": "reused", "join": "reused"}
    return states


@pytest.mark.parametrize(("number", "damage", "place"), [(i, *cell) for i, cell in enumerate(CELLS)])
def test_damage_matrix(project: Project, number: int, damage: str, place: str) -> None:
    before, task = PLACES[place]
    factor = f"{number + 3}.5"  # every cell has runs of its own
    assert run(project, before, "--factor", factor).code == 0
    left = project.children("left")[0]
    act, reason = DAMAGES[damage]
    act(project, left)

    states = expected(damage, place)
    plan = run(project, task, "--factor", factor, "--dry_run", "true").states()
    done = run(project, task, "--factor", factor)

    assert done.states() == states, done.text
    assert agrees(plan, states), plan
    newest = project.children("left")[0]
    if states["left"] == "ran":
        assert newest.data.tags["workflow.why"] == reason.format(left.info.run_id[:8])
    if reason.startswith("outputs") and states["left"] == "ran":
        tag = project.client.get_run(left.info.run_id).data.tags["workflow.unusable"]
        assert reason.endswith(tag)
    check_results(
        project, set(states) - ({"left"} if is_unread(damage, place) else set()), float(factor)
    )


def agrees(plan: dict[str, str], states: dict[str, str]) -> bool:
    """Does a plan say what became? What depends on another step may become either."""
    words = {"run": {"ran"}, "reused": {"reused"}, "depends": {"ran", "reused"}}
    return plan.keys() == states.keys() and all(states[s] in words[plan[s]] for s in plan)


def check_results(project: Project, steps: Iterable[str], factor: float) -> None:
    """What stands for these steps is what they must give."""
    parent = project.parents()[0]
    numbers = [1, 2, 3, 4, 5]
    texts = {FILE: "".join(f"{n * factor:g}\n" for n in numbers)}
    texts["sum.txt"] = f"{sum(numbers) * factor + 5:g}\n"
    for step, name in (("left", FILE), ("join", "sum.txt")):
        if step in steps:
            stands = project.client.get_run(parent.data.tags[f"workflow.run.{step}"])
            file = project.outputs(stands, step) / name
            assert file.read_text() == texts[name]


def test_the_next_older_equal_run_is_reused_and_when_none_is_left_the_step_runs(
    project: Project,
) -> None:
    settings = ("left", "--factor", "1000")
    run(project, *settings)
    run(project, *settings, "--rerun", "left")
    newer, older = project.children("left")[:2]
    truncate(project, newer)
    assert older.info.run_id[:8] in run(project, *settings).line("left")
    delete_one(project, older)
    assert run(project, *settings).states()["left"] == "ran"
    why = project.children("left")[0].data.tags["workflow.why"]
    assert newer.info.run_id[:8] in why and older.info.run_id[:8] in why


def test_a_manifest_that_was_changed_with_the_file_is_found_out(project: Project) -> None:
    run(project, "left", "--factor", "1001")
    left = project.children("left")[0]
    flip_one_byte(project, left)
    file = outputs(project, left) / FILE
    manifest = outputs(project, left).parent / MANIFEST
    forged = {**from_json(manifest.read_text()), FILE: Output(file.stat().st_size, sha256_of(file))}
    manifest.write_text(to_json(forged))
    assert run(project, "left", "--factor", "1001").states()["left"] == "ran"
    assert project.children("left")[0].data.tags["workflow.why"].endswith(f"are changed: {MANIFEST}")


@pytest.mark.parametrize("text", ["", "no json", json.dumps({"../../x": {"size": 1, "sha256": ""}})])
def test_a_manifest_that_cannot_be_read_is_no_crash(project: Project, text: str) -> None:
    run(project, "left", "--factor", "1002")
    left = project.children("left")[0]
    (outputs(project, left).parent / MANIFEST).write_text(text)
    done = run(project, "left", "--factor", "1002")
    assert (done.code, done.states()["left"]) == (0, "ran")


def test_a_damaged_step_that_two_others_read_runs_once(project: Project) -> None:
    file = outputs(project, project.children("gather")[0]) / "numbers.txt"
    file.write_bytes(b"9" + file.read_bytes()[1:])
    before = len(project.children("gather"))
    done = run(project, "join", "--factor", "1003", "--text", "new")
    assert done.states() == dict.fromkeys(("gather", "left", "right", "join"), "ran")
    assert len(project.children("gather")) == before + 1
    check_results(project, done.states(), 1003)


def test_several_damages_at_once_are_all_healed(project: Project) -> None:
    run(project, "--factor", "1004")
    for step in ("gather", "left", "join", "shout"):
        shutil.rmtree(outputs(project, project.children(step)[0]))
    done = run(project, "--factor", "1004")
    states = dict.fromkeys(("gather", "left", "join", "shout"), "ran")
    assert done.states() == {**states, "right": "reused"}
    check_results(project, done.states(), 1004)


@pytest.mark.parametrize("wrote", ["numbers.txt", "more.txt"])
def test_a_step_that_writes_into_what_it_reads_spoils_no_other(
    tmp_path: Path, empty_store: Path, wrote: str
) -> None:
    project = quick_project(tmp_path / "project", empty_store)
    last = '        (outputs / "text.txt")'
    project.edit("steps/right.py", last, f'        (gather / "{wrote}").write_text("666\\n")\n{last}')
    project.commit()
    first = run(project, "join", "--jobs", "1", "--match", "code")
    (right,) = [row for row in first.text.splitlines() if row.startswith("right  ")]
    assert "written to while it ran" in right
    if first.code:  # something read it after that
        assert "cannot read the outputs of gather, which were written to since: " in first.text
    assert len(project.children("gather")) == 1, "what was spoilt is not made again and again"
    run(project, "left", "--jobs", "1", "--match", "code")
    made = [project.outputs(each, "left") / "left.txt" for each in project.children("left")]
    assert {file.read_text() for file in made if file.exists()} == {"2\n4\n6\n8\n10\n"}


def test_of_two_steps_that_read_the_same_outputs_one_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Path] = []

    def fetch(_outputs: Outputs, into: Path) -> Path:
        fetched.append(into)
        time.sleep(0.2)
        (into / "a.txt").write_text("1")
        return into

    monkeypatch.setattr(artifacts, "hand_over", fetch)
    handover, outputs = HandOver(tmp_path), Outputs("http://server/1", "gather")
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: handover.over("runs:/1/gather", outputs), range(8)))
    assert [*folders] == fetched
    (fetched[0] / "a.txt").write_text("22")
    assert handover.touched(["runs:/1/gather"])
    assert handover.over("runs:/1/gather", outputs) == fetched[1]


def test_outputs_that_cannot_be_read_now_end_the_workflow_and_are_reused_when_they_can(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, "left", "--factor", "1005")
    left = project.children("left")[0]
    with unlistable(outputs(project, left), monkeypatch):
        done = run(project, "left", "--factor", "1005")
    assert (done.code, "cannot read the artifacts in " in done.text) == (2, True), done.text
    assert run(project, "left", "--factor", "1005").states()["left"] == "reused"
