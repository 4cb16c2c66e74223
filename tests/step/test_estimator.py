"""Estimators by name, and parameters as people type them."""

from typing import Any

import click
import pytest
from sklearn.utils import all_estimators

from mlflow_workflow.for_steps.estimator import YamlMapping, unfitted


def parameters(text: str) -> dict[str, Any]:
    option = click.Option(["--model_params"], type=YamlMapping())
    return option.type_cast_value(click.Context(click.Command("train")), text)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_every_estimator_of_a_kind_can_be_named(kind: str) -> None:
    needing = set()
    for name, estimator in all_estimators(type_filter=kind):
        try:
            assert type(unfitted(name, {}, 0, kind)) is estimator
        except click.UsageError as error:
            needing.add(error.message.split()[-1])
    # Those that are made of others need them, and say so.
    assert needing <= {"'estimator'", "'estimators'"}


def test_the_seed_counts_unless_the_parameters_set_one() -> None:
    assert unfitted("RidgeClassifier", {}, 7).random_state == 7
    assert unfitted("RidgeClassifier", {"random_state": 3}, 7).random_state == 3
    assert "random_state" not in unfitted("GaussianNB", {}, 7).get_params()


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("RigdeClassifier", {}, "did you mean 'RidgeClassifier'?"),
        ("Ridge", {}, "no classifier of scikit-learn"),
        ("RidgeClassifier", {"alhpa": 1}, "did you mean 'alpha'?"),
        ("RidgeClassifier", {1: 1}, "has no parameter 1"),
        ("VotingClassifier", {}, "needs a value for 'estimators'"),
    ],
)
def test_an_unknown_name_or_parameter_is_refused_with_a_suggestion(
    name: str, given: dict[str, object], message: str
) -> None:
    with pytest.raises(click.UsageError) as refused:
        unfitted(name, given, 0)
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
    assert parameters(text) == expected


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
def test_anything_else_is_refused_in_one_sentence_that_names_the_option(text: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        parameters(text)
    assert "--model_params" in refused.value.format_message()
