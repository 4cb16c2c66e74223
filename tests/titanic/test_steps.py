"""The steps on Titanic data: pure functions, files on disk, and real runs in a real store."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from steps import passengers, predict, preprocess, saved_model, skops_file, train

ROOT = Path(__file__).parent.parent.parent
INPUT = ROOT / "input"
DEFAULT_FEATURES = ["Pclass", "SibSp", "Parch"]
MIXED_FEATURES = ["Sex", "Age", "Fare", "Embarked", "Pclass"]
CLASSIFIERS = [
    "RidgeClassifier",
    "LogisticRegression",
    "RandomForestClassifier",
    "DecisionTreeClassifier",
    "SVC",
    "HistGradientBoostingClassifier",
    "KNeighborsClassifier",
    "MLPClassifier",
]

# What a CSV file can hold without a dialect of its own.
cell_text = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8
)
number_text = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(str),
    st.sampled_from(["", "007", "1e3", "22.0", "-0"]),
)


def table(rows: Sequence[Sequence[str]], columns: str) -> pd.DataFrame:
    """A table as `passengers.read` gives it: text only."""
    return pd.DataFrame(rows, columns=columns.split(), dtype=str)


def csv_file(folder: Path, text: str, name: str = "train.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def trained(features: Sequence[str], model: object) -> tuple[object, pd.DataFrame]:
    """A pipeline fitted on the given columns of train.csv, and those columns."""
    file = INPUT / "train.csv"
    read = passengers.read(file)
    kept = passengers.features(read[["PassengerId", *features]], file)
    return train.pipeline(kept, model).fit(kept, passengers.target(read, file)), kept


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# Reading, typing and writing tables


@given(rows=st.lists(st.tuples(number_text, cell_text), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_every_value_survives_unchanged(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    numbered = [(str(n), *row) for n, row in enumerate(rows)]
    file = tmp_path_factory.mktemp("table") / "train.csv"
    passengers.write(table(numbered, "PassengerId Fare Name"), file)
    assert passengers.read(file).to_numpy().tolist() == [list(row) for row in numbered]
    assert b"\r" not in file.read_bytes()


def test_whole_numbers_stay_whole_in_a_column_with_gaps(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "PassengerId,Age\n1,22\n2,\n3,0.9167\n")
    assert passengers.read(file)["Age"].tolist() == ["22", "", "0.9167"]


def test_a_file_with_carriage_returns_and_a_byte_order_mark_is_read_alike(tmp_path: Path) -> None:
    plain = csv_file(tmp_path, "PassengerId,Name\n1,Ö\n", "plain.csv")
    (tmp_path / "windows.csv").write_bytes(b"\xef\xbb\xbf" + "PassengerId,Name\r\n1,Ö\r\n".encode())
    assert_frame_equal(passengers.read(plain), passengers.read(tmp_path / "windows.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV table"),
        ("PassengerId,Age\n", "holds no passengers"),
        ("PassengerId,Age\n1,2\n,3\n", "passenger 2 has no PassengerId"),
        ("PassengerId,Age\n7,2\n8,2\n7,3\n", "has PassengerId 7 twice"),
        ("PasengerId,Age\n1,2\n", "did you mean 'PasengerId'"),
        ("PassengerId,Age\n1,2,3,4\n1,2\n", "train.csv"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match=r"train.csv") as refused:
        passengers.read(csv_file(tmp_path, text))
    assert message in refused.value.message


def test_a_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"PassengerId\n\xff\xfe")
    with pytest.raises(click.ClickException, match=r"train.csv is not a CSV table in UTF-8"):
        passengers.read(tmp_path / "train.csv")


@given(column=st.lists(st.one_of(number_text, cell_text), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_typing_loses_no_value(column: list[str]) -> None:
    typed = passengers.typed_column(pd.Series(column, dtype=str))
    assert typed.isna().tolist() == [value == "" for value in column]
    if typed.dtype == "str":
        assert typed.dropna().tolist() == [value for value in column if value]
    else:
        assert np.isfinite(typed.dropna()).all()
        assert typed.dropna().tolist() == [float(value) for value in column if value]


def test_columns_are_numbers_only_if_all_their_values_are() -> None:
    typed = passengers.typed(
        table([["1", "1", "1", "x"], ["2", "", "PC 2", "inf"]], "PassengerId Age Ticket Name")
    )
    assert [str(kind) for kind in typed.dtypes] == ["int64", "float64", "str", "str"]


def test_ids_and_targets_are_never_features() -> None:
    frame = table([["1", "0", "3"]], "PassengerId Survived Pclass")
    assert list(passengers.features(frame, Path("train.csv"))) == ["Pclass"]


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


def test_the_kept_columns_are_id_target_and_features_in_the_order_asked_for() -> None:
    source = table([["1", "0", "3", "22", "x"]], "PassengerId Survived Pclass Age Name")
    before = source.copy()
    kept = preprocess.prepared(source, ["Age", "Pclass"], Path("train.csv"))
    assert list(kept) == ["PassengerId", "Survived", "Age", "Pclass"]
    kept = preprocess.prepared(source, ["Age"], Path("test.csv"))
    assert list(kept) == ["PassengerId", "Age"]
    assert_frame_equal(source, before)


def test_a_missing_column_is_named_with_the_nearest_one() -> None:
    source = table([["1", "0", "3"]], "PassengerId Survived Pclass")
    with pytest.raises(click.ClickException) as refused:
        preprocess.prepared(source, ["PClass"], Path("input/train.csv"))
    where = str(Path("input/train.csv"))
    assert refused.value.message == f"{where} has no column 'PClass'; did you mean 'Pclass'?"


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


def test_every_classifier_of_scikit_learn_can_be_named() -> None:
    needing = set()
    for name, kind in all_estimators(type_filter="classifier"):
        try:
            assert type(train.classifier(name, {}, 0)) is kind
        except click.UsageError as error:
            needing.add(error.message.split()[-1])
    # Classifiers made of others need those, and say so.
    assert needing == {"'estimator'", "'estimators'"}


def test_the_seed_counts_unless_the_parameters_set_one() -> None:
    assert train.classifier("RidgeClassifier", {}, 7).random_state == 7
    assert train.classifier("RidgeClassifier", {"random_state": 3}, 7).random_state == 3
    assert "random_state" not in train.classifier("GaussianNB", {}, 7).get_params()


@pytest.mark.parametrize(
    ("name", "given_parameters", "message"),
    [
        ("RigdeClassifier", {}, "did you mean 'RidgeClassifier'?"),
        ("Ridge", {}, "no classifier of scikit-learn"),
        ("RidgeClassifier", {"alhpa": 1}, "did you mean 'alpha'?"),
        ("RidgeClassifier", {1: 1}, "has no parameter 1"),
        ("VotingClassifier", {}, "needs a value for 'estimators'"),
    ],
)
def test_an_unknown_model_or_parameter_is_refused_with_a_suggestion(
    name: str, given_parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(click.UsageError) as refused:
        train.classifier(name, given_parameters, 0)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        ("", {}),
        ("{alpha: 0.5, solver: svd}", {"alpha": 0.5, "solver": "svd"}),
        ("{alpha: 1e-3, tol: 2E+1}", {"alpha": 0.001, "tol": 20.0}),
        ("class_weight: {0: 1, 1: 2}", {"class_weight": {0: 1, 1: 2}}),
    ],
)
def test_parameters_are_a_yaml_mapping(text: str, expected: dict[str, object]) -> None:
    assert train.parameters(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "alpha",
        "{alpha: 1",
        "!!python/object/apply:os.getcwd []",
        "{a: &x [1], b: *x}",
        "[" * 5000,
        "{a: " + "1" * 10_001 + "}",
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(click.UsageError, match="--model_params"):
        train.parameters(text)


def test_numbers_reach_the_classifier_unchanged() -> None:
    fitted, kept = trained(DEFAULT_FEATURES, RidgeClassifier(random_state=0))
    raw = pd.read_csv(INPUT / "train.csv")
    plain = RidgeClassifier(random_state=0).fit(raw[DEFAULT_FEATURES], raw["Survived"])
    np.testing.assert_array_equal(fitted["columns"].transform(kept), raw[DEFAULT_FEATURES])
    np.testing.assert_array_equal(fitted["classifier"].coef_, plain.coef_)


def test_missing_numbers_get_the_median_and_missing_text_a_column_of_its_own() -> None:
    frame = passengers.typed(table([["1", "a"], ["5", ""], ["", "b"], ["7", "a"]], "Age Cabin"))
    columns = train.pipeline(frame, RidgeClassifier())["columns"].fit(frame)
    assert columns.transform(frame)[:, 0].tolist() == [1, 5, 5, 7]
    assert columns.transform(frame)[:, 1:].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_a_value_that_training_never_saw_is_none_of_the_known() -> None:
    frame = passengers.typed(table([["a"], ["b"]], "Cabin"))
    columns = train.pipeline(frame, RidgeClassifier())["columns"].fit(frame)
    assert columns.transform(pd.DataFrame({"Cabin": ["c"]})).tolist() == [[0, 0]]


def test_cross_validation_is_decided_by_the_seed() -> None:
    file = INPUT / "train.csv"
    read = passengers.read(file)
    kept = passengers.features(read[["PassengerId", "Pclass"]], file)
    target = passengers.target(read, file)
    unfitted = train.pipeline(kept, RidgeClassifier())
    first, again, other = (train.cross_validated(unfitted, kept, target, 3, s) for s in (0, 0, 1))
    assert first == again != other
    assert len(first) == 3
    assert train.summarized(first)["cv_accuracy_mean"] == pytest.approx(sum(first) / 3)


def test_a_refusal_of_scikit_learn_becomes_one_sentence() -> None:
    kept = passengers.typed(table([["1"], ["2"]], "Age"))
    unfitted = train.pipeline(kept, RidgeClassifier(alpha=-1))
    with (
        pytest.raises(click.ClickException, match=r"RidgeClassifier cannot be trained .*'alpha'"),
        train.explained("RidgeClassifier"),
    ):
        unfitted.fit(kept, [0, 1])


# Models on disk


@pytest.mark.parametrize("features", [DEFAULT_FEATURES, MIXED_FEATURES])
def test_a_saved_model_predicts_as_before(features: list[str], tmp_path: Path) -> None:
    fitted, kept = trained(features, LogisticRegression(max_iter=1000))
    saved_model.save(fitted, kept, tmp_path / "model")
    loaded, taken = saved_model.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(kept), fitted.predict_proba(kept))
    assert list(taken) == features
    assert [name for name, numeric in taken.items() if not numeric] == [
        name for name in features if name in ("Sex", "Embarked")
    ]


def test_mlflow_serves_a_saved_model(tmp_path: Path) -> None:
    fitted, kept = trained(MIXED_FEATURES, LogisticRegression(max_iter=1000))
    saved_model.save(fitted, kept, tmp_path / "model")
    kept.head(20).to_csv(tmp_path / "some.csv", index=False)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    answer = served.predict(pd.read_csv(tmp_path / "some.csv"))
    np.testing.assert_array_equal(answer, fitted.predict(kept.head(20)))


def test_a_saved_model_says_what_it_needs_and_has_no_pickle(tmp_path: Path) -> None:
    fitted, kept = trained(DEFAULT_FEATURES, RidgeClassifier())
    saved_model.save(fitted, kept, tmp_path / "model")
    needed = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert f"skops=={skops.__version__}" in needed
    assert len(needed) == len(saved_model.PACKAGES)
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    assert described["flavors"]["sklearn"]["serialization_format"] == "skops"
    assert described["model_size_bytes"] == (tmp_path / "model" / "model.skops").stat().st_size


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    script = f"""
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from steps import passengers, saved_model, train
file = Path({str(INPUT)!r}) / "train.csv"
table = passengers.read(file)
kept = passengers.features(table[["PassengerId", *{MIXED_FEATURES!r}]], file)
for name in {CLASSIFIERS!r}:
    fitted = train.pipeline(kept, train.classifier(name, {{}}, 0))
    fitted.fit(kept, passengers.target(table, file))
    saved_model.save(fitted, kept, Path(sys.argv[1]) / name)
    loaded, _ = saved_model.load(Path(sys.argv[1]) / name)
    assert (loaded.predict(kept) == fitted.predict(kept)).all(), name
