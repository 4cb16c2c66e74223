"""Before anything runs, the user is told what will, and why: against the nearest earlier run.

Real git, real store; the steps run in this process.
"""

import json
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from mlflow_workflow.identity.fingerprint import Summary, differences
from mlflow_workflow.run.explain import in_words
from mlflow_workflow.server import lookup
from mlflow_workflow.server.store import Store
from tests.conftest import Project
from tests.in_process import quick_project, run

STEPS = ("gather", "left", "right", "join", "shout")
KINDS = ("command", "parameters", "code", "data", "upstream", "environment")


@pytest.fixture
def done_once(tmp_path: Path, empty_store: Path) -> Project:
    """The example, with everything done once."""
    project = quick_project(tmp_path / "project", empty_store)
    assert run(project).code == 0
    return project


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    """As `done_once`, for tests that leave it as it is."""
    project = quick_project(tmp_path_factory.mktemp("explain") / "project", empty_store)
    assert run(project).code == 0
    return project


def why(project: Project, step: str) -> str:
    """The reason that the newest run of a step bears."""
    return str(project.children(step)[0].data.tags["workflow.why"])


# -- differences in words


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("parameters", {"alpha": 0.5}, {"alpha": 0.7}, "alpha 0.5 → 0.7"),
        ("parameters", {"text": "a b"}, {"text": ""}, 'text "a b" → ""'),
        ("parameters", {"text": "a\nb"}, {"text": "c"}, 'text "a\\nb" → c'),
        ("parameters", {}, {"alpha": 1}, "alpha is new (1)"),
        ("parameters", {"alpha": 1}, {}, "alpha is gone"),
        (
            "environment",
            {"scikit-learn": "1.8.0"},
            {"scikit-learn": "1.9.1"},
            "scikit-learn 1.8.0 → 1.9.1",
        ),
        ("code", {"steps/features.py": "1"}, {"steps/features.py": "2"}, "steps/features.py changed"),
        ("code", {}, {"steps/features.py": "2"}, "steps/features.py is new"),
        ("code", {"commit": "a" * 40}, {"commit": "b" * 40}, "commit aaaaaaa → bbbbbbb"),
        ("data", {"input/train.csv": "1"}, {"input/train.csv": "2"}, "input/train.csv changed"),
        ("data", {"input/train.csv": "1"}, {}, "input/train.csv is gone"),
        ("upstream", {"train": "1"}, {"train": "2"}, "outputs of train changed"),
        ("command", {"command": "1"}, {"command": "2"}, "command changed"),
        ("data", {"*": "1"}, {"a": "2"}, "data changed"),
    ],
)
def test_a_difference_is_told_in_words(kind: str, old: object, new: object, words: str) -> None:
    empty = {each: {} for each in KINDS}
    assert differences({**empty, kind: new}, {**empty, kind: old}) == [words]


def test_what_was_committed_is_told_by_the_commit_alone() -> None:
    empty: Summary = {each: {} for each in KINDS}
    edited = {"commit": "a" * 40, "change steps/a.py": "1"}
    assert differences({**empty, "code": {"commit": "b" * 40}}, {**empty, "code": edited}) == [
        "commit aaaaaaa → bbbbbbb"
    ]
    assert differences({**empty, "code": {"commit": "a" * 40}}, {**empty, "code": edited}) == [
        "steps/a.py is as committed again"
    ]


def test_a_step_without_earlier_runs_was_not_done_yet() -> None:
    assert in_words(None) == "not done yet"


# -- on the run itself


def test_the_first_run_of_a_step_says_that_it_was_not_done_yet(shared: Project) -> None:
    assert {why(shared, step) for step in STEPS} == {"not done yet"}


def test_every_ingredient_that_changed_is_named_with_its_step(done_once: Project) -> None:
    project = done_once
    first = {step: project.children(step)[0].info.run_id[:8] for step in STEPS}
    project.edit("data/a.txt", "3", "4")
    run(project, "--factor", "0.5")
    assert why(project, "gather").startswith(f"source/a.txt changed (nearest: run {first['gather']}, ")
    assert why(project, "left").startswith("factor 2.0 → 0.5, outputs of gather changed (nearest: ")
    assert why(project, "join").startswith("outputs of left changed (nearest: ")


