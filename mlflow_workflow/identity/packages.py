"""The packages that are installed here: their versions, and which of them a file is of."""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.identity.disk import module_name
from mlflow_workflow.identity.origins import recorded, with_origin


@dataclass(frozen=True)
class Packages:
    """What is installed in the environment of the steps: the metadata folder of each package.

    `modules` are names that can be imported from where packages are.
    """

    found: Mapping[str, Path]
    modules: frozenset[str] = frozenset()

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions that were asked for."""
        return {}

    def version(self, name: str) -> str | None:
        """The version of a package, with what it was made of if that is known; None without it."""
        if name not in self.found:
            return None
        if name not in self.versions:
            self.versions[name] = version_in(self.found[name])
        return self.versions[name]

    @cached_property
    def urls(self) -> dict[str, str]:
        """The URL that every package was installed from that has one → name, version and origin."""
        packages = {name: PathDistribution(folder) for name, folder in self.found.items()}
        records = {name: recorded(package) for name, package in packages.items()}
        return {
            without_credentials(str(record["url"])).rstrip("/"): f"{name} {self.version(name)}"
            for name, record in records.items()
            if record.get("url")
        }

    def owners(self, parts: Iterable[str]) -> set[str]:
        """The packages that files or folders right below an installation folder are of."""
        wanted = set(parts)
        direct = {part: normal(part) for part in wanted if normal(part) in self.found}
        others = wanted - set(direct)
        indirect = {name for name, folder in self.found.items() if others and others & parts_in(folder)}
        return {*direct.values(), *indirect}


def version_in(folder: Path) -> str:
    """The version that a metadata folder is of. Its name tells it; to read it takes a while."""
    named = folder.stem.partition("-")[2]
    if named and not (folder / "direct_url.json").exists():
        return named
    return with_origin(PathDistribution(folder))


def installed() -> Packages:
    """The packages now. Cheap while nothing was installed or removed since it was asked last."""
    places = [place for place in sys.path if place and Path(place).is_dir()]
    return packages_in(tuple((place, Path(place).stat().st_mtime_ns) for place in places))


@lru_cache(maxsize=4)
def packages_in(places: tuple[tuple[str, int], ...]) -> Packages:
    """The packages in these folders, which last changed then. The first of a name is found."""
    found: dict[str, Path] = {}
    modules: set[str] = set()
    for place, _ in places:
        if place.endswith("-packages"):
            modules.update(module_name(each.name) for each in Path(place).iterdir())
        for folder in [*Path(place).glob("*.dist-info"), *Path(place).glob("*.egg-info")]:
            found.setdefault(normal(folder.stem.partition("-")[0]), folder)
    return Packages(found, frozenset(modules))


def normal(name: str) -> str:
    """A package's name as it counts (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=2048)
def parts_in(folder: Path) -> frozenset[str]:
    """The first parts of the paths that a package's list of files has."""
    package: Distribution = PathDistribution(folder)
    top = (package.read_text("top_level.txt") or "").split()
    files = (package.read_text("RECORD") or "").splitlines()
    firsts = {line.partition(",")[0].partition("/")[0] for line in files}
    return frozenset({*top, *firsts, *(first.partition(".")[0] for first in firsts)})