"""
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
        )
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert len(digests(tmp_path / "1")) == 5 * len(CLASSIFIERS)


def test_a_canonical_file_is_its_own_canonical_form() -> None:
    fitted, _ = trained(DEFAULT_FEATURES, DecisionTreeClassifier(random_state=0))
    once = skops_file.dumped(fitted)
    assert skops_file.canonical(once) == once
    assert skops_file.dumped(fitted) == once


def test_objects_that_were_one_stay_one() -> None:
    shared = np.arange(3.0)
    first, second = skops.io.loads(skops_file.dumped([shared, shared]))
    assert first is second
    first, second = skops.io.loads(skops_file.dumped([shared, shared.copy()]))
    assert first is not second


def test_a_dictionary_with_the_keys_of_the_format_survives() -> None:
    value = {"file": "1.npy", "__id__": 5, "array": np.arange(2)}
    loaded = skops.io.loads(skops_file.dumped(value))
    assert (loaded["file"], loaded["__id__"]) == ("1.npy", 5)
    np.testing.assert_array_equal(loaded["array"], np.arange(2))


@given(rows=st.lists(st.tuples(st.integers(0, 255), st.floats(width=32)), max_size=6))
@settings(max_examples=50, deadline=None)
def test_only_the_bytes_between_fields_are_zeroed(rows: list[tuple[int, float]]) -> None:
    kind = np.dtype({"names": ["a", "b"], "formats": ["u1", "<f8"], "offsets": [2, 8]}, align=False)
    clean, dirty = np.zeros(len(rows), kind), np.zeros(len(rows), kind)
    dirty.view(np.uint8)[:] = 0xAA
    for array in (clean, dirty):
        array["a"], array["b"] = [row[0] for row in rows], [row[1] for row in rows]
    stored = io.BytesIO()
    np.lib.format.write_array_header_1_0(stored, np.lib.format.header_data_from_array_1_0(dirty))
    header = stored.getvalue()
    found = skops_file.without_padding(header + dirty.tobytes())
    assert found == header + clean.tobytes()


def test_other_arrays_and_files_stay_as_they_are() -> None:
    stored = io.BytesIO()
    np.save(stored, np.arange(6.0).reshape(2, 3))
    for content in (stored.getvalue(), b"anything else", b""):
        assert skops_file.without_padding(content) == content


def with_padding(content: bytes, value: int) -> bytes:
    """The same skops file with that value in every unused byte of its arrays."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            member = np.frombuffer(old.read(name), np.uint8).copy()
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(member.tobytes()))
                rows = member[-array.nbytes :].reshape(-1, array.dtype.itemsize)
                rows[:, skops_file.padding(array.dtype) & bool(array.dtype.names)] = value
            new.writestr(name, member.tobytes())
    return changed.getvalue()


