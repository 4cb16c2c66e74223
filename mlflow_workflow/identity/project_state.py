"""What an execution depends on outside the workflow, read now: code, data, environment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.basics.files import sha256_of
from mlflow_workflow.identity.code import Code, read_code
from mlflow_workflow.identity.data import digest_data
from mlflow_workflow.identity.environment import read_environment
from mlflow_workflow.identity.fingerprint import Identity
from mlflow_workflow.identity.imports import read_sources
from mlflow_workflow.project.graph import Step, Workflow, command_words
from mlflow_workflow.project.named_data import Texts, data_of, data_path
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.project.parameters import plain, typed
from mlflow_workflow.project.settings import MODES


@dataclass(frozen=True)
class Surroundings:
    """The project as it is now; `fetched` are local copies of data that parameters name by URI."""

    project: Path
    code: Code
    environment: Mapping[str, str]
    fetched: Mapping[str, Path]

    def data_of(self, step: Step, values: Mapping[str, str]) -> dict[str, Path]:
        """The parameters whose values name an existing file or folder, with its path.

        A relative path is relative to the project, where the step runs.
        """
        return data_of(self.project, step, values, self.fetched)

    def unseen(self, nodes: Iterable[Node]) -> list[str]:
        """For each step whose imports reading cannot follow: where, and what to do."""
        steps = {node.step.name: node.step for node in nodes}
        places = {name: read_sources(self.project, step).unseen for name, step in steps.items()}
        return [
            f"{name}: {found[0]} loads code unseen; list the step's files as 'sources:' in MLproject"
            for name, found in places.items()
            if found
        ]


def read_surroundings(
    project: Path,
    workflow: Workflow,
    texts: Texts,
    store_paths: Iterable[Path],
    fetched: Mapping[str, Path],
) -> Surroundings:
    """The state of code and environment. Data and the tracking store do not count as code.

    `texts` are the values that may name data.
    """
    found = (data_path(project, kind, text) for kind, text in texts)
    data = [path for path in found if path is not None]
    code = [project / "MLproject", *(project / name for name in code_names(project, workflow))]
    # A file of the code, and a folder that holds one, is code, whatever else points at it.
    holders = {place for file in code for place in (file, *file.parents)}
    not_code = [path for path in [*data, *store_paths] if path not in holders]
    return Surroundings(
        project=project,
        code=read_code(project, not_code),
        environment=read_environment(project, workflow.environment_file),
        fetched=fetched,
    )


def code_names(project: Path, workflow: Workflow) -> set[str]:
    """What the steps and main are made of, and every word of a command that could name a file."""
    steps = workflow.steps.values()
    entries = [workflow.main, *steps]
    words = {
        word for each in entries for word in command_words(each.command) if word[:1] not in ("", "/")
    }
    return words.union(*(read_sources(project, step).files for step in steps))


def identify(
    around: Surroundings,
    step: Step,
    values: Mapping[str, str],
    upstream: Mapping[str, str | None],
) -> dict[str, Identity]:
    """The identity of an execution in each mode; they differ in the `code` kind only.

    Raises:
        WorkflowError: a value of the wrong type, or data that cannot be read.
    """
    data = around.data_of(step, values)
    parameters = {n: v for n, v in typed(step, values).items() if n not in data}
    common = Identity(
        step=step.name,
        command={"command": step.command},
        parameters=parameters,
        code={},
        data={name: digest_data(path) for name, path in data.items()},
        upstream=upstream,
        environment=around.environment,
    )
    files = code_files(around.project, step)
    overlooked = {name: value for name, value in files.items() if around.code.overlooks(name)}
    codes = {"commit": {**overlooked, **around.code.ingredients}, "code": files}
    return {mode: with_code(common, codes[mode]) for mode in MODES}


def with_code(identity: Identity, code: Mapping[str, str]) -> Identity:
    """The identity with this code."""
    return Identity(**{**vars(identity), "code": code})


def code_files(project: Path, step: Step) -> dict[str, str]:
    """The code of an identity in match=code mode: a digest of each file, and of the MLproject entry.

    Raises:
        WorkflowError: a step that declares `sources:` matching no file.
    """
    files = read_sources(project, step).files
    if step.sources is not None and not files:
        globs = ", ".join(step.sources)
        raise WorkflowError(f"'sources' of step {step.name!r} in MLproject match no file: {globs}")
    # How long and how often a step may try does not change what it gives.
    decisive = {n: v for n, v in step.entry.items() if n not in ("timeout", "retries", "preload")}
    entry = {"entry in MLproject": digest(plain(decisive))}
    return {**{name: sha256_of(project / name) for name in files}, **entry}
