"""From a clean clone to the last promise about reuse: one project, one store, step by step in order.

Each test goes on where the one before it ended, so that every promise costs only the steps it is about.
"""

import contextlib
import os
import shutil
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier

from mlflow_workflow.server.tags import COMMIT, NOTE, PARENT, SOURCE
from tests.conftest import Done, Project, new_project

pytestmark = pytest.mark.slow
STEPS = ("preprocess", "train", "predict")
ALL_REUSED = dict.fromkeys(STEPS, "reused")
ALL_RAN = dict.fromkeys(STEPS, "ran")
BASH = shutil.which("bash")
FEATURES = ["Pclass", "SibSp", "Parch"]


class Clone(Project):
    """A clone whose store is MLflow's default one, and in which every start of bash leaves a mark."""

    @property
    def marks(self) -> Path:
        return self.folder.parent / "marks"

    def started(self) -> int:
        """How many times bash was started, which is how MLflow starts every process of a project."""
        return len(self.marks.read_text().splitlines()) if self.marks.exists() else 0

    def ran(self, *arguments: str) -> dict[str, str]:
        done = self.main(*arguments)
        assert done.code == 0, done.text
        return done.states()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Clone:
    base = tmp_path_factory.mktemp("clean")
    origin = new_project(base / "origin", empty_store, "own")
    origin.git("clone", "--quiet", str(origin.folder), str(base / "clone"))
    (base / "bin").mkdir()
    (base / "bin/bash").write_text(f"#!/bin/sh\necho started >> '{base}/marks'\nexec {BASH} \"$@\"\n")
    (base / "bin/bash").chmod(0o755)
    path = f"{base / 'bin'}{os.pathsep}{origin.environment()['PATH']}"
    variables = {"MLFLOW_TRACKING_URI": "", "PATH": path}
    return Clone(base / "clone", f"sqlite:///{base / 'clone' / 'mlflow.db'}", variables)


@pytest.fixture(scope="module")
def first(clone: Clone) -> Done:
    return clone.mlflow_run("task=predict", "description=how it begins")


def test_the_first_run_of_a_clean_clone_runs_every_step(clone: Clone, first: Done) -> None:
    assert first.code == 0, first.text
    assert first.states() == ALL_RAN
    assert "not done yet" in first.line("train")
    assert clone.started() == 3  # main and two steps: what is preloaded needs no new bash


def test_it_predicts_what_ridge_regression_on_three_columns_does(clone: Clone, first: Done) -> None:
    file = clone.outputs(clone.children("predict")[0], "predict") / "test_prediction.csv"
    found = pd.read_csv(file)
    train, test = (pd.read_csv(clone.folder / "input" / name) for name in ("train.csv", "test.csv"))
    model = RidgeClassifier(random_state=0).fit(train[FEATURES], train["Survived"])
    assert list(found["PassengerId"]) == list(test["PassengerId"])
    assert list(found["Survived"]) == list(model.predict(test[FEATURES]))
    assert len(found) == 418
    assert f"result:  {file.parent}" in first.text


def test_what_a_run_leaves_behind_is_ignored_by_git(clone: Clone, first: Done) -> None:
    assert (clone.folder / "mlflow.db").exists()
    assert clone.git("status", "--porcelain") == ""


def test_the_parent_run_says_what_was_asked_and_which_runs_its_steps_are(
    clone: Clone, first: Done
) -> None:
    parent = clone.parents()[0]
    assert parent.info.run_name == "predict · 3 ran"
    assert parent.info.status == "FINISHED"
    assert "how it begins" in parent.data.tags[NOTE]
    assert parent.data.params["task"] == "predict"
    assert parent.data.params["train.seed"] == "0"
    assert parent.data.params["preprocess.features"] == "Pclass,SibSp,Parch"
    for step in STEPS:
        assert parent.data.tags[f"workflow.run.{step}"] == clone.children(step)[0].info.run_id


def test_child_runs_are_named_after_their_step_and_belong_to_the_parent(
    clone: Clone, first: Done
) -> None:
    parent, head = clone.parents()[0], clone.git("rev-parse", "HEAD").strip()
    for step in STEPS:
        run = clone.children(step)[0]
        assert (run.info.run_name, run.info.status) == (step, "FINISHED")
        assert run.data.tags[PARENT] == parent.info.run_id
        assert run.data.tags[COMMIT] == head
        assert run.data.tags[SOURCE] == str(clone.folder.parent / "origin")
    upstream = clone.children("preprocess")[0].info.run_id
    assert clone.children("train")[0].data.params["preprocess"] == f"runs:/{upstream}/preprocess"


def test_the_second_run_starts_no_step_process(clone: Clone, first: Done) -> None:
    before, runs = clone.started(), len(clone.runs())
    second = clone.mlflow_run("task=predict")
    assert second.states() == ALL_REUSED
    assert clone.started() == before + 1  # main only
    assert len(clone.runs()) == runs + 1  # the parent only


def test_another_seed_runs_what_it_reaches(clone: Clone, first: Done) -> None:
    assert clone.ran("--seed", "1") == {"preprocess": "reused", "train": "ran", "predict": "ran"}


