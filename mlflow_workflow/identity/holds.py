"""Does a record still hold: is all that an execution was seen to use as it was?"""

from collections.abc import Callable, Iterator

from mlflow_workflow.identity.disk import ABSENT, THERE, Disk
from mlflow_workflow.identity.packages import Packages
from mlflow_workflow.identity.record import Record, hiding


def broken(record: Record, disk: Disk, packages: Packages, whole: Callable[[], str]) -> str | None:
    """The first thing that is not as a record has it, as a sentence; None if it holds."""
    found = differences(record, disk, packages)
    return next(found, None) or (everything(record, whole) if record.whole else None)


def differences(record: Record, disk: Disk, packages: Packages) -> Iterator[str]:
    """What is not as a record has it, in sentences."""
    for name, was in record.files.items():
        if is_other(disk, name, was):
            yield of_file(name, was, disk.file(name))
    for name, listing in record.folders.items():
        if disk.listing(name, record.made) != listing:
            yield f"the names in {name}, which it listed, changed"
    yield from of_modules(record, disk, packages)


def of_modules(record: Record, disk: Disk, packages: Packages) -> Iterator[str]:
    """Which modules would be others now, or be there at last."""
    for root, names in record.roots.items():
        if new := set(hiding(disk, packages, root)) - set(names):
            yield f"{min(new)} in {root} is new and hides a module that it may import"
    if new := set(record.sought) & packages.modules:
        yield f"module {min(new)}, which it looked for, is installed now"
    versions = {name: packages.version(name) for name in record.packages}
    for name, now in versions.items() - record.packages.items():
        yield f"package {name} {record.packages[name]} → {now or 'not installed'}, which it loaded"


def is_other(disk: Disk, name: str, was: str) -> bool:
    """Is a file not as it was, as far as that counts? What was absent may be a folder now."""
    if was == THERE:
        return not disk.is_there(name)
    return disk.file(name) != was or (was == ABSENT and disk.is_there(name))


def of_file(name: str, was: str, now: str) -> str:
    """How a file is not as it was."""
    if was == ABSENT:
        return f"{name}, which it looked for, is new"
    return f"{name}, which it read, {'is gone' if now == ABSENT else 'changed'}"


def everything(record: Record, whole: Callable[[], str]) -> str | None:
    """What to say if any file of the project is not as it was, where all count."""
    if record.whole == whole():
        return None
    programs = ", ".join(record.programs)
    return f"a file of the project changed, and all count because it ran {programs}"