def test_code_that_changed_is_named_and_so_is_a_forced_run(done_once: Project) -> None:
    project = done_once
    old = project.git("rev-parse", "HEAD")[:7]
    project.edit("steps/left.py", "number * factor", "number + factor")
    run(project, "left", "--match", "code")
    assert why(project, "left").startswith("steps/left.py changed (nearest: ")
    project.write("notes.txt", "read by nobody")
    new = project.commit()[:7]
    run(project, "right")
    said = why(project, "right")
    assert said.startswith("match=code reuses run ")
    assert said.endswith(f"ago): commit {old} → {new}")
    run(project, "right", "--rerun", "right")
    assert why(project, "right") == "forced by rerun"


def test_a_package_of_another_version_is_named(
    done_once: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = done_once
    site = project.folder.parent / "site"
    info = site / "click-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: click\nVersion: 0.1\n")
    before = version("click")
    monkeypatch.syspath_prepend(str(site))
    done = run(project, "gather")
    assert done.states() == {"gather": "ran"}
    assert why(project, "gather").startswith(f"click {before} → 0.1 (nearest: ")


def test_the_nearest_run_is_the_one_with_most_in_common_not_the_newest(done_once: Project) -> None:
    project = done_once
    near = project.children("right")[0].info.run_id[:8]
    project.write("data/a.txt", "8\n9\n")
    run(project, "right", "--text", "far", "--options", "{a: 1}")
    project.git("checkout", "--quiet", "data")
    run(project, "right", "--text", "new")
    assert why(project, "right").startswith(f"text plain → new (nearest: run {near}, ")


def test_of_two_runs_that_differ_in_several_ingredients_the_one_with_most_in_common_is_nearest(
    done_once: Project,
) -> None:
    project = done_once
    names = [f"data/{letter}.txt" for letter in "cdefg"]
    for name in names:
        project.write(name, "1\n")
    run(project, "gather")  # what comes later differs from it in five files, but in nothing else
    for name in names:
        project.write(name, "2\n")
    run(project, "gather", "--limit", "2")
    near = project.children("gather")[0].info.run_id[:8]
    project.write(names[0], "3\n")
    run(project, "gather")
    why_now = why(project, "gather")
    assert why_now.startswith(f"limit 2 → 10, source/c.txt changed (nearest: run {near}, "), why_now


# -- the plan


def test_a_plan_says_what_the_run_will_do_and_its_exit_code_whether_anything_would_run(
    shared: Project,
) -> None:
    nothing = run(shared, "--dry_run", "true")
    assert (nothing.code, nothing.states()) == (0, dict.fromkeys(STEPS, "reused"))
    something = run(shared, "--dry_run", "true", "--factor", "3")
    assert something.code == 10
    assert something.states() == {
        **{"gather": "reused", "right": "reused", "left": "run"},
        **{"join": "depends", "shout": "depends"},
    }
    assert "factor 2.0 → 3.0" in something.line("left")
    assert "depends on what left gives" in something.line("join")


def test_a_plan_as_json_is_nothing_but_json(shared: Project) -> None:
    shared.write("untracked.txt", "dirty")
    done = run(shared, "--dry_run", "true", "--plan_format", "json", "--mark", "?", "--match", "code")
    (shared.folder / "untracked.txt").unlink()
    rows = {row["step"]: row for row in json.loads(done.text)["steps"]}
    assert (done.code, set(rows)) == (10, set(STEPS))
    assert rows["shout"]["state"] == "run" and rows["shout"]["reason"].startswith("mark ! → ?")
    reused = rows["left"]
    assert reused["run_id"] == shared.children("left")[0].info.run_id
    assert reused["age"] >= 0 and reused["seconds"] > 0


def test_a_plan_starts_no_step_and_writes_to_no_run_but_its_own(shared: Project) -> None:
    def rest() -> list[object]:
        runs = sorted(shared.runs(), key=lambda run: run.info.run_id)
        return [
            (r.info.run_id, r.info.status, r.info.end_time, r.data.tags, r.data.params) for r in runs
        ]

    before = rest()
    run(shared, "--dry_run", "true", "--limit", "2", "--rerun", "right")
    own = shared.parents()[0]
    assert [row for row in rest() if row[0] != own.info.run_id] == before  # type: ignore[index]
    assert own.info.status == "FINISHED"