def test_an_empty_commit_runs_all_and_going_back_runs_none(clone: Clone, first: Done) -> None:
    original = clone.git("rev-parse", "HEAD").strip()
    clone.commit("nothing in it")
    assert clone.ran() == ALL_RAN
    clone.git("checkout", "--quiet", original)
    assert clone.ran() == ALL_REUSED


def test_an_uncommitted_edit_runs_the_step_that_it_is_in(clone: Clone, first: Done) -> None:
    clone.edit("steps/train.py", "import click\n", "import click  # edited\n")
    assert clone.ran() == {**ALL_REUSED, "train": "ran"}, "the same model, so predict is reused"
    assert clone.ran() == ALL_REUSED
    clone.git("checkout", "--quiet", "steps/train.py")


def test_the_content_of_data_counts_whether_git_ignores_it_or_not(clone: Clone, first: Done) -> None:
    (clone.folder / ".git/info/exclude").write_text("data/\n")
    shutil.copytree(clone.folder / "input", clone.folder / "data")
    # The text of a string counts, too; but what preprocess gives is the same.
    assert clone.ran("--input", "data") == {**ALL_REUSED, "preprocess": "ran"}
    assert clone.ran("--input", "data") == ALL_REUSED
    # A passenger's name is none of the features: preprocess gives the same, and nothing below runs.
    train = clone.folder / "data" / "train.csv"
    train.write_bytes(train.read_bytes().replace(b"Mr.", b"Mt.", 1))
    assert clone.ran("--input", "data") == {**ALL_REUSED, "preprocess": "ran"}


def test_one_value_that_the_features_hold_runs_what_reads_it(clone: Clone, first: Done) -> None:
    train = clone.folder / "data" / "train.csv"
    table = pd.read_csv(train)
    table.loc[0, "Pclass"] = 1 + table.loc[0, "Pclass"] % 3
    table.to_csv(train, index=False)
    assert clone.ran("train", "--input", "data") == {"preprocess": "ran", "train": "ran"}


def test_lost_outputs_run_again_when_a_step_below_needs_them(clone: Clone, first: Done) -> None:
    (lost,) = (
        r for r in clone.children("preprocess") if r.data.tags[PARENT] == clone.parents()[-1].info.run_id
    )
    shutil.rmtree(clone.outputs(lost, "preprocess"))
    assert clone.ran("--seed", "2") == ALL_RAN
    assert "gone" in clone.client.get_run(lost.info.run_id).data.tags["workflow.unusable"]


def test_a_step_runs_alone_on_the_outputs_of_an_earlier_run(clone: Clone, first: Done) -> None:
    earlier = clone.children("preprocess")[0].info.run_id
    given = ["-P", f"preprocess=runs:/{earlier}/preprocess", "-P", "folds=3"]
    done = clone.command("mlflow", "run", ".", "--env-manager", "local", "-e", "train", *given)
    assert done.code == 0, done.text
    alone = clone.runs()[0]
    assert alone.info.status == "FINISHED"
    assert 0.5 < alone.data.metrics["cv_accuracy_mean"] < 1
    assert (clone.outputs(alone, "train") / "model" / "MLmodel").exists()


COUNTED = """
import sys
from pathlib import Path
from sqlalchemy import Engine, event
from mlflow_workflow.run.command import main
queries = []
event.listen(Engine, "before_cursor_execute", lambda _c, _cu, text, *_: queries.append(text))
code = main(Path.cwd(), [])
print(f"queries: {len(queries)}")
sys.exit(code)
"""


def fill_with_foreign_runs(clone: Clone, count: int) -> None:
    """Newer runs of other projects in the same experiment, with the same step names and parameters."""
    with contextlib.closing(sqlite3.connect(clone.uri.removeprefix("sqlite:///"))) as store, store:
        (row,) = store.execute("select * from runs where name = 'train' limit 1")
        names = [column[1] for column in store.execute("pragma table_info(runs)")]
        known = dict(zip(names, row, strict=True))
        for number in range(count):
            run = {**known, "run_uuid": f"{number:032x}", "start_time": 2**42, "end_time": 2**42 + 1}
            marks = ", ".join("?" * len(run))
            store.execute(f"insert into runs ({', '.join(run)}) values ({marks})", [*run.values()])
        same = "select ?, key, value from {} where run_uuid = ? and key not like 'workflow.%'"
        ids = [(f"{number:032x}", known["run_uuid"]) for number in range(count)]
        for kind in ("tags", "params"):
            there = f"{same.format(kind)} and key not like 'fingerprint%'"
            store.executemany(f"insert into {kind} (run_uuid, key, value) {there}", ids)


def test_thousands_of_foreign_runs_change_neither_the_result_nor_the_number_of_queries(
    clone: Clone, first: Done
) -> None:
    alone = clone.command(sys.executable, "-c", COUNTED)
    fill_with_foreign_runs(clone, 2_500)
    crowded = clone.command(sys.executable, "-c", COUNTED)
    assert alone.states() == crowded.states() == ALL_REUSED
    assert alone.line("queries:") == crowded.line("queries:")
