"""Where things lie that the recorder hears of: in the project, in an installed package, or elsewhere."""

from __future__ import annotations

import os
import site
from os import stat as look_at  # as it is before anybody is told of questions

LIBRARY = f"{os.path.dirname(os.__file__)}/"


class Places:
    """The folders of a project and of what is installed; each ends with a slash."""

    def __init__(self, top: str) -> None:
        self.tops = tuple({f"{top}/", f"{os.path.realpath(top)}/"})
        users = [site.USER_SITE] if site.USER_SITE else []
        self.sites = tuple(f"{place}/" for place in [*site.getsitepackages(), *users])
        self.installed = (*self.sites, LIBRARY)

    def inside(self, place: str) -> str | None:
        """The path by which a file of the project is known; None for what lies elsewhere.

        Links in the project are kept: where they lead may change.
        """
        if place.startswith(self.tops):
            return place
        real = os.path.realpath(place)
        return real if real.startswith(self.tops) else None

    def part(self, path: str) -> str | None:
        """What of an installation folder a file is of; None of what says only how it is installed."""
        place = next((place for place in self.sites if path.startswith(place)), None)
        if place is None:
            return None
        first, _, rest = path[len(place) :].partition("/")
        part = first if rest and first != "__pycache__" else (rest or first).partition(".")[0]
        return None if part.endswith(("-info", ".pth")) else part

    def are_ours(self, file: str) -> bool:
        """Is a file with code the project's, and none of Python's own or of an installed package?"""
        return not file.startswith((*self.installed, "<"))

    def have(self, word: str) -> bool:
        """Does a word of a command name something in the project?"""
        place = absolute(word.strip("'\""))
        return place.startswith(self.tops) and os.path.lexists(place)


def is_there(path: str | bytes) -> bool:
    """Is there a file or folder?"""
    try:
        look_at(path)
    except (OSError, ValueError):
        return False
    return True


def absolute(path: str) -> str:
    """The path from the root; links are kept where that does not change what it means."""
    place = path if path[:1] == "/" else f"{os.getcwd()}/{path}"
    if "/." not in place and "//" not in place:
        return place.rstrip("/") or "/"
    return os.path.realpath(place) if "/.." in place else os.path.normpath(place)
