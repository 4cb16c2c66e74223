"""What the steps share: a file of numbers, one a line."""

from pathlib import Path


def read(file: Path) -> list[float]:
    return [float(line) for line in file.read_text().split()]


def write(file: Path, numbers: list[float]) -> None:
    file.write_text("".join(f"{number:g}\n" for number in numbers))