def test_a_tree_is_stored_without_what_was_in_memory_before() -> None:
    fitted, _ = trained(MIXED_FEATURES, DecisionTreeClassifier(random_state=0))
    content = skops.io.dumps(fitted)
    first, second = with_padding(content, 0), with_padding(content, 0xAA)
    assert len(first) == len(second)
    assert first != second, "the trees of this scikit-learn have no unused bytes any more"
    assert skops_file.canonical(first) == skops_file.canonical(second)


def test_a_pickle_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    fitted, kept = trained(DEFAULT_FEATURES, RidgeClassifier())
    saved_model.save(fitted, kept, tmp_path / "model")
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    described["flavors"]["sklearn"]["serialization_format"] = "cloudpickle"
    (tmp_path / "model" / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(click.ClickException, match="stored as cloudpickle"):
        saved_model.load(tmp_path / "model")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="there is no model in"):
        saved_model.load(tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"no zip", zipfile.ZipFile.__doc__.encode()])
def test_a_damaged_model_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(content)
    with pytest.raises(click.ClickException, match="is not a skops file"):
        skops_file.load(tmp_path / "model.skops")


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("sklearn.tree._tree.Tree", True),
        ("sklearn.neighbors._kd_tree.KDTree", True),
        ("numpy.dtype", True),
        ("numpy.load", False),
        ("os.system", False),
        ("sklearn.utils._testing.check_output", False),
        ("sklearn.base.inspect", False),
        ("sklearn.compose._column_transformer.Counter", False),
        ("sklearn.datasets._base.load_iris", False),
        ("sklearn.nowhere.Thing", False),
        ("sklearnlike.Thing", False),
    ],
)
def test_only_what_scikit_learn_defines_is_harmless(name: str, harmless: bool) -> None:
    assert skops_file.is_harmless(name) is harmless


