"""What an execution was seen to use: the record under which a run is published and found again."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePosixPath
from typing import Any

from mlflow_workflow.basics import canonical
from mlflow_workflow.identity.disk import ABSENT, BY_PRODUCTS, THERE, Disk, lies_in, stamp
from mlflow_workflow.identity.notes import NOT_THERE, Note, Notes
from mlflow_workflow.identity.packages import Packages

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """What a step used beside its parameters, its data, and the outputs of other steps.

    `files` maps paths from the project (of what lies outside its repository: from the root) to a
    sha256, THERE if only that was asked, or ABSENT for what was looked for in vain; `folders` those that
    were listed to a digest of the names in them; `made` are names that the step itself put there.
    `packages` maps names to versions; `roots` the project's folders where modules are looked for to the
    names there that hide modules of Python or of packages. `programs` ran and cannot be seen; `whole` is
    then a digest of all files of the project. `sought` are modules that nobody had.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    made: tuple[str, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    programs: tuple[str, ...] = ()
    sought: tuple[str, ...] = ()
    whole: str | None = None

    @property
    def digest(self) -> str:
        """By which a run and its record belong together."""
        return canonical.digest(self.content())

    def content(self) -> dict[str, Any]:
        """The record as JSON values; what is empty is left out."""
        return {"format": FORMAT, **{name: value for name, value in asdict(self).items() if value}}


def to_json(record: Record) -> str:
    """The record for people and for `from_json`."""
    return json.dumps(record.content(), indent=1, sort_keys=True)


def from_json(text: str) -> Record:
    """The record in a text. Raises ValueError if there is none that this version knows."""
    content = json.loads(text)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise ValueError("this is no record that this version knows")
    if unknown := set(content) - {each.name for each in fields(Record)}:
        raise ValueError(f"a record has no {', '.join(sorted(unknown))}")
    for name in ("made", "programs", "sought"):
        content[name] = tuple(content.get(name, ()))
    content["roots"] = {root: tuple(names) for root, names in content.get("roots", {}).items()}
    return Record(**content)


@dataclass(frozen=True)
class Project:
    """Where a project is, and the repository that it may lie in; both without links."""

    folder: Path
    top: Path

    def name(self, path: str) -> str:
        """The path from the project, also of what its repository holds elsewhere; else from the root."""
        for folder, top in ((self.folder, self.top), (self.folder.resolve(), self.top.resolve())):
            if Path(path).is_relative_to(top):
                return Path(os.path.relpath(path, folder)).as_posix()
        return path


def make_record(
    notes: Notes,
    project: Project,
    disk: Disk,
    packages: Packages,
    *,
    left_out: Iterable[Path],
) -> tuple[Record, list[str]]:
    """The record of a step that has ended, and the names of what changed since it was read.

    `left_out` are files and folders that count by themselves or not at all. Programs that
    cannot be seen are not in it yet.
    """
    passed_over = [*left_out, *disk.left_out]
    read = {project.name(n.path): n for n in notes.of("r").values() if counts(n, notes, passed_over)}
    listed = {project.name(n.path): n for n in notes.of("l").values() if counts(n, notes, passed_over)}
    asked = {project.name(n.path): n for n in notes.of("e").values() if counts(n, notes, passed_over)}
    own = sorted(project.name(path) for path in notes.of("w") if not lies_in(path, passed_over))
    roots = {project.name(path) for path in notes.of("d")}
    record = Record(
        files={
            **dict.fromkeys(missing(disk, packages, roots, notes.of("i")), ABSENT),
            **{name: ABSENT if is_gone(note) else THERE for name, note in asked.items()},
            **{name: ABSENT if is_gone(note) else disk.file(name) for name, note in read.items()},
        },
        folders={name: disk.listing(name, own) for name in listed},
        made=tuple(own) if listed else (),
        packages={name: str(packages.version(name)) for name in packages.owners(notes.of("p"))},
        roots={root: hiding(disk, packages, root) for root in roots},
        sought=sought(disk, packages, roots, notes.of("i")),
    )
    moved = {name for name, note in read.items() if changed(note, disk.project / name)}
    moved |= {n for n, note in asked.items() if is_gone(note) == disk.is_there(n)}
    moved -= {name for name in own if is_gone({**asked, **read}.get(name))}
    full = {parent_of(name) for name in own}
    moved |= {n for n, note in listed.items() if n not in full and changed(note, disk.project / n)}
    return record, sorted(moved)


def counts(note: Note, notes: Notes, left_out: Iterable[Path]) -> bool:
    """Does what was read or listed belong in a record?"""
    by_product = BY_PRODUCTS & set(note.path.split("/"))
    return not by_product and not notes.made_before(note) and not lies_in(note.path, left_out)


def is_gone(note: Note | None) -> bool:
    """Was it looked for in vain?"""
    return note is not None and note.state == NOT_THERE


def changed(note: Note, path: Path) -> bool:
    """Is it in another state than when it was met?"""
    return (stamp(path) or NOT_THERE) != note.state


def parent_of(name: str) -> str:
    """The folder that something is in, as a path from the project."""
    return PurePosixPath(name).parent.as_posix()


def missing(
    disk: Disk, packages: Packages, roots: Iterable[str], modules: Iterable[str]
) -> Iterator[str]:
    """The files that would be modules which the project imports and which nobody has."""
    elsewhere = sys.stdlib_module_names | packages.modules
    for module in modules:
        first, *more = module.split(".")
        for root in roots if first not in elsewhere else ():
            folder = root
            for part in (first, *more):
                name = PurePosixPath(folder, part).as_posix()
                if part not in disk.modules_in(folder):
                    yield from (f"{name}.py", f"{name}/__init__.py")
                    break
                # What would come before the file that was loaded.
                before = (f"{name}/__init__.py", *(f"{name}{end}" for end in EXTENSION_SUFFIXES))
                yield from (each for each in before if disk.file(each) == ABSENT)
                folder = name
                if not (disk.project / folder).is_dir():
                    break


def sought(
    disk: Disk, packages: Packages, roots: Iterable[str], modules: Iterable[str]
) -> tuple[str, ...]:
    """The modules that the project imports, or tries to, and that neither it nor a package has."""
    elsewhere = sys.stdlib_module_names | packages.modules
    own = {name for root in roots for name in disk.modules_in(root)}
    return tuple(sorted({module.partition(".")[0] for module in modules} - elsewhere - own))


def hiding(disk: Disk, packages: Packages, root: str) -> tuple[str, ...]:
    """The names in a folder of modules that hide modules of Python itself, or of installed packages."""
    return tuple(sorted(disk.modules_in(root) & (sys.stdlib_module_names | packages.modules)))
