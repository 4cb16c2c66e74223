"""How the recorder hears of what a program does: the audit hook, and `os.stat`, which has no event."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def hook_for(events: dict[str, Callable[..., None]]) -> Callable[[str, tuple[Any, ...]], None]:
    """The audit hook. A step has 100,000 events, of which 5,000 may be of interest."""
    handler_of = events.get

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        handler = handler_of(event)
        if handler:
            handler(*arguments)

    return hook


def tell_of_questions(asked: Callable[[Any, bool], None]) -> None:
    """From now on `asked` is called with every path that `os.stat` is asked about, and if it is there.

    By it programs learn whether a file exists. The import system has a way of its own.
    """
    usual = os.stat

    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if dir_fd is not None:
            return usual(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        try:
            found = usual(path, follow_symlinks=follow_symlinks)
        except (FileNotFoundError, NotADirectoryError):
            asked(path, False)
            raise
        asked(path, True)
        return found

    stat.__module__, stat.__qualname__ = "os", "stat"
    os.stat = stat
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        able.add(stat)


def tell_of_access(asked: Callable[[Any, bool], None]) -> None:
    """As `tell_of_questions`, for `os.access`."""
    usual = os.access

    def access(path: Any, mode: int, **how: Any) -> bool:
        if how.get("dir_fd") is None:
            asked(path, usual(path, os.F_OK))
        return usual(path, mode, **how)

    access.__module__, access.__qualname__ = "os", "access"
    os.access = access
    for able in (os.supports_dir_fd, os.supports_effective_ids, os.supports_follow_symlinks):
        if usual in able:
            able.add(access)