def test_a_model_with_foreign_types_is_refused_and_named(tmp_path: Path) -> None:
    content = skops.io.dumps([subprocess.check_output])
    (tmp_path / "model.skops").write_bytes(content)
    with pytest.raises(click.ClickException, match=r"subprocess.check_output"):
        skops_file.load(tmp_path / "model.skops")


# predict


def test_predictions_keep_the_order_and_ids_of_the_table() -> None:
    frame = table([["9"], ["007"], ["1"]], "PassengerId")
    result = predict.predicted(frame, np.array([1, 0, 1]))
    assert result.to_csv(index=False).split() == ["PassengerId,Survived", "9,1", "007,0", "1,1"]


def test_columns_reach_the_model_as_in_training() -> None:
    frame = table([["1", "12", "3", ""], ["2", "", "", "x"]], "PassengerId Ticket Fare Cabin")
    taken = {"Cabin": False, "Ticket": False, "Fare": True}
    inputs = predict.inputs(frame, taken, Path("test.csv"))
    assert list(inputs) == list(taken)
    assert inputs["Ticket"].tolist()[0] == "12"
    assert inputs["Fare"].tolist()[0] == 3.0
    assert inputs.isna().to_numpy().tolist() == [[True, False, False], [False, True, True]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("PassengerId Age", "PassengerId 1 is 'old' where training had numbers"),
        ("PassengerId age", "has no column 'Age'; did you mean 'age'?"),
    ],
)
def test_a_table_that_does_not_fit_the_model_is_refused(columns: str, message: str) -> None:
    with pytest.raises(click.ClickException, match=r"test.csv") as refused:
        predict.inputs(table([["1", "old"]], columns), {"Age": True}, Path("test.csv"))
    assert message in refused.value.message


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
        csv_file(tmp_path, "PassengerId,Survived,Age\n1,0,3\n1,1,4\n", name)
    shown = CliRunner().invoke(preprocess.main, ["--input", str(tmp_path), "--features", "Age"])
    assert shown.exit_code == 1
    assert shown.output.startswith("Error: ")
    assert shown.output.endswith("train.csv has PassengerId 1 twice\n")
    newest = mlflow.search_runs(search_all_experiments=True, output_format="list")[0]
    assert newest.info.status == "FAILED"


@pytest.mark.slow
def test_data_sets_are_logged_with_places_that_last(store: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param("preprocess", "runs:/1234/preprocess")
    with mlflow.start_run(run_id=run.info.run_id):
        assert passengers.origin("preprocess", Path("copy")) == "runs:/1234/preprocess"
        assert passengers.origin("train", Path("copy")) == "copy"
        assert passengers.destination("predict") == f"runs:/{run.info.run_id}/predict"
        passengers.log(table([["1"]], "PassengerId"), "runs:/1234/preprocess/", "test.csv", "read")
    (logged,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert json.loads(logged.dataset.source) == {"uri": "runs:/1234/preprocess/test.csv"}
