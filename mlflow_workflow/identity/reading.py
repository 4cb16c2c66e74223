"""One reading of code, environment and data, which serves a whole plan.

Each file is read once in it, git is asked once, and `again` looks only at what may have changed since.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.identity.code import Code, head_tree_of, read_code, tree_of
from mlflow_workflow.identity.disk import BY_PRODUCTS, Disk
from mlflow_workflow.identity.environment import read_environment
from mlflow_workflow.identity.fingerprint import CHANGE, Identity
from mlflow_workflow.identity.git import git
from mlflow_workflow.identity.holds import broken
from mlflow_workflow.identity.notes import read_notes
from mlflow_workflow.identity.packages import Packages, installed
from mlflow_workflow.identity.record import Project, Record, make_record
from mlflow_workflow.identity.sources import Sources
from mlflow_workflow.project.commands import python_words, variables
from mlflow_workflow.project.graph import Step, Workflow
from mlflow_workflow.project.named_data import Texts, data_of, data_path, named_data
from mlflow_workflow.project.parameters import plain, typed
from mlflow_workflow.project.settings import MODES

EVERYTHING = "every file of the project"
NOT_DECISIVE = ("timeout", "retries", "preload")
"""Keys of an entry: how long and how often a step may try does not change what it gives."""


@dataclass(frozen=True)
class Reading:
    """What executions depend on outside the workflow, as it was at one time.

    `fetched` are local copies of data that parameters name by URI. All that is asked of a reading is
    looked up when it is asked for first, and stays as it was then.
    """

    project: Path
    workflow: Workflow
    code: Code
    environment: Mapping[str, str]
    fetched: Mapping[str, Path]
    disk: Disk
    packages: Packages
    sources: Sources

    def again(self) -> "Reading":
        """A new reading, now; what bears the same stamp on the disk is not read again."""
        disk = self.disk.again()
        return replace(
            self,
            code=read_code(self.project, self.code.not_code, self.code),
            environment=read_environment(self.project, self.workflow.environment_file),
            disk=disk,
            packages=installed(),
            sources=self.sources.again(disk),
        )

    def data_of(self, step: Step, values: Mapping[str, str]) -> dict[str, Path]:
        """The parameters whose values name an existing file or folder, with its path."""
        return data_of(self.project, step, values, self.fetched)

    def named(self, step: Step, values: Mapping[str, str]) -> dict[str, dict[str, Path]]:
        """The parameters whose values name data, with all that each names."""
        return named_data(self.project, step, values, self.fetched)

    def digests(self, paths: Mapping[str, Path]) -> dict[str, str]:
        """The digests of all files that a parameter names."""
        return {
            "/".join(filter(None, (name, inside))): value
            for name, path in paths.items()
            for inside, value in self.disk.data_at(path).items()
        }

    def identify(
        self, step: Step, values: Mapping[str, str], upstream: Mapping[str, str | None]
    ) -> dict[str, Identity]:
        """What can be known of an execution before it starts, in each mode; they differ in `code` only.

        Data counts by its content. The text that names it counts, too, where a step gets it as a text.

        Raises:
            WorkflowError: a value of the wrong type, data that cannot be read, or `sources:` that
                match nothing.
        """
        data = {n: self.digests(paths) for n, paths in self.named(step, values).items()}
        texts = {name for name, each in step.own_parameters.items() if each.type == "string"}
        typed_values = typed(step, values).items()
        parameters = {name: value for name, value in typed_values if name in texts or name not in data}
        common = Identity(
            step=step.name,
            command={"command": step.command},
            parameters=parameters,
            code={},
            data=data,
            upstream=upstream,
            environment={**self.environment, **variables_of(step)},
        )
        return {mode: replace(common, code=self.code_of(step, mode)) for mode in MODES}

    def code_of(self, step: Step, mode: str) -> dict[str, str]:
        """The code of an execution, as far as it is known before.

        With match=commit a change that is not committed counts for the steps that are made of it.
        """
        entry = {n: v for n, v in step.entry.items() if n not in NOT_DECISIVE}
        known = {"entry in MLproject": digest(plain(entry))}
        if self.is_blind(step):
            known[EVERYTHING] = self.whole
        files = {name: self.disk.file(name) for name in self.sources.of(step)}
        if mode == "code" or self.code.commit is None:
            return {**known, **files}
        changed = {f"{CHANGE}{name}": value for name, value in files.items() if self.is_changed(name)}
        return {**known, "commit": self.code.commit, "path": self.code.path, **changed}

    def is_changed(self, name: str) -> bool:
        """Is a file of the project not as the commit has it, or in a repository that is not?"""
        path = os.path.normpath(Path(self.code.path, name))
        return any(place in self.code.changes for place in (path, *map(str, Path(path).parents)))

    def is_blind(self, step: Step) -> bool:
        """May a step read what cannot be seen, and does not say what it is made of?"""
        return step.sources is None and python_words(step.command) is None

    def blind(self, steps: Iterable[Step]) -> list[str]:
        """A sentence on every step for which all files of the project count."""
        return [
            f"{step.name}: what its command reads cannot all be seen, so every file of the project"
            " counts for it; list its files as 'sources:' in MLproject"
            for step in steps
            if self.is_blind(step)
        ]

    @cached_property
    def whole(self) -> str:
        """A digest of every file of the project, but for the store and what tools leave there."""
        names = everything(self.project, self.code)
        return digest({n: self.disk.state(n) for n in names if not self.disk.is_left_out(n)})

    @cached_property
    def tree(self) -> str | None:
        """The id of the git tree that a commit of exactly what is in the working folder would have."""
        return tree_of(self.code) if self.code.changes else self.head_tree

    @cached_property
    def head_tree(self) -> str | None:
        """The id of the git tree of the commit."""
        return head_tree_of(self.code)

    @property
    def top(self) -> Path:
        """The folder of which steps are seen to read: the repository, or the project without one."""
        return self.code.repository or self.project

    def record(self, raw: Path, step: Step, left_out: Iterable[Path]) -> tuple[Record, list[str]]:
        """What a step that has ended was seen to use, and what of it changed since it was read.

        `raw` is the folder of its notes. `left_out` are its outputs, the folders that it was given, the
        data that its parameters name, and where its temporary files are.
        """
        notes = read_notes(raw)
        record, changed = make_record(
            notes, Project(self.project, self.top), self.disk, self.packages, left_out=left_out
        )
        if step.sources is not None:
            declared = {name: self.disk.file(name) for name in self.sources.of(step)}
            return replace(record, files={**declared, **record.files}), changed
        if self.is_blind(step):
            return replace(record, programs=(step.command,), whole=self.whole), changed
        programs = tuple(sorted(notes.of("x"))) if notes.of("s") else ("a Python that cannot be seen",)
        return replace(record, programs=programs, whole=self.whole if programs else None), changed

    def broken(self, record: Record) -> str | None:
        """What is not as a record has it, as a sentence for people; None if the record holds."""
        return broken(record, self.disk, self.packages, lambda: self.whole)


def read(
    project: Path,
    workflow: Workflow,
    texts: Texts,
    store_paths: Iterable[Path],
    fetched: Mapping[str, Path],
) -> Reading:
    """The first reading of an invocation. `texts` are the values that may name data.

    Data and the tracking store do not count as code.
    """
    stores = tuple(store_paths)
    named = (data_path(project, kind, text) for kind, text in texts)
    disk = Disk(project, stores)
    return Reading(
        project=project,
        workflow=workflow,
        code=read_code(project, [*stores, *(path for path in named if path and path != project)]),
        environment=read_environment(project, workflow.environment_file),
        fetched=fetched,
        disk=disk,
        packages=installed(),
        sources=Sources(disk),
    )


def variables_of(step: Step) -> dict[str, str]:
    """The environment variables that count for a step, by digests: what they hold is not told."""
    names = {*step.env, *variables(step.command)}
    return {f"${name}": digest([name, os.environ.get(name)]) for name in sorted(names)}


def everything(project: Path, code: Code) -> set[str]:
    """The files of a project: those that git would commit, and what it ignores but in hidden folders.

    Virtual environments are left out, and what tools leave behind.
    """
    listing = ""
    if code.repository:
        listing = git(project, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    found = {name for name in listing.split("\0") if name}
    for here, folders, names in os.walk(project):
        folders[:] = [f for f in folders if f[0] != "." and not Path(here, f, ENVIRONMENT).exists()]
        found.update(Path(here, name).relative_to(project).as_posix() for name in names)
    environments = tuple(
        name.removesuffix(ENVIRONMENT) for name in found if name.endswith(f"/{ENVIRONMENT}")
    )
    kept = (name for name in found if not name.startswith(environments))
    return {name for name in kept if not BY_PRODUCTS & set(name.split("/"))}


ENVIRONMENT = "pyvenv.cfg"
"""The file that a folder with a virtual environment has."""
