"""What the command of an entry point runs, as far as its text alone tells."""

import re
import shlex
from collections.abc import Sequence

WRAPPER = "mlflow_workflow.step"
PYTHONS = ("python", "python3")
HARMLESS = ("-u", "-B", "-O", "-OO", "-b", "-q", "-v")
"""Options of Python with which it still runs what it is told, and is seen to."""
PLACEHOLDER = re.compile(r"(?<!\{)\{\w+\}(?!\})")
"""For the value of a parameter, which MLflow quotes."""
VARIABLE = re.compile(r"\$(?:\{\{(\w+)\}\}|(\w+))")
"""Of the environment; MLproject has braces for the shell twice."""
FOR_THE_SHELL = set("|&;<>()$`\\\n*?[]{}~#!")


def variables(command: str) -> list[str]:
    """The environment variables that a command expands."""
    return sorted({match[1] or match[2] for match in VARIABLE.finditer(command)})


def python_words(command: str) -> list[str] | None:
    """`-m module …` or `file.py …`, if that is all a command runs; None if it may run anything else.

    Below `python -m mlflow_workflow.step --` it may stand as well.
    """
    text = PLACEHOLDER.sub("x", VARIABLE.sub("x", command.strip()))
    if set(text) & FOR_THE_SHELL:
        return None
    try:
        return plain_python(shlex.split(text))
    except ValueError:
        return None


def plain_python(words: Sequence[str]) -> list[str] | None:
    """What Python is told to run; None if it is not Python that is run."""
    if not words or words[0] not in PYTHONS:
        return None
    rest = [*words[1:]]
    while rest and rest[0] in HARMLESS:
        rest.pop(0)
    if rest[:2] == ["-m", WRAPPER]:
        return plain_python(rest[3:] if rest[2:3] == ["--"] else rest[2:])
    is_module = rest[:1] == ["-m"] and len(rest) > 1
    return rest if is_module or (rest and rest[0].endswith(".py")) else None
