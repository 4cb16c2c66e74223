"""The steps on Titanic data: pure functions, files on disk, and real runs in a real store."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from sklearn.linear_model import RidgeClassifier

from mlflow_workflow.for_steps import tables
from steps import passengers, predict, preprocess, train

ROOT = Path(__file__).parent.parent.parent
INPUT = ROOT / "input"
DEFAULT_FEATURES = ["Pclass", "SibSp", "Parch"]
MIXED_FEATURES = ["Sex", "Age", "Fare", "Embarked", "Pclass"]


def table(rows: Sequence[Sequence[str]], columns: str) -> pa.Table:
    """A table as `tables.read` gives it: text only."""
    values = zip(*rows, strict=True)
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(columns.split(), values, strict=True)})


def typed(rows: Sequence[Sequence[str]], columns: str) -> pd.DataFrame:
    return passengers.features(table(rows, columns), Path("train.csv"))


def learnt(names: Sequence[str]) -> tuple[pd.DataFrame, "pd.Series[int]"]:
    """Features and target of train.csv."""
    file = INPUT / "train.csv"
    read = tables.read(file)
    return passengers.features(read.select(["PassengerId", *names]), file), passengers.target(read, file)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Passengers


def test_ids_and_targets_are_never_features() -> None:
    assert list(typed([["1", "0", "3"]], "PassengerId Survived Pclass")) == ["Pclass"]
    with pytest.raises(click.ClickException, match="has no features"):
        typed([["1", "0"]], "PassengerId Survived")


def test_a_target_that_is_not_0_or_1_is_refused_with_its_passenger() -> None:
    frame = table([["1", "0"], ["5", "maybe"]], "PassengerId Survived")
    with pytest.raises(click.ClickException, match=r"train.csv: .* PassengerId 5 is 'maybe'"):
        passengers.target(frame, Path("train.csv"))


# preprocess


def test_features_are_split_at_commas_and_stripped() -> None:
    assert preprocess.feature_names(" Pclass, SibSp,,Parch ") == DEFAULT_FEATURES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no column"),
        (" , ", "names no column"),
        ("Age,Survived", "Survived, which no model may learn from"),
        ("PassengerId", "PassengerId, which no model may learn from"),
        ("Age,Sex,Age", "names Age twice"),
    ],
)
def test_a_list_of_features_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(click.UsageError, match="--features") as refused:
        preprocess.feature_names(text)
    assert message in refused.value.message


@pytest.mark.parametrize("module", [preprocess, train, predict])
def test_help_is_the_docstring(module: object) -> None:
    shown = CliRunner().invoke(module.main, ["--help"])
    assert shown.exit_code == 0
    for line in module.__doc__.split("\n\n"):
        assert line.split()[0] in shown.output
    assert "Reads " in shown.output
    assert "Writes " in shown.output


def test_a_folder_that_is_not_there_is_one_sentence() -> None:
    shown = CliRunner().invoke(preprocess.main, ["--input", "nowhere", "--features", "Age"])
    assert shown.exit_code == 2
    assert "--input" in shown.output
    assert "'nowhere' does not exist" in shown.output


# train


def test_numbers_reach_the_classifier_unchanged() -> None:
    kept, target = learnt(DEFAULT_FEATURES)
    fitted = train.pipeline(kept, RidgeClassifier(random_state=0)).fit(kept, target)
    raw = pd.read_csv(INPUT / "train.csv")
    plain = RidgeClassifier(random_state=0).fit(raw[DEFAULT_FEATURES], raw["Survived"])
    np.testing.assert_array_equal(fitted["columns"].transform(kept), raw[DEFAULT_FEATURES])
    np.testing.assert_array_equal(fitted["classifier"].coef_, plain.coef_)


def test_missing_numbers_get_the_median_and_missing_text_a_column_of_its_own() -> None:
    frame = typed([["1", "a"], ["5", ""], ["", "b"], ["7", "a"]], "Age Cabin")
    columns = train.pipeline(frame, RidgeClassifier())["columns"].fit(frame)
    assert columns.transform(frame)[:, 0].tolist() == [1, 5, 5, 7]
    assert columns.transform(frame)[:, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_value_that_training_never_saw_is_none_of_the_known() -> None:
    frame = typed([["a"], ["b"]], "Cabin")
    columns = train.pipeline(frame, RidgeClassifier())["columns"].fit(frame)
    assert columns.transform(pd.DataFrame({"Cabin": ["c"]})).tolist() == [[0, 0]]


def test_cross_validation_is_decided_by_the_seed() -> None:
    kept, target = learnt(["Pclass"])
    unfitted = train.pipeline(kept, RidgeClassifier())
    first, again, other = (train.cross_validated(unfitted, kept, target, 3, s) for s in (0, 0, 1))
    assert first == again != other
    assert len(first) == 3


def test_a_refusal_of_scikit_learn_becomes_one_sentence() -> None:
    kept = typed([["1"], ["2"]], "Age")
    unfitted = train.pipeline(kept, RidgeClassifier(alpha=-1))
    with (
        pytest.raises(click.ClickException, match=r"RidgeClassifier cannot be trained .*'alpha'"),
        train.explained("RidgeClassifier"),
    ):
        unfitted.fit(kept, [0, 1])


# predict


def test_predictions_keep_the_order_and_ids_of_the_table() -> None:
    result = predict.predicted(pa.array(["9", "007", "1"]), np.array([1, 0, 1]))
    assert result.to_pydict() == {"PassengerId": ["9", "007", "1"], "Survived": ["1", "0", "1"]}


def test_columns_reach_the_model_as_in_training() -> None:
    frame = table([["1", "12", "3", ""], ["2", "", "", "x"]], "PassengerId Ticket Fare Cabin")
    taken = {"Cabin": False, "Ticket": False, "Fare": True}
    inputs = passengers.inputs(frame, taken, Path("test.csv"))
    assert list(inputs) == list(taken)
    assert inputs["Ticket"].tolist()[0] == "12"
    assert inputs["Fare"].tolist()[0] == 3.0
    assert inputs.isna().to_numpy().tolist() == [[True, False, False], [False, True, True]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("PassengerId Age", "PassengerId 2 is 'old' where training had numbers"),
        ("PassengerId age", "has no column 'Age'; did you mean 'age'?"),
    ],
)
def test_a_table_that_does_not_fit_the_model_is_refused(columns: str, message: str) -> None:
    with pytest.raises(click.ClickException, match=r"test.csv") as refused:
        rows = [["1", "30"], ["2", "old"]]
        passengers.inputs(table(rows, columns), {"Age": True}, Path("test.csv"))
    assert message in refused.value.message


@pytest.mark.parametrize("names", [DEFAULT_FEATURES, MIXED_FEATURES])
def test_predictions_in_pieces_are_those_of_the_whole(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, target = learnt(names)
    fitted = train.pipeline(kept, RidgeClassifier()).fit(kept, target)
    taken = {name: bool(pd.api.types.is_numeric_dtype(kept[name])) for name in names}
    whole, *none = predict.predictions(INPUT / "test.csv", fitted, taken)
    assert none == []
    monkeypatch.setattr(tables, "BLOCK", 2_000)
    parts = list(predict.predictions(INPUT / "test.csv", fitted, taken))
    assert len(parts) > 10
    assert pa.Table.from_batches(parts).to_pydict() == whole.to_pydict()


# Real runs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tracking store, which is the one that MLflow uses meanwhile."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder.as_posix()}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.chdir(folder)
        yield folder


def run_step(folder: Path, name: str, **options: object) -> Path:
    """Run a step as MLproject does; gives its outputs."""
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    before = set(folder.glob("mlruns/*/*"))
    subprocess.run(
        [sys.executable, "-m", f"steps.{name}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    (made,) = [p for p in folder.glob("mlruns/*/*") if p not in before and p.name != "models"]
    return made / "artifacts" / name


@pytest.mark.slow
def test_the_steps_predict_what_a_plain_model_on_the_raw_columns_does(store: Path) -> None:
    made = run_step(store, "preprocess", input=INPUT, features=",".join(DEFAULT_FEATURES))
    settings = {"model": "RidgeClassifier", "model_params": "{}", "seed": 0, "folds": 5}
    fitted = run_step(store, "train", preprocess=made, **settings)
    result = run_step(store, "predict", preprocess=made, train=fitted)

    raw, test = pd.read_csv(INPUT / "train.csv"), pd.read_csv(INPUT / "test.csv")
    plain = RidgeClassifier(random_state=0).fit(raw[DEFAULT_FEATURES], raw["Survived"])
    expected = pd.DataFrame(
        {"PassengerId": test["PassengerId"], "Survived": plain.predict(test[DEFAULT_FEATURES])}
    )
    assert (result / "test_prediction.csv").read_text() == expected.to_csv(index=False)

    again = run_step(store, "train", preprocess=made, **settings)
    assert digests(again) == digests(fitted)
    check_what_was_logged(mlflow.MlflowClient(), fitted.parent.parent.name, fitted)


def check_what_was_logged(client: mlflow.MlflowClient, run_id: str, fitted: Path) -> None:
    run = client.get_run(run_id)
    assert {"cv_accuracy_mean", "cv_accuracy_std", "training_accuracy_score"} <= set(run.data.metrics)
    (model,) = run.outputs.model_outputs
    logged = client.get_logged_model(model.model_id)
    assert str(logged.status) in ("READY", "LoggedModelStatus.READY")
    assert logged.params["alpha"] == "1.0"
    assert {metric.key for metric in logged.metrics} == {"cv_accuracy_mean", "cv_accuracy_std"}
    local = mlflow.artifacts.download_artifacts(logged.model_uri)
    assert digests(fitted / "model").items() <= digests(Path(local)).items()
    (read,) = run.inputs.dataset_inputs
    assert read.dataset.name == "train"
    assert [(tag.key, tag.value) for tag in read.tags] == [("mlflow.data.context", "read")]
    runs = client.search_runs([run.info.experiment_id])
    assert len(runs) == 4, "cross validation must not make runs of its own"


@pytest.mark.slow
def test_a_step_that_fails_says_why_in_one_line_and_ends_its_run(store: Path, tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("PassengerId,Survived,Age\n1,0,3\n1,1,4\n")
    shown = CliRunner().invoke(preprocess.main, ["--input", str(tmp_path), "--features", "Age"])
    assert shown.exit_code == 1
    said = shown.output.splitlines()[-1]
    assert said.startswith("Error: ")
    assert said.endswith("train.csv has PassengerId 1 twice")
    newest = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    assert newest.info.status == "FAILED"
