"""What a step printed."""

from pathlib import Path

TAIL = 20_000
"""Bytes in which the last lines are looked for."""


def last_lines(log: Path, most: int = 12) -> list[str]:
    """The end of a log, without empty lines; nothing if there is no log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        text = file.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-most:]
