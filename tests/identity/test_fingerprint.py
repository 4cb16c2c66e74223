"""Two executions have one fingerprint exactly when every ingredient of their identities is equal."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_workflow.basics.canonical import canonical, digest
from mlflow_workflow.identity.fingerprint import KINDS, Identity, fingerprint, near_keys, summary
from mlflow_workflow.project.graph import Parameter, Step
from mlflow_workflow.project.parameters import typed
from tests.conftest import ROOT

GOLDEN = Path(__file__).parent / "golden" / "identity.json"
NAMES = st.text(max_size=8)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(NAMES, v, max_size=3), max_leaves=4
)
INGREDIENTS = st.dictionaries(NAMES, VALUES, max_size=2)
QUICK = settings(max_examples=30, deadline=None)
IDENTITIES = st.builds(Identity, step=NAMES, **dict.fromkeys(KINDS, INGREDIENTS))


def reordered(value: Any) -> Any:
    """The same value with every mapping filled the other way round."""
    if isinstance(value, Mapping):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@QUICK
@given(IDENTITIES)
def test_the_order_in_which_ingredients_come_does_not_matter(identity: Identity) -> None:
    other = Identity(identity.step, **{k: reordered(i) for k, i in identity.kinds().items()})
    assert fingerprint(other) == fingerprint(identity)


@QUICK
@given(IDENTITIES, st.sampled_from(KINDS), NAMES, VALUES)
def test_one_changed_ingredient_of_any_kind_changes_the_fingerprint(
    identity: Identity, kind: str, name: str, value: Any
) -> None:
    changed = replace(identity, **{kind: {**getattr(identity, kind), name: value}})
    before = getattr(identity, kind)
    same = name in before and canonical(before[name]) == canonical(value)
    assert (fingerprint(changed) == fingerprint(identity)) == same


@QUICK
@given(IDENTITIES, st.sampled_from(KINDS), NAMES, VALUES)
def test_one_ingredient_more_changes_the_fingerprint_even_if_it_is_empty(
    identity: Identity, kind: str, name: str, value: Any
) -> None:
    with_it = replace(identity, **{kind: {**getattr(identity, kind), name: value}})
    rest = {n: v for n, v in getattr(with_it, kind).items() if n != name}
    assert fingerprint(replace(with_it, **{kind: rest})) != fingerprint(with_it)


@QUICK
@given(IDENTITIES, NAMES)
def test_another_step_has_another_fingerprint(identity: Identity, step: str) -> None:
    renamed = replace(identity, step=step)
    assert (fingerprint(renamed) == fingerprint(identity)) == (step == identity.step)


@QUICK
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=2), st.permutations(KINDS))
def test_an_ingredient_counts_in_its_own_kind_only(ingredients: Any, kinds: list[str]) -> None:
    here, there = (
        Identity("step", **{**{each: {} for each in KINDS}, kind: ingredients}) for kind in kinds[:2]
    )
    assert fingerprint(here) != fingerprint(there)


@settings(QUICK, max_examples=10)
@given(IDENTITIES)
def test_a_summary_always_fits_a_tag(identity: Identity) -> None:
    many = {f"{n}{i}": v for n, v in identity.parameters.items() for i in range(100)}
    assert len(canonical(summary(replace(identity, parameters=many, data=many)))) <= 8_000


@QUICK
@given(IDENTITIES, NAMES, VALUES, VALUES)
def test_runs_that_differ_in_one_parameter_have_a_near_key_in_common(
    identity: Identity, name: str, one: Any, other: Any
) -> None:
    here, there = (
        replace(identity, parameters={**identity.parameters, name: value}) for value in (one, other)
    )
    assert near_keys(here)["parameters"] == near_keys(there)["parameters"]


# -- the same in every process, and in years


def test_the_format_is_what_it_was_when_the_golden_file_was_written() -> None:
    golden = json.loads(GOLDEN.read_text())
    text = "the format changed: count FORMAT up and write the golden file anew"
    assert fingerprint(Identity(**golden["identity"])) == golden["fingerprint"], text


PRINT = """
import json, sys
from mlflow_workflow.identity.fingerprint import Identity, fingerprint
identity = json.load(open(sys.argv[1]))["identity"]
names = set(identity["parameters"]) | set(identity["environment"])  # in the order of the hash seed
for kind in ("parameters", "environment"):
    identity[kind] = {n: identity[kind][n] for n in names if n in identity[kind]}