def test_a_plan_says_what_is_banned_deleted_or_damaged(done_once: Project) -> None:
    project = done_once
    left, right = (project.children(step)[0] for step in ("left", "right"))
    project.client.set_tag(left.info.run_id, "workflow.banned", "wrong units")
    project.client.delete_run(right.info.run_id)
    (project.outputs(project.children("gather")[0], "gather") / "numbers.txt").unlink()
    plan = run(project, "--dry_run", "true")
    assert "are gone: numbers.txt" in plan.line("gather")
    assert f"run {left.info.run_id[:8]} is banned: wrong units" in plan.line("left")
    assert plan.states()["left"] == "run"
    run(project, "gather")
    plan = run(project, "--dry_run", "true")
    assert f"run {left.info.run_id[:8]} is banned: wrong units" in plan.line("left")
    assert f"run {right.info.run_id[:8]} was deleted" in plan.line("right")


# -- however many runs there are


def test_why_is_told_by_queries_whose_number_does_not_depend_on_the_differences(
    done_once: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = lookup.find_recent

    def counted(store: Store, step: str) -> object:
        asked.append(step)
        return original(store, step)

    monkeypatch.setattr(lookup, "find_recent", counted)
    done = run(done_once, "--sweep", "{factor: [3, 4], text: [one, two]}", "--dry_run", "true")
    assert "factor 2.0 → 3.0" in done.text and "text plain → one" in done.text
    assert sorted(asked) == sorted(set(asked)), "the newest runs of a step are asked for once"


def test_runs_of_an_invocation_are_the_newest_of_their_step_in_the_next(done_once: Project) -> None:
    project = done_once
    store = Store(project.client, project.uri, "0", ("0",))
    first = [earlier.run_id for earlier in lookup.find_recent(store, "left")]
    run(project, "left", "--factor", "9")
    new = project.children("left")[0].info.run_id
    assert [earlier.run_id for earlier in lookup.find_recent(store, "left")] == [new, *first]
    project.client.delete_run(new)
    assert [earlier.run_id for earlier in lookup.find_recent(store, "left")] == first


def fill(project: Project, count: int) -> None:
    """Runs of others as MLflow keeps them, newer than ours; every second is of a step named left."""
    with closing(sqlite3.connect(project.uri.removeprefix("sqlite:///"))) as store, store:
        columns = [row[1] for row in store.execute("pragma table_info(runs)")]
        left = project.children("left")[0].info.run_id
        values = store.execute("select * from runs where run_uuid = ?", (left,)).fetchone()
        row = dict(zip(columns, values, strict=True))
        for number in range(count):
            new = {**row, "run_uuid": f"{number:032x}", "start_time": row["start_time"] + 10**6 + number}
            marks = ", ".join("?" * len(columns))
            store.execute(f"insert into runs values ({marks})", tuple(new[c] for c in columns))
            tags = [("mlflow.user", "x"), ("fingerprint.commit." + f"{number:064x}", "left")]
            tags += [("workflow.published", "left")] if number % 2 else []
            rows = [(key, value, f"{number:032x}") for key, value in tags]
            store.executemany("insert into tags (key, value, run_uuid) values (?, ?, ?)", rows)


def test_2500_foreign_runs_change_neither_results_nor_the_number_of_queries(
    done_once: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = done_once
    asked: list[str] = []
    original = Store.ask

    def counted(store: Store, call: object) -> object:
        asked.append("")
        return original(store, call)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "ask", counted)
    counts, seen = [], []
    for _ in range(2):
        for words in ((), ("--factor", "9")):
            asked.clear()
            seen.append(run(project, *words, "--dry_run", "true"))
            counts.append(len(asked))
        if len(counts) == 2:
            fill(project, 2_500)
    assert counts[:2] == counts[2:]
    assert [done.states() for done in seen[:2]] == [done.states() for done in seen[2:]]
    assert all("factor 2.0 → 9.0" in done.line("left") for done in (seen[1], seen[3]))
