"""The evaluation: who is compared with whom, what is refused, and a real run."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import click
import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from mlflow_workflow.for_steps import tables
from mlflow_workflow.for_steps.model import save_model
from steps import evaluate, passengers, predict, train

ROOT = Path(__file__).parent.parent.parent
INPUT = ROOT / "input"


def survival(folder: Path, text: str, *names: str) -> list[int]:
    """Who survives according to a file with these lines."""
    file = folder / "labels.csv"
    file.write_text("PassengerId,Survived\n" + text, encoding="utf-8")
    ids = pd.Series(names, dtype=str)
    return evaluate.survival(tables.read(file, key="PassengerId"), ids, file).tolist()


# Labels


def test_labels_are_matched_by_id_in_whatever_order(tmp_path: Path) -> None:
    assert survival(tmp_path, "3,1\n1,0\n2,1\n", "1", "2", "3") == [0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0\n", "has no PassengerId 2, which test.csv of preprocess has"),
        ("1,0\n2,1\n9,1\n", "has PassengerId 9, which test.csv of preprocess does not have"),
        ("1,0\n2,\n", "PassengerId 2 is ''; it must be 0 or 1"),
        ("1,0\n2,1\n2,1\n", "has PassengerId 2 twice"),
    ],
)
def test_labels_that_do_not_fit_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"labels.csv") as refused:
        survival(tmp_path, text, "1", "2")
    assert message in refused.value.message


def test_a_labels_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    options = {"preprocess": tmp_path, "train": tmp_path, "predict": tmp_path}
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    files = ["--labels", "nowhere.csv", "--baseline", "nowhere.csv"]
    shown = CliRunner().invoke(evaluate.main, arguments + files)
    assert shown.exit_code == 2
    assert "--labels" in shown.output
    assert "does not exist" in shown.output


def test_wrong_predictions_come_with_both_outcomes_and_the_features() -> None:
    table = pd.DataFrame({"PassengerId": ["5", "6"], "Age": ["22", ""]}, dtype=str)
    found = evaluate.wrong(table, pd.Series([1, 0]), pd.Series([1, 1]))
    assert found.to_csv(index=False) == "PassengerId,Survived,Predicted,Age\n6,0,1,\n"


# Real runs


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of the three steps before, made without them."""
    folder = tmp_path_factory.mktemp("upstream")
    for name in ("preprocess", "train", "predict"):
        (folder / name).mkdir()
    names = ["PassengerId", "Sex", "Age"]
    table = tables.read(INPUT / "train.csv", names)
    kept = passengers.features(table, INPUT / "train.csv")
    truth = passengers.target(tables.read(INPUT / "train.csv"), INPUT / "train.csv")
    fitted = train.pipeline(kept, LogisticRegression()).fit(kept, truth)
    save_model(fitted, folder / "train" / "model", kept)
    test = tables.read(INPUT / "test.csv", names)
    tables.write(test.to_batches(), folder / "preprocess" / "test.csv")
    survived = fitted.predict(passengers.features(test, INPUT / "test.csv"))
    tables.write(
        [predict.predicted(test["PassengerId"].combine_chunks(), survived)],
        folder / "predict" / "test_prediction.csv",
    )
    return folder


def run_evaluate(upstream: Path, store: Path, hash_seed: str) -> dict[str, str]:
    """Run the step as MLproject does; gives the digests of its outputs."""
    options = {name: upstream / name for name in ("preprocess", "train", "predict")}
    options |= {"labels": INPUT / "test_survived.csv"}
    options |= {"baseline": INPUT / "gender_submission.csv"}
    before = set(store.glob("mlruns/*/*"))
    subprocess.run(
        [sys.executable, "-m", "steps.evaluate"]
        + [text for key, value in options.items() for text in (f"--{key}", str(value))],
        cwd=store,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        check=True,
    )
    (made,) = set(store.glob("mlruns/*/*")) - before
    files = sorted((made / "artifacts" / "evaluate").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_two_runs_write_the_same_bytes_and_log_the_metrics(
    upstream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path.as_posix()}/mlflow.db")
    first = run_evaluate(upstream, tmp_path, "1")
    assert first == run_evaluate(upstream, tmp_path, "2")
    assert {"metrics.json", "metrics.csv", "wrong_predictions.csv"} <= set(first)
    assert len([name for name in first if name.endswith(".svg")]) == 5

    run = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    truth = pd.read_csv(INPUT / "test_survived.csv")["Survived"]
    women = pd.read_csv(INPUT / "gender_submission.csv")["Survived"]
    assert run.data.metrics["baseline_accuracy"] == pytest.approx((truth == women).mean())
    assert {"accuracy", "accuracy_low", "roc_auc", "accuracy_minus_baseline_high"} <= set(
        run.data.metrics
    )
    read = {each.dataset.name for each in run.inputs.dataset_inputs}
    assert {"test", "test_prediction", "test_survived", "gender_submission"} <= read
