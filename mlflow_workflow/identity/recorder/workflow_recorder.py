"""Notes what the Python processes of a step read of the project, as they read it.

Python itself imports this when it starts, since its folder is on PYTHONPATH: workers that a step spawns
are seen as well, and those that it forks go on noting. Only the standard library, and little of that.

A note is `kind, time, state, path`, tabs between them and a NUL at the end, appended to a file of the
process in the folder that WORKFLOW_RECORD names. Kinds: `s` a process started; `r` a file was read
(state `-`: it was not there); `l` a folder was listed; `w` a file or folder was made; `p` something
of an installed package was read; `i` code of the project imports a module; `d` a folder where modules
are looked for; `x` a program was started that cannot be seen.
"""

from __future__ import annotations

import os
import site
import stat
import sys
import time

from workflow_callers import HERE, IMPORTER, RECORD, absolute, caller, is_import, is_python, notes_itself

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Path = str | bytes | int | None

TOP = "WORKFLOW_TOP"
LIBRARY = f"{os.path.dirname(os.__file__)}/"
NOT_THERE = "-"
STARTED = time.time_ns()


class Recorder:
    """What one process, and those that it forks, noted so far."""

    def __init__(self, folder: str, top: str) -> None:
        self.folder = folder
        self.tops = tuple({f"{top}/", f"{os.path.realpath(top)}/"})
        users = [site.USER_SITE] if site.USER_SITE else []
        self.sites = tuple(f"{place}/" for place in [*site.getsitepackages(), *users])
        self.installed = (*self.sites, LIBRARY)
        self.lines: dict[tuple[str, str], bytes] = {}
        self.seen: set[str] = set()
        self.path: list[str] = []
        self.events: dict[str, Callable[..., None]] = {
            "open": self.opened,
            "os.listdir": self.listed,
            "os.scandir": self.listed,
            "import": self.imported,
            "ctypes.dlopen": self.read,
            "sqlite3.connect": self.read,
            "os.rename": lambda _old, new, *_: self.made(new),
            "os.link": lambda _old, new, *_: self.made(new),
            "os.symlink": lambda _old, new, *_: self.made(new),
            "os.mkdir": self.made,
            "subprocess.Popen": lambda _program, words, _folder, variables: self.ran(words, variables),
            "os.exec": lambda _program, words, variables: self.ran(words, variables),
            "os.posix_spawn": lambda _program, words, variables: self.ran(words, variables),
            "os.system": self.ran,
            "os.putenv": self.changed,
            "os.unsetenv": self.changed,
        }

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook."""
        handler = self.events.get(event)
        if handler:
            handler(*arguments)

    # -- what happens

    def opened(self, path: Path, _mode: object, flags: int) -> None:
        """A file is opened: what is only written is not read."""
        if isinstance(path, int) or not path:
            return
        if flags & os.O_TRUNC or (flags & os.O_CREAT and not os.path.exists(path)):
            self.made(path)
        elif not flags & os.O_WRONLY:
            self.read(path)

    def read(self, path: Path, *_: object) -> None:
        """A file is read, if it is of interest."""
        if isinstance(path, int) or not path or path in (":memory:", b":memory:"):
            return
        text = os.fsdecode(path)
        if text.startswith(self.installed):
            self.of_package(text)
            return
        place = absolute(text)
        if place in self.seen or place.startswith(self.folder):
            return
        self.seen.add(place)
        loads = is_import()
        known = self.inside(place) or (os.path.realpath(place) if loads else None)
        if known and not known.startswith(self.installed):
            self.note_file("r", known)
            if loads:
                self.note_roots()

    def listed(self, path: Path = None) -> None:
        """A folder is listed; not by the import system, which does so on every way it looks."""
        if is_import():
            return
        if isinstance(path, int):
            place = os.path.realpath(f"/proc/self/fd/{path}")
        else:
            place = absolute(os.fsdecode(path or "."))
        known = None if f"{place}/".startswith(self.installed) else self.inside(place)
        if known and not f"{known}/".startswith(self.installed):
            self.note_file("l", known)

    def imported(self, name: str, file: str | None, *_: object) -> None:
        """A module is looked for; or a compiled one is loaded, from this file."""
        if file is not None:
            self.read(file)
            return
        first = name.partition(".")[0]
        known = first in self.seen or first in sys.stdlib_module_names
        if not known and ("i", name) not in self.lines and self.is_ours(caller(IMPORTER)):
            self.note("i", name)

    def made(self, path: Path, *_: object) -> None:
        """A file or folder of the project comes into being, or gets a new content."""
        if isinstance(path, int) or not path:
            return
        place = absolute(os.fsdecode(path))
        known = None if place.startswith(self.folder) else self.inside(place)
        if known:
            self.note("w", known)

    def ran(self, words: Any, variables: Any = None) -> None:
        """A program is started. A Python that runs this file notes for itself."""
        listed = [words] if isinstance(words, str | bytes) else list(words)
        said = [os.fsdecode(word) for word in listed]
        if len(said) > 1 and is_python(said[0]) and notes_itself(said[1:], variables):
            return
        typed = " ".join(said[2:] if said[1:2] == ["-c"] else said).split()
        if self.is_ours(caller(IMPORTER, LIBRARY)) or any(self.names_file(word) for word in typed):
            self.note("x", typed[0] if typed else said[0])

    def changed(self, name: bytes, value: bytes = b"") -> None:
        """An environment variable is set: without ours, programs that are started are not seen."""
        if name in (b"PYTHONPATH", os.fsencode(RECORD)) and os.fsencode(HERE) not in value:
            self.note("x", f"python with another {os.fsdecode(name)}")

    def of_package(self, path: str) -> None:
        """Something of an installed package is read; metadata is no part of it."""
        place = next((place for place in self.sites if path.startswith(place)), None)
        if place is None:
            return
        first, _, rest = path[len(place) :].partition("/")
        part = first if rest and first != "__pycache__" else (rest or first).partition(".")[0]
        if part not in self.seen and not part.endswith(("-info", ".pth")):
            self.seen.add(part)
            self.note("p", part)

    def loaded(self, file: str) -> None:
        """A module that was there before anything was noted."""
        if file.startswith(self.installed):
            self.of_package(file)
        elif file not in self.seen:
            self.seen.add(file)
            self.note_file("r", self.inside(file) or os.path.realpath(file), STARTED)

    # -- what it means

    def inside(self, place: str) -> str | None:
        """The path by which a file of the project is known; None for what lies elsewhere.

        Links in the project are kept: where they lead may change.
        """
        if place.startswith(self.tops):
            return place
        real = os.path.realpath(place)
        return real if real.startswith(self.tops) else None

    def is_ours(self, file: str) -> bool:
        """Is a file with code the project's, and none of Python's own or of an installed package?"""
        return not file.startswith((*self.installed, "<"))

    def names_file(self, word: str) -> bool:
        """Does a word of a command name something in the project?"""
        place = absolute(word.strip("'\""))
        return place.startswith(self.tops) and os.path.lexists(place)

    def note_roots(self) -> None:
        """Notes where modules are looked for, but for where packages are installed."""
        if sys.path != self.path:
            self.path = [*sys.path]
            for place in self.path:
                if os.path.isdir(place or ".") and not f"{place}/".startswith(self.installed):
                    self.note("d", absolute(place or "."))

    def note_file(self, kind: str, path: str, since: int = 0) -> None:
        """Notes a path with the state it is in now; nothing of what is no file or folder.

        One that changed `since` that time is noted in a state that no file is ever in.
        """
        try:
            now = os.stat(path)
        except OSError:
            self.note(kind, path)
            return
        if stat.S_ISREG(now.st_mode) or (kind == "l" and stat.S_ISDIR(now.st_mode)):
            state = f"{now.st_size} {now.st_mtime_ns} {now.st_ctime_ns} {now.st_ino}"
            self.note(kind, path, "?" if 0 < since < now.st_ctime_ns else state)

    def note(self, kind: str, path: str, state: str = NOT_THERE) -> None:
        """Notes something once."""
        if (kind, path) not in self.lines:
            line = os.fsencode(f"{kind}\t{time.monotonic_ns()}\t{state}\t{path}\0")
            self.lines[kind, path] = line
            self.append(line)

    def append(self, line: bytes) -> None:
        """Appends at once, with a descriptor of its own: a step may close all that it finds open."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            number = os.open(f"{self.folder}{os.getpid()}", flags, 0o600)
        except FileNotFoundError:  # the folder goes with the orchestrator: nobody will read it
            return
        try:
            os.write(number, line)
        finally:
            os.close(number)


