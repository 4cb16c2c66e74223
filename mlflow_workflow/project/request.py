"""What was asked for, checked: a task, settings, and a node for every step of every combination."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_workflow.basics.credentials import refuse_credentials
from mlflow_workflow.basics.errors import WorkflowError, suggestion
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.named_data import Texts, data_texts, refuse_unfit_data
from mlflow_workflow.project.nodes import Node, make_nodes
from mlflow_workflow.project.parameters import (
    TRUTH,
    Config,
    Values,
    check_config,
    main_values,
    read_bool,
    read_config,
    step_values,
    typed,
)
from mlflow_workflow.project.settings import SETTINGS
from mlflow_workflow.project.sweep import Combination, Variant, expand, overrides_of, read_sweep


@dataclass(frozen=True)
class Request:
    """What was asked for, checked: nothing has run yet. `texts` are the values that may name data."""

    workflow: Workflow
    task: str
    settings: Mapping[str, str]
    configs: tuple[Path, ...]
    texts: Texts
    nodes: tuple[Node, ...]
    variants: tuple[Variant, ...]
    given: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """A setting that is true or false."""
        return read_bool(self.settings.get(name, "false"))

    @property
    def keep_going(self) -> bool:
        """Shall what does not depend on a failure go on? By default in a sweep only."""
        return self.flag("keep_going") if self.settings["keep_going"] else len(self.variants) > 1

    @property
    def jobs(self) -> int:
        """How many steps may run at the same time; 0 stands for the processors of this machine."""
        return int(self.settings["jobs"]) or processors()


def processors() -> int:
    """How many processors this process may use; not every system can tell, then how many there are."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def make_request(project: Path, workflow: Workflow, given: Mapping[str, str]) -> Request:
    """What was asked for, with every value resolved and checked.

    Raises:
        WorkflowError: what cannot be done, before anything runs.
    """
    for name, value in given.items():
        refuse_credentials(f"parameter {name!r}", value)
    own = {n: v for n, v in given.items() if n in workflow.main.parameters}
    pins = {n: v for n, v in given.items() if n in workflow.steps}
    overrides = {n: v for n, v in given.items() if n not in own and n not in pins}
    files = tuple(project / name for name in split(own.get("config", "")))
    configs = [open_config(workflow, file) for file in files]
    settings = main_values(workflow, own, configs)
    check_settings(workflow, settings)
    base = step_values(workflow, overrides, configs)
    all_values: list[Values] = []

    def make(combination: Combination) -> list[Node]:
        swept = overrides_of(workflow, combination, overrides, base)
        values = step_values(workflow, swept, configs)
        all_values.append(values)
        return make_nodes(workflow, settings["task"], values, pins, split(settings["rerun"]))

    nodes, variants = expand(workflow, read_sweep(settings["sweep"]), make)
    executed = [node for node in nodes if not node.pin]
    for node in executed:
        typed(node.step, node.values)
        refuse_unfit_data(project, node.step, node.values)
    return Request(
        workflow,
        settings["task"],
        settings,
        files,
        data_texts(workflow, all_values),
        tuple(nodes),
        tuple(variants),
        given,
    )


def check_settings(workflow: Workflow, settings: Mapping[str, str]) -> None:
    """Raises WorkflowError for a value of main's own parameters that means nothing."""
    typed(workflow.main, settings)
    for name, value in settings.items():
        known = SETTINGS[name].choices if name in SETTINGS else ()
        others = {workflow.main.parameters[name].default or "", *(TRUTH if "true" in known else ())}
        if known and value not in {*known, *others}:
            raise WorkflowError(f"{name} cannot be {value!r}{suggestion(value, known)}")
    for name in set(split(settings["rerun"])) - {"all", *workflow.steps}:
        raise WorkflowError(f"rerun names the unknown step {name!r}{suggestion(name, workflow.steps)}")
    if int(settings["jobs"]) < 0:
        raise WorkflowError("jobs must be 0 (one per processor) or more")


def open_config(workflow: Workflow, file: Path) -> Config:
    """A config file, checked against MLproject. Raises WorkflowError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "a relative path is looked up in the project folder"
        raise WorkflowError(f"cannot read the config file {file}: {error} ({hint})") from None
    refuse_credentials(f"config file {file}", text)
    config = read_config(text, file.name)
    check_config(workflow, config)
    return config


def split(text: str) -> list[str]:
    """The words of a comma list."""
    return [word.strip() for word in text.split(",") if word.strip()]
