"""Which value a parameter has: default < config files < -P, and dotted before bare."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.parameters import check_config, main_values, read_config, step_values, typed

PROJECT = """
entry_points:
  main:
    command: python main.py
    parameters: {task: {default: fit}, config: {default: ""}, jobs: {type: int, default: 0}}
  load:
    command: python load.py
    parameters: {rate: {type: float, default: 0.5}, name: {type: string, default: plain}}
  fit:
    command: python fit.py
    parameters:
      load: path
      rate: {type: float, default: 0.1}
      steps: {type: int, default: 3}
      loud: {type: bool, default: "no"}
      options: {type: yaml, default: "{}"}
      label: string
"""


@pytest.fixture
def workflow() -> Workflow:
    return read_workflow(PROJECT)


def refusal(workflow: Workflow, name: str, text: str) -> str:
    with pytest.raises(WorkflowError) as error:
        typed(workflow.steps["fit"], {**step_values(workflow, {"label": "x"}, [])["fit"], name: text})
    return str(error.value)


def test_defaults_are_those_of_mlproject_and_what_nobody_gave_is_absent(workflow: Workflow) -> None:
    assert step_values(workflow, {}, []) == {
        "load": {"rate": "0.5", "name": "plain"},
        "fit": {"rate": "0.1", "steps": "3", "loud": "no", "options": "{}"},
    }


def test_a_config_file_wins_over_a_default_in_its_section_only(workflow: Workflow) -> None:
    values = step_values(workflow, {}, [read_config("fit: {rate: 0.7}", "a.yaml")])
    assert (values["load"]["rate"], values["fit"]["rate"]) == ("0.5", "0.7")


def test_of_two_config_files_the_later_wins_and_the_earlier_keeps_the_rest(workflow: Workflow) -> None:
    first = read_config("fit: {rate: 0.7, steps: 8}", "a.yaml")
    values = step_values(workflow, {}, [first, read_config("fit: {rate: 0.9}", "b.yaml")])
    assert (values["fit"]["rate"], values["fit"]["steps"]) == ("0.9", "8")


def test_a_bare_name_reaches_every_step_that_declares_it_and_wins_over_config(
    workflow: Workflow,
) -> None:
    values = step_values(workflow, {"rate": "2"}, [read_config("fit: {rate: 0.7}", "a.yaml")])
    assert (values["load"]["rate"], values["fit"]["rate"]) == ("2", "2")


def test_a_dotted_name_reaches_one_step_and_wins_over_the_bare_one(workflow: Workflow) -> None:
    values = step_values(workflow, {"fit.rate": "3", "rate": "2"}, [])
    assert (values["load"]["rate"], values["fit"]["rate"]) == ("2", "3")


@pytest.mark.parametrize(
    "text", ["no", "0.50", "1e3", "007", "null", "~", "2020-01-01", "0x10", "'quoted text'", "a: b"]
)
def test_a_scalar_of_a_config_file_stays_as_it_was_typed(text: str) -> None:
    shown = f'"{text}"' if ":" in text else text
    assert read_config(f"fit: {{label: {shown}}}", "a.yaml").sections["fit"]["label"] == text.strip("'")


def test_a_mapping_in_a_config_file_becomes_yaml_on_one_line(workflow: Workflow) -> None:
    config = read_config("fit:\n  options:\n    alpha: 0.50\n    names: [a, b]\n", "a.yaml")
    text = config.sections["fit"]["options"]
    assert text == "{alpha: 0.50, names: [a, b]}"
    given = {**step_values(workflow, {"label": "x"}, [config])["fit"]}
    assert typed(workflow.steps["fit"], given)["options"] == {"alpha": 0.5, "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fitt: {rate: 1}", "unknown section 'fitt' in 'a.yaml'; did you mean 'fit'?"),
        ("fit: {rat: 1}", "unknown parameter 'rat' in section 'fit' of 'a.yaml'; did you mean 'rate'?"),
        ("fit: {load: x}", "unknown parameter 'load' in section 'fit' of 'a.yaml'"),
        ("[fit]", "config file 'a.yaml' must be a YAML mapping"),
        ("fit: [3]", "section 'fit' of config file 'a.yaml' must be a YAML mapping"),
        ("rate: 3", "'rate' in config file 'a.yaml' belongs to no step: a file has a section for each"),
        ("fit: {rate: 1, rate: 2}", "config file 'a.yaml' names 'rate' twice in the mapping of line 1"),
        ("{[fit]: {rate: 1}}", "config file 'a.yaml' must be a YAML mapping"),
        ("a: &x [1]\nb: *x", "config file 'a.yaml' has a YAML alias (*x): write it out"),
        ("fit: {", "config file 'a.yaml' is not valid YAML"),
    ],
)
def test_a_config_file_that_does_not_fit_is_refused_by_name(
    workflow: Workflow, text: str, said: str
) -> None:
    with pytest.raises(WorkflowError) as error:
        check_config(workflow, read_config(text, "a.yaml"))
    assert said in str(error.value)


def test_an_empty_config_file_changes_nothing(workflow: Workflow) -> None:
    assert read_config("", "a.yaml").sections == {}
    assert read_config("# only a comment\n", "a.yaml").sections == {}
    assert read_config("fit:\n", "a.yaml").sections == {"fit": {}}


def test_settings_of_main_come_from_its_section_unless_given(workflow: Workflow) -> None:
    config = read_config("main: {jobs: 4}", "a.yaml")
    assert main_values(workflow, {"jobs": "0"}, [config])["jobs"] == "4"
    assert main_values(workflow, {"jobs": "2"}, [config])["jobs"] == "2"


@pytest.mark.parametrize("name", ["task", "config"])
def test_what_to_do_cannot_be_hidden_in_a_config_file(workflow: Workflow, name: str) -> None:
    with pytest.raises(WorkflowError, match=f"{name!r} cannot be set in 'a.yaml': give it with -P"):
        main_values(workflow, {}, [read_config(f"main: {{{name}: load}}", "a.yaml")])


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("steps", "x", "int"),
        ("steps", "1.5", "int"),
        ("steps", "", "int"),
        ("rate", "fast", "float"),
        ("loud", "maybe", "bool"),
        ("options", "{a: ", "yaml"),
        ("options", "!!python/object/apply:os.system [ls]", "yaml"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_the_type_it_must_have(
    workflow: Workflow, name: str, text: str, kind: str
) -> None:
    said = refusal(workflow, name, text)
    assert said.startswith(f"fit.{name} must be of type {kind}, not {text!r}")
    assert said.endswith(f"give -P fit.{name}=…")


def test_a_missing_required_value_is_named_with_the_cure(workflow: Workflow) -> None:
    with pytest.raises(WorkflowError, match=r"'label' of step 'fit' has no value: give -P fit\.label=…"):
        typed(workflow.steps["fit"], step_values(workflow, {}, [])["fit"])


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("rate", "0.50", "5e-1"),
        ("steps", "3", " 03"),
        ("loud", "no", "False"),
        ("options", "{a: 1, b: 2}", "b: 2\na: 1"),
    ],
)
def test_two_ways_to_write_one_value_are_one_value(
    workflow: Workflow, name: str, one: str, other: str
) -> None:
    base = {**step_values(workflow, {"label": "x"}, [])["fit"]}
    fit = workflow.steps["fit"]
    assert typed(fit, {**base, name: one}) == typed(fit, {**base, name: other})


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [("options", "{a: 1}", "{a: '1'}"), ("options", "{1: a}", "{'1': a}"), ("label", "0.5", "0.50")],
)
def test_values_of_different_kinds_stay_different(
    workflow: Workflow, name: str, one: str, other: str
) -> None:
    base = {**step_values(workflow, {"label": "x"}, [])["fit"]}
    fit = workflow.steps["fit"]
    assert typed(fit, {**base, name: one}) != typed(fit, {**base, name: other})


WORKFLOW = read_workflow(PROJECT)


@given(st.floats(allow_nan=False))
def test_every_float_survives_being_typed(number: float) -> None:
    values = step_values(WORKFLOW, {"label": "x", "fit.rate": repr(number)}, [])["fit"]
    found = typed(WORKFLOW.steps["fit"], values)["rate"]
    assert found == number
    assert math.copysign(1, found) == math.copysign(1, number)


@given(st.text())
def test_a_text_is_what_was_typed_or_refused_for_its_nul(text: str) -> None:
    values = step_values(WORKFLOW, {"label": text}, [])["fit"]
    if "\0" in text:
        with pytest.raises(WorkflowError, match="holds a NUL character"):
            typed(WORKFLOW.steps["fit"], values)
    else:
        assert typed(WORKFLOW.steps["fit"], values)["label"] == text