def start() -> Recorder | None:
    """Begins to note, if this process is of a step."""
    folder, top = os.environ.get(RECORD), os.environ.get(TOP)
    sys.path[:] = [place for place in sys.path if place != HERE]
    if not folder or not top:
        return None
    recorder = Recorder(f"{folder}/", top)
    read_sources_only(recorder.installed)
    recorder.note("s", str(os.getpid()))
    sys.addaudithook(recorder.hook)
    return recorder


def begin(before: Recorder | None) -> None:
    """In a copy of a running process: notes for the step that the copy becomes, with its variables.

    `before` is what `start` gave in the process that was copied, if it noted there.
    """
    sys.path[:] = [place for place in sys.path if place != HERE]
    recorder = before or start()
    if recorder is None:
        return
    if before:
        before.folder = f"{os.environ[RECORD]}/"
        for line in before.lines.values():
            before.append(line)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith(HERE):
            recorder.loaded(file)


def read_sources_only(installed: tuple[str, ...]) -> None:
    """Python trusts a `.pyc` by time and size of its source, both of which an edit may keep."""
    from importlib.machinery import SourceFileLoader

    usual = SourceFileLoader.path_stats

    def path_stats(loader: SourceFileLoader, path: str) -> object:
        if path.startswith(installed):
            return usual(loader, path)
        raise OSError  # so there is none to compare a `.pyc` with

    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]
