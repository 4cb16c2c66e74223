"""A sweep: every combination of some parameters' values, each an execution of the task.

    {seed: [0, 1, 2], train.model: [RidgeClassifier, LogisticRegression]}

Steps that a swept parameter does not reach, directly or through their upstream, are shared.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from mlflow_workflow.basics import yaml_text
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.project.parameters import Values, shortened

MOST = 10_000
Combination = Mapping[str, str]
"""Swept name → its value as text."""


@dataclass(frozen=True)
class Variant:
    """The task with one combination of a sweep: the node of each of its steps."""

    combination: Combination
    nodes: Mapping[str, str]


def read_sweep(text: str) -> list[Combination]:
    """Every combination that a sweep's YAML asks for, in the order it was written.

    Raises:
        WorkflowError: it is no mapping of lists, or asks for too many.
    """
    where = "sweep"
    axes = {
        name: axis_values(name, node)
        for name, node in yaml_text.mapping(yaml_text.compose(text, where), where).items()
    }
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MOST:
        raise WorkflowError(f"sweep asks for {count:,} combinations; the most is {MOST:,}")
    return [dict(zip(axes, each, strict=True)) for each in itertools.product(*axes.values())]


def axis_values(name: str, node: yaml.Node) -> list[str]:
    """The values of one swept parameter, each once."""
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise WorkflowError(f"sweep must give a list of values for {name!r}: {name}: [a, b]")
    return list(dict.fromkeys(yaml_text.text_of(item) for item in node.value))


def overrides_of(
    workflow: Workflow, combination: Combination, given: Mapping[str, str], base: Values
) -> dict[str, str]:
    """The combination as overrides, on top of those given by -P.

    A name such as `train.model_params.alpha` sets one key of a `yaml` parameter.

    Raises:
        WorkflowError: a name that no step declares, or that was given a value as well.
    """
    overrides = dict(given)
    for name, text in combination.items():
        target, keys = target_of(workflow, name)
        if keys:
            step, _, parameter = target.partition(".")
            now = overrides.get(target, overrides.get(parameter, base[step].get(parameter, "{}")))
            overrides[target] = with_key(now, keys, text, name)
            continue
        for known in given:
            if name in (known, known.partition(".")[2]):
                twice = f"{name} is swept and {known} given as {given[known]!r}"
                raise WorkflowError(f"{twice}: leave one out")
        overrides[name] = text
    return overrides


def target_of(workflow: Workflow, name: str) -> tuple[str, list[str]]:
    """The parameter that a swept name sets, bare or dotted, and the keys within it."""
    own = {step.name: step.own_parameters for step in workflow.steps.values()}
    if any(name in parameters for parameters in own.values()):
        return name, []
    step, _, rest = name.partition(".")
    parameter, *keys = rest.split(".") if rest else [""]
    if parameter in own.get(step, {}) and (not keys or own[step][parameter].type == "yaml"):
        return f"{step}.{parameter}", keys
    known = [
        *(n for p in own.values() for n in p),
        *(f"{s}.{n}" for s, p in own.items() for n in p),
    ]
    raise WorkflowError(f"sweep names the unknown parameter {name!r}{suggestion(name, known)}")


def with_key(text: str, keys: Sequence[str], value: str, name: str) -> str:
    """A YAML mapping's text with one key, maybe a nested one, set."""
    whole = yaml_text.load(text, name) or {}
    inner: Any = whole
    for key in keys[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(inner, dict) else None
    if not isinstance(inner, dict):
        raise WorkflowError(f"sweep sets {name!r}, but what it is set in is no mapping")
    inner[keys[-1]] = yaml_text.load(value, name)
    return json.dumps(whole, ensure_ascii=False)


def expand(
    workflow: Workflow,
    combinations: Sequence[Combination],
    make: Callable[[Combination], list[Node]],
) -> tuple[list[Node], list[Variant]]:
    """The nodes of all combinations, shared ones once, and which of them make each combination.

    Raises:
        WorkflowError: a swept name that reaches no step of the task.
    """
    nodes: dict[str, Node] = {}
    variants = []
    labels: dict[str, Combination] = {}
    reach = {name: reached_by(workflow, name) for name in (combinations[0] if combinations else ())}
    for number, combination in enumerate(combinations):
        made = {node.step.name: node for node in make(combination)}
        if number == 0:
            refuse_idle(reach, made)
        names = {
            step: label(step, {} if node.pin else values_for(step, combination, reach), labels)
            for step, node in made.items()
        }
        variants.append(Variant(combination, names))
        for step, node in made.items():
            upstream = {above: names[above] for above in node.upstream}
            nodes.setdefault(names[step], replace(node, name=names[step], upstream=upstream))
    return list(nodes.values()), variants


def refuse_idle(reach: Mapping[str, set[str]], made: Mapping[str, Node]) -> None:
    """Raises WorkflowError for a swept name that no step of the task gets: all would be the same."""
    steps = {name for name, node in made.items() if not node.pin}
    for name, reached in reach.items():
        if not reached & steps:
            raise WorkflowError(f"sweep names {name!r}, which reaches none of {', '.join(made)}")


def values_for(step: str, combination: Combination, reach: Mapping[str, set[str]]) -> Combination:
    """The swept values that a step gets, directly or through its upstream."""
    return {name: text for name, text in combination.items() if step in reach[name]}


def label(step: str, values: Combination, labels: dict[str, Combination]) -> str:
    """`train seed=1 model=RidgeClassifier`; a number keeps apart what shortening made equal."""
    words = [f"{name.rpartition('.')[2]}={shortened(text, 40)}" for name, text in values.items()]
    plain = " ".join([step, *words])
    number = 1
    while labels.setdefault(name := numbered(plain, number), values) != values:
        number += 1
    return name


def numbered(name: str, number: int) -> str:
    """The name, with its number from the second on."""
    return name if number == 1 else f"{name} #{number}"


def reached_by(workflow: Workflow, name: str) -> set[str]:
    """The steps for which a swept parameter makes a difference, directly or through their upstream."""
    target, _ = target_of(workflow, name)
    declared, dot, _ = target.partition(".")
    direct = {declared} if dot else {s.name for s in workflow.steps.values() if name in s.own_parameters}
    return workflow.below(direct)
