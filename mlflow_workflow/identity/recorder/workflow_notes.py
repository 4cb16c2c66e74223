"""What a process of a step does, as notes.

A note is `kind, time, state, path`, tabs between them and a NUL at the end, appended to a file of the
process in the folder that WORKFLOW_RECORD names. Kinds: `s` a process started; `r` a file was read
(state `-`: it was not there); `e` it was asked whether something is there; `l` a folder was listed;
`w` a file or folder was made; `p` something of an installed package was read; `i` code of the project
imports a module; `d` a folder where modules are looked for; `x` a program ran that cannot be seen.
"""

from __future__ import annotations

import os
import stat
import sys
import time

from workflow_callers import (
    HERE,
    IMPORTER,
    RECORD,
    START,
    caller,
    is_import,
    is_python,
    notes_itself,
)
from workflow_places import LIBRARY, Places, absolute, is_there, look_at
from workflow_questions import hook_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Path = str | bytes | int | None

NOT_THERE, THERE = "-", "there"
STARTED = time.time_ns()


class Recorder:
    """What one process, and those that it forks, noted so far."""

    def __init__(self, folder: str, top: str) -> None:
        self.folder = folder
        self.places = Places(top)
        self.installed = self.places.installed
        self.lines: dict[tuple[str, str], bytes] = {}
        self.seen: set[str] = set()
        self.asked_for = {""}
        self.path: list[str] = []
        self.events: dict[str, Callable[..., None]] = {
            "open": self.opened,
            "os.listdir": self.listed,
            "os.scandir": self.listed,
            "import": self.imported,
            "ctypes.dlopen": self.read,
            "sqlite3.connect": self.connected,
            "os.rename": self.renamed,
            "os.link": lambda _old, new, *_: self.made_unless_there(new),
            "os.symlink": lambda _old, new, *_: self.made_unless_there(new),
            "os.mkdir": self.made_unless_there,
            "subprocess.Popen": lambda _program, words, _folder, variables: self.ran(words, variables),
            "os.exec": lambda _program, words, variables: self.ran(words, variables),
            "os.posix_spawn": lambda _program, words, variables: self.ran(words, variables),
            "os.system": self.ran,
            "os.putenv": self.changed,
            "os.unsetenv": self.changed,
        }
        self.hook = hook_for(self.events)

    # -- what happens

    def opened(self, path: Path, _mode: object, flags: int) -> None:
        """A file is opened: what is only written is not read."""
        if isinstance(path, int) or not path:
            return
        if flags & os.O_TRUNC or (flags & os.O_CREAT and not is_there(path)):
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
        loads = is_import()
        known = self.places.inside(place) or (os.path.realpath(place) if loads else None)
        if known and not known.startswith(self.installed):
            self.seen.add(place)
            self.note_file("r", known)
            if loads:
                self.note_roots()

    def connected(self, database: Path, *_: object) -> None:
        """A SQLite file is opened, by its name or a URI; what is not yet in it lies beside it."""
        if isinstance(database, int) or not database:
            return
        text = os.fsdecode(database)
        if text.startswith("file:"):
            from urllib.parse import unquote  # takes a moment that most steps need not wait for

            text = unquote(text.removeprefix("file:").partition("?")[0])
        self.read(text)
        if is_there(f"{text}-wal"):
            self.read(f"{text}-wal")

    def renamed(self, old: Path, new: Path, *_: object) -> None:
        """Something gets another name; or it is only tried."""
        self.read(old)
        if old and not isinstance(old, int) and os.path.lexists(old):
            self.made(new)

    def listed(self, path: Path = None) -> None:
        """A folder is listed; not by the import system, which does so on every way it looks."""
        if is_import():
            return
        if isinstance(path, int):
            place = os.path.realpath(f"/proc/self/fd/{path}")
        else:
            place = absolute(os.fsdecode(path or "."))
        known = None if f"{place}/".startswith(self.installed) else self.places.inside(place)
        if known and not f"{known}/".startswith(self.installed):
            self.note_file("l", known)

    def imported(self, name: str, file: str | None, *_: object) -> None:
        """A module is looked for; or a compiled one is loaded, from this file."""
        if file is not None:
            self.read(file)
            return
        first = name.partition(".")[0]
        known = first in self.seen or first in sys.stdlib_module_names
        if known or ("i", name) in self.lines:
            return
        if self.places.are_ours(caller(IMPORTER, f"{LIBRARY}importlib/")):
            self.note("i", name)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """A module is looked for, whatever way: we are the first of `sys.meta_path`, and have none."""
        self.imported(name, None)

    def made(self, path: Path, *_: object) -> None:
        """A file or folder of the project comes into being, or gets a new content."""
        if isinstance(path, int) or not path:
            return
        place = absolute(os.fsdecode(path))
        known = None if place.startswith(self.folder) else self.places.inside(place)
        if known:
            self.note("w", known)

    def made_unless_there(self, path: Path, *_: object) -> None:
        """What is there already is not made, whoever tries."""
        if path and not isinstance(path, int) and not os.path.lexists(path):
            self.made(path)

    def asked(self, path: Any, is_there: bool) -> None:
        """A program asks whether something is there, or what of it is."""
        place = "" if isinstance(path, int) else absolute(os.fsdecode(path))
        if place in self.asked_for or f"{place}/".startswith((self.folder, *self.installed)):
            return
        self.asked_for.add(place)
        known = self.places.inside(place)
        if known and not is_import():
            self.note("e", known, THERE if is_there else NOT_THERE)
            if is_there:  # who asks may read it by other means than Python's
                self.note_file("r", known)

    def ran(self, words: Any, variables: Any = None) -> None:
        """A program is started. A Python that runs this file notes for itself."""
        listed = [words] if isinstance(words, str | bytes) else list(words)
        said = [os.fsdecode(word) for word in listed]
        if len(said) > 1 and is_python(said[0]) and notes_itself(said[1:], variables):
            return
        typed = " ".join(said[2:] if said[1:2] == ["-c"] else said).split()
        whose = caller(IMPORTER, LIBRARY)  # of a thread of a pool the beginning is nobody's
        ours = whose == START or self.places.are_ours(whose)
        # So MLflow asks, for the tags of a run, whether git ignores a script; it reads no file for it.
        told_to_read = said[:2] != ["git", "check-ignore"] and any(map(self.places.have, typed))
        if ours or told_to_read:
            self.note("x", typed[0] if typed else said[0])

    def changed(self, name: bytes, value: bytes = b"") -> None:
        """An environment variable is set: without ours, programs that are started are not seen."""
        if name in (b"PYTHONPATH", os.fsencode(RECORD)) and os.fsencode(HERE) not in value:
            self.note("x", f"python with another {os.fsdecode(name)}")

    def of_package(self, path: str) -> None:
        """Something of an installed package is read; metadata is no part of it."""
        part = self.places.part(path)
        if part and part not in self.seen:
            self.seen.add(part)
            self.note("p", part)

    def loaded(self, file: str) -> None:
        """A module that was there before anything was noted."""
        if file.startswith(self.installed):
            self.of_package(file)
        elif file not in self.seen:
            self.seen.add(file)
            self.note_file("r", self.places.inside(file) or os.path.realpath(file), STARTED)

    # -- notes

    def note_roots(self) -> None:
        """Notes where modules are looked for, but for where packages are installed."""
        if sys.path != self.path:
            self.path = [*sys.path]
            for place in self.path:
                if is_there(place or ".") and not f"{place}/".startswith(self.installed):
                    self.note("d", absolute(place or "."))

    def note_file(self, kind: str, path: str, since: int = 0) -> None:
        """Notes a path with the state it is in now; nothing of what is no file or folder.

        One that changed `since` that time is noted in a state that no file is ever in.
        """
        try:
            now = look_at(path)
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
