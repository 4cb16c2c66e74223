"""Models as folders in MLflow's format: the same model as the same bytes, and no code of strangers."""

import hashlib
import inspect
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import mlflow
import numpy as np
import pandas as pd
import pytest
import skops.io
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import Birch
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

from mlflow_workflow.for_steps import model, skops_file
from mlflow_workflow.for_steps.model import columns_of, load_model, save_model
from tests.conftest import ROOT

FEATURES = pd.DataFrame(
    {
        "age": [22.0, 38.0, np.nan, 35.0, 54.0, 2.0] * 8,
        "class": [3, 1, 3, 1, 2, 3] * 8,
        "port": pd.Series(["S", "C", "S", None, "Q", "S"] * 8, dtype=str),
    }
)
SURVIVED = np.array([0, 1, 1, 1, 0, 0] * 8)
BY_THEMSELVES = ("AdaBoost", "Bagging", "RANSAC")
"""What may be made of another estimator, and is not here."""

TRIPLED = "tests.step.test_model.tripled"


def mixed(estimator: Any) -> Pipeline:
    """A pipeline for numbers with gaps and for text."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    parts = [
        ("numbers", numbers, ["age", "class"]),
        ("texts", OneHotEncoder(handle_unknown="ignore"), ["port"]),
    ]
    return make_pipeline(ColumnTransformer(parts), SelectKBest(k=3), estimator)


def fitted(estimator: Any) -> Any:
    return mixed(estimator).fit(FEATURES, SURVIVED)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def every(kind: str) -> Iterator[tuple[str, Any, Any]]:
    """Each classifier or regressor of scikit-learn, with what it was fitted on."""
    many = np.random.default_rng(0).uniform(0.1, 2, (60, 4))
    for name, estimator in all_estimators(type_filter=kind):
        table = many[:, :1] if name == "IsotonicRegression" else many
        target = table.sum(axis=1)
        target = (target > target.mean()).astype(int) if kind == "classifier" else target
        several = any(word in name for word in ("MultiOutput", "MultiTask", "Chain", "CCA", "PLSC"))
        made = unfitted(estimator, {"classifier": LogisticRegression(), "regressor": Ridge()}[kind])
        yield name, made.fit(table, np.column_stack([target, target]) if several else target), table


def unfitted(estimator: Any, part: Any) -> Any:
    """An estimator with a seed, around another one if it needs that."""
    known = inspect.signature(estimator).parameters
    needs: dict[str, Any] = {"random_state": 0} if "random_state" in known else {}
    if "estimators" in known:
        needs["estimators"] = [("a", part), ("b", part)]
    if "estimator" in known and not estimator.__name__.startswith(BY_THEMSELVES):
        needs["estimator"] = part
    return estimator(**needs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_every_classifier_and_regressor_comes_back_as_it_was(kind: str, tmp_path: Path) -> None:
    seen = []
    for name, estimator, table in every(kind):
        (tmp_path / name).write_bytes(skops_file.dumped(estimator))
        loaded = skops_file.load(tmp_path / name)
        np.testing.assert_array_equal(loaded.predict(table), estimator.predict(table), name)
        seen.append(name)
    assert len(seen) > 30


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_two_processes_write_every_model_as_the_same_bytes(kind: str) -> None:
    script = f"""
import hashlib, sys, warnings
warnings.simplefilter("ignore")
from mlflow_workflow.for_steps import skops_file
from tests.step.test_model import every
for name, estimator, _ in every({kind!r}):
    print(name, hashlib.sha256(skops_file.dumped(estimator)).hexdigest())
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert first == second


def test_a_saved_pipeline_predicts_as_before_and_says_what_it_takes(tmp_path: Path) -> None:
    pipeline = fitted(LogisticRegression())
    save_model(pipeline, tmp_path / "model", FEATURES)
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(FEATURES), pipeline.predict_proba(FEATURES))
    assert columns_of(tmp_path / "model") == {"age": True, "class": True, "port": False}
    save_model(loaded, tmp_path / "again", FEATURES)
    assert digests(tmp_path / "model") == digests(tmp_path / "again")


def test_a_model_can_be_saved_without_a_word_about_its_columns(tmp_path: Path) -> None:
    save_model(Ridge().fit([[1.0], [2.0]], [1, 2]), tmp_path / "model")
    assert load_model(tmp_path / "model").predict([[3.0]]).shape == (1,)
    with pytest.raises(click.ClickException, match="does not say which columns it takes"):
        columns_of(tmp_path / "model")