print(fingerprint(Identity(**identity)))
"""


def test_the_fingerprint_is_the_same_in_every_process_whatever_its_hash_seed() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", PRINT, str(GOLDEN)],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("0", "1", "4000000000")
    }
    assert found == {json.loads(GOLDEN.read_text())["fingerprint"]}


# -- typed parameters: what means the same is the same


def typed_digest(kind: str, text: str) -> str:
    step = Step("s", "python -m s", {"p": Parameter("p", kind, None)})
    return digest(typed(step, {"p": text}))


@QUICK
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_way_to_write_a_float_is_the_same_float(number: float) -> None:
    exact = Decimal(number)
    forms = (repr(number), f"{number:.20e}", f"{exact:f}", f"{exact:E}", f" {number!r} ")
    assert len({typed_digest("float", form) for form in forms}) == 1


def test_trailing_zeros_and_exponents_do_not_make_another_number() -> None:
    assert len({typed_digest("float", text) for text in ("0.50", "0.5", "5e-1", ".5", "+0.5")}) == 1
    assert len({typed_digest("float", text) for text in ("2", "2.0", "2e0", "20E-1")}) == 1


@QUICK
@given(NUMBERS.map(float), NUMBERS.map(float))
def test_two_floats_are_the_same_only_if_they_are_equal(one: float, other: float) -> None:
    same = typed_digest("float", repr(one)) == typed_digest("float", repr(other))
    assert same == (repr(one) == repr(other))


@QUICK
@given(st.integers(), st.integers())
def test_two_whole_numbers_are_the_same_only_if_they_are_equal(one: int, other: int) -> None:
    assert typed_digest("int", f"{one:+d}") == typed_digest("int", str(one))
    assert (typed_digest("int", str(one)) == typed_digest("int", str(other))) == (one == other)


def test_truth_may_be_written_in_any_way() -> None:
    yes, no = (
        {typed_digest("bool", t) for t in texts} for texts in (("true", "True", "1"), ("no", "0"))
    )
    assert len(yes) == len(no) == 1
    assert yes != no


@QUICK
@given(st.text(), st.text())
def test_two_texts_are_the_same_only_if_every_character_is(one: str, other: str) -> None:
    if "\0" not in one + other:
        assert (typed_digest("string", one) == typed_digest("string", other)) == (one == other)


@QUICK
@given(st.dictionaries(st.text("abc", min_size=1), VALUES.filter(lambda v: v != ""), max_size=4))
def test_the_order_of_keys_in_a_yaml_mapping_does_not_matter(mapping: dict[str, Any]) -> None:
    texts = [
        yaml.safe_dump(each, sort_keys=False, default_flow_style=flow)
        for each in (mapping, reordered(mapping))
        for flow in (True, False)
    ]
    assert len({typed_digest("yaml", text) for text in texts}) == 1


def test_yaml_values_of_different_types_are_different() -> None:
    texts = [
        "1",
        "'1'",
        "1.0",
        "true",
        "'true'",
        "[1]",
        "{1: a}",
        "{'1': a}",
        "2020-01-01",
        "'2020-01-01'",
    ]
    assert len({typed_digest("yaml", text) for text in texts}) == len(texts)


def test_comments_and_spaces_in_yaml_do_not_matter() -> None:
    texts = ["{a: 1, b: [2, 3]}", "{b: [2,3],   a: 1} # as before", "b: [2, 3]\na: 1\n"]
    assert len({typed_digest("yaml", text) for text in texts}) == 1
