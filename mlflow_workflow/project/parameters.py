"""The value of every parameter of every step: defaults of MLproject < config files < -P."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mlflow_workflow.basics import yaml_text
from mlflow_workflow.basics.canonical import canonical
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.graph import MAIN, Parameter, Step, Workflow

TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

Values = dict[str, dict[str, str]]
"""Step name → parameter name → text, exactly as it will reach the step."""


@dataclass(frozen=True)
class Config:
    """One config file: its name for messages and, per section, the text of each parameter."""

    name: str
    sections: Mapping[str, Mapping[str, str]]


def read_config(text: str, name: str) -> Config:
    """A YAML file of sections named after steps, each `parameter: value`.

    Raises:
        WorkflowError: not such a file.
    """
    where = f"config file {name!r}"
    sections = yaml_text.mapping(yaml_text.compose(text, where), where)
    for section, node in sections.items():
        if isinstance(node, yaml.ScalarNode) and node.value:
            wrong = f"{section!r} in {where} belongs to no step: a file has a section for each step"
            raise WorkflowError(f"{wrong}, such as 'train: {{{section}: {node.value}}}'")
    return Config(
        name,
        {
            section: {
                parameter: yaml_text.text_of(value)
                for parameter, value in yaml_text.mapping(
                    node, f"section {section!r} of {where}"
                ).items()
            }
            for section, node in sections.items()
        },
    )


def check_config(workflow: Workflow, config: Config) -> None:
    """Raises WorkflowError for a section or parameter that MLproject does not declare."""
    sections = {MAIN: workflow.main, **workflow.steps}
    for section, settings in config.sections.items():
        if section not in sections:
            known = suggestion(section, sections)
            raise WorkflowError(f"unknown section {section!r} in {config.name!r}{known}")
        for name in settings:
            declared = sections[section].own_parameters
            if name not in declared:
                where = f"section {section!r} of {config.name!r}"
                known = suggestion(name, declared)
                raise WorkflowError(f"unknown parameter {name!r} in {where}{known}")


def main_values(
    workflow: Workflow, given: Mapping[str, str], configs: Iterable[Config]
) -> dict[str, str]:
    """Main's own parameters. MLflow fills in defaults, so a given default counts as not given.

    Raises:
        WorkflowError: `task` or `config` in a config file, where the above would not be true to
            what was typed.
    """
    values = {n: p.default or "" for n, p in workflow.main.parameters.items()}
    for config in configs:
        section = config.sections.get(MAIN, {})
        for name in {"task", "config"} & set(section):
            raise WorkflowError(f"{name!r} cannot be set in {config.name!r}: give it with -P {name}=…")
        values.update(section)
    explicit = {n: v for n, v in given.items() if v != (workflow.main.parameters[n].default or "")}
    return {**values, **explicit}


def step_values(workflow: Workflow, overrides: Mapping[str, str], configs: Iterable[Config]) -> Values:
    """The parameters of every step but the upstream ones.

    A bare name in `overrides` reaches every step that declares it, a dotted one (`train.alpha`)
    only that step and wins over the bare one. Required ones that nobody gave are left out.
    """
    values: Values = {}
    for step in workflow.steps.values():
        own = step.own_parameters
        values[step.name] = {n: p.default for n, p in own.items() if p.default is not None}
        for config in configs:
            values[step.name].update(config.sections.get(step.name, {}))
        values[step.name].update({n: overrides[n] for n in own if n in overrides})
        dotted = {n: overrides[f"{step.name}.{n}"] for n in own if f"{step.name}.{n}" in overrides}
        values[step.name].update(dotted)
    return values


def override_names(workflow: Workflow) -> list[str]:
    """Every name that -P may set beside main's own: a step to pin, a parameter bare or dotted."""
    own = [(step.name, name) for step in workflow.steps.values() for name in step.own_parameters]
    both = (form for step, name in own for form in (name, f"{step}.{name}"))
    return list(dict.fromkeys([*workflow.steps, *both]))


def describe(parameter: Parameter) -> str:
    """`int, default 5` or `path, required`."""
    empty = "''"
    given = "required" if parameter.default is None else f"default {parameter.default or empty}"
    return f"{parameter.type}, {given}"


def typed(step: Step, values: Mapping[str, str]) -> dict[str, Any]:
    """The values as JSON values of their declared types, so that 0.50 = 0.5 = 5e-1.

    Raises:
        WorkflowError: a value of the wrong type, or a required one that is missing.
    """
    return {
        parameter.name: typed_value(step.name, parameter, values.get(parameter.name))
        for parameter in step.own_parameters.values()
    }


def typed_value(step: str, parameter: Parameter, text: str | None) -> Any:
    """One value as a JSON value of its parameter's type. Raises WorkflowError if it is not one."""
    name = parameter.name if step == MAIN else f"{step}.{parameter.name}"
    if text is None:
        missing = f"parameter {parameter.name!r} of step {step!r} has no value: give -P {name}=…"
        upstream = ", or if it is the outputs of a step, name it like that step in MLproject"
        raise WorkflowError(missing + (upstream if parameter.type == "path" else ""))
    if "\0" in text:
        raise WorkflowError(f"the value of {name} holds a NUL character, which no process can get")
    try:
        return READERS.get(parameter.type, str)(text)
    except ValueError:
        wanted = f"{name} must be of type {parameter.type}, not {shortened(text)!r}"
        raise WorkflowError(f"{wanted}: give -P {name}=…") from None


def shortened(text: str, length: int = 60) -> str:
    """The text, cut for a message."""
    return text if len(text) <= length else f"{text[:length]}…"


def read_bool(text: str) -> bool:
    """Raises ValueError for a word that is neither true nor false."""
    if text.strip().lower() not in TRUTH:
        raise ValueError(text)
    return TRUTH[text.strip().lower()]


def read_yaml(text: str) -> Any:
    """A JSON value; dates and other types that JSON lacks count as their text."""
    try:
        return plain(yaml_text.load(text, "the value"))
    except WorkflowError as error:
        raise ValueError(str(error)) from None


def plain(value: Any) -> Any:
    """A YAML value with only JSON's types, in which unequal YAML values stay unequal.

    What JSON lacks becomes a mapping with one key that begins with `!`. No other mapping has such a key.
    """
    if isinstance(value, dict) and all(isinstance(key, str) and key[:1] != "!" for key in value):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, dict):
        return {"!map": sorted(([plain(k), plain(v)] for k, v in value.items()), key=canonical)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return {f"!{type(value).__name__}": str(value)}


READERS: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": read_bool,
    "yaml": read_yaml,
}