@pytest.mark.parametrize(
    ("target", "estimator", "kind"),
    [
        (SURVIVED, RidgeClassifier(), '[{"type": "long", "required": true}]'),
        (SURVIVED * 0.5, Ridge(), '[{"type": "double", "required": true}]'),
        (np.where(SURVIVED, "yes", "no"), RidgeClassifier(), '[{"type": "string", "required": true}]'),
        (np.column_stack([SURVIVED, SURVIVED]), Ridge(), '"shape": [-1, 2]'),
    ],
)
def test_the_signature_says_what_comes_out(
    target: Any, estimator: Any, kind: str, tmp_path: Path
) -> None:
    numbers = FEATURES[["class"]]
    save_model(estimator.fit(numbers, target), tmp_path / "model", numbers)
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    assert kind in described["signature"]["outputs"]


def test_mlflow_serves_a_saved_model(tmp_path: Path) -> None:
    pipeline = fitted(LogisticRegression())
    save_model(pipeline, tmp_path / "model", FEATURES)
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(served.predict(FEATURES), pipeline.predict(FEATURES))


def test_a_saved_model_says_what_it_needs_and_has_no_pickle(tmp_path: Path) -> None:
    save_model(fitted(RidgeClassifier()), tmp_path / "model", FEATURES)
    needed = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert f"skops=={skops.__version__}" in needed
    assert len(needed) == len(model.PACKAGES)
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    assert described["flavors"]["sklearn"]["serialization_format"] == "skops"
    assert described["model_size_bytes"] == (tmp_path / "model" / "model.skops").stat().st_size


# What is trusted


def tripled(numbers: pd.DataFrame) -> pd.DataFrame:
    return numbers * 3


def test_a_type_of_ones_own_is_named_with_the_cure_and_saved_once_it_is_trusted(tmp_path: Path) -> None:
    numbers = FEATURES[["class"]]
    pipeline = make_pipeline(FunctionTransformer(tripled), Ridge()).fit(numbers, SURVIVED)
    with pytest.raises(click.ClickException) as refused:
        save_model(pipeline, tmp_path / "model", numbers)
    assert f"not scikit-learn's own: {TRIPLED}." in refused.value.message
    assert refused.value.message.endswith(f"trusted=['{TRIPLED}']")
    assert not (tmp_path / "model").exists()

    save_model(pipeline, tmp_path / "model", numbers, trusted=[TRIPLED])
    with pytest.raises(click.ClickException, match="trusted="):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", trusted=[TRIPLED])
    np.testing.assert_array_equal(loaded.predict(numbers), pipeline.predict(numbers))


def test_a_model_that_cannot_be_stored_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="cannot be stored as a skops file: Objects of type"):
        save_model(Birch().fit(FEATURES[["class"]]), tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("sklearn.tree._tree.Tree", True),
        ("sklearn.neighbors._kd_tree.KDTree", True),
        ("sklearn.feature_selection._univariate_selection.f_classif", True),
        ("sklearn.metrics._classification.balanced_accuracy_score", True),
        ("numpy.dtype", True),
        ("numpy.load", False),
        ("os.system", False),
        ("sklearn.utils._testing.check_output", False),
        ("sklearn.base.inspect", False),
        ("sklearn.compose._column_transformer.Counter", False),
        ("sklearn.metrics._scorer.partial", False),
        ("sklearn.datasets._base.load_iris", False),
        ("sklearn.nowhere.Thing", False),
        ("sklearnlike.Thing", False),
    ],
)
def test_only_what_scikit_learn_defines_is_harmless(name: str, harmless: bool) -> None:
    assert skops_file.is_harmless(name) is harmless


def test_a_model_with_foreign_types_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(skops.io.dumps([subprocess.check_output]))
    with pytest.raises(click.ClickException, match=r"subprocess.check_output"):
        skops_file.load(tmp_path / "model.skops")


def test_a_pickle_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    save_model(fitted(RidgeClassifier()), tmp_path / "model")
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    described["flavors"]["sklearn"]["serialization_format"] = "cloudpickle"
    (tmp_path / "model" / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(click.ClickException, match="stored as cloudpickle"):
        load_model(tmp_path / "model")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="there is no model model in"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"no zip", str(zipfile.ZipFile.__doc__).encode()])
def test_a_damaged_model_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(content)
    with pytest.raises(click.ClickException, match="is not a skops file"):
        skops_file.load(tmp_path / "model.skops")


# The same bytes


def test_a_canonical_file_is_its_own_canonical_form() -> None:
    tree = fitted(DecisionTreeClassifier(random_state=0))
    once = skops_file.dumped(tree)
    assert skops_file.canonical(once) == once
    assert skops_file.dumped(tree) == once


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
    content = skops.io.dumps(fitted(DecisionTreeClassifier(random_state=0)))
    first, second = with_padding(content, 0), with_padding(content, 0xAA)
    assert len(first) == len(second)
    assert first != second, "the trees of this scikit-learn have no unused bytes any more"
    assert skops_file.canonical(first) == skops_file.canonical(second)
