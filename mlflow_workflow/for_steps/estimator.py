"""An estimator of scikit-learn by its name, with parameters as people type them."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import click
from sklearn.utils import all_estimators

from mlflow_workflow.basics import yaml_text
from mlflow_workflow.basics.errors import WorkflowError, suggestion

LONGEST = 10_000  # characters; no estimator has parameters that need as many


class YamlMapping(click.ParamType[dict[str, Any]]):
    """The type of an option such as `{alpha: 0.5}`."""

    name = "YAML mapping"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Read the mapping. Raises BadParameter: the text is none."""
        if isinstance(value, dict):
            return value
        if len(value) > LONGEST:
            self.fail(f"longer than {LONGEST} characters", param, ctx)
        try:
            found = yaml_text.load(value, "the value")
        except WorkflowError as error:
            self.fail(str(error), param, ctx)
        if not isinstance(found, dict | None):
            self.fail(f"must be a mapping such as {{alpha: 0.5}}, not {value}", param, ctx)
        return {name: number(item) for name, item in (found or {}).items()}


def number(value: Any) -> Any:
    """Read 1e-3 as the number it is; YAML wants 1.0e-3 and takes anything else for text."""
    written = isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value, re.IGNORECASE)
    return float(value) if written else value


def unfitted(name: str, given: Mapping[str, Any], seed: int, kind: str = "classifier") -> Any:
    """Make an estimator of a kind. The seed counts where it takes one and none was given.

    Raises UsageError: no such estimator, no such parameter, or one missing that it needs.
    """
    kinds = dict(all_estimators(type_filter=kind))
    if name not in kinds:
        raise click.UsageError(f"{name!r} is no {kind} of scikit-learn{suggestion(name, kinds)}")
    known = inspect.signature(kinds[name]).parameters
    for key in given:
        if key not in known:
            raise click.UsageError(f"{name} has no parameter {key!r}{suggestion(str(key), known)}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty and key not in given:
            raise click.UsageError(f"{name} needs a value for {key!r}")
    seeded = {"random_state": seed} if "random_state" in known else {}
    return kinds[name](**{**seeded, **given})
