"""A step's command line: what click makes of it, and in its --help what MLproject gives.

It imports nothing of the engine: whatever a step's files import counts as the code of the step.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import yaml


class StepCommand(click.Command):
    """`@click.command(cls=StepCommand, help=__doc__)`: its --help ends with the defaults of MLproject.

    They live there only, so that click knows nothing of them. Nothing reads them but --help.
    """

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes them below the options."""
        super().format_epilog(ctx, formatter)
        rows = given_by_mlproject(self.callback) if self.callback else []
        if rows:
            with formatter.section("What MLproject gives, if nobody else does"):
                formatter.write_dl(rows)


def given_by_mlproject(callback: Callable[..., object]) -> list[tuple[str, str]]:
    """Each parameter of the step whose script has this function, and its default in words.

    None where MLproject cannot be read: main and `mlflow-workflow check` tell what is wrong with it.
    """
    file = Path(inspect.getfile(inspect.unwrap(callback))).resolve()
    try:
        project = next(place for place in file.parents if (place / "MLproject").is_file())
        entries = yaml.safe_load((project / "MLproject").read_text(encoding="utf-8"))["entry_points"]
        script = re.escape(file.relative_to(project).with_suffix("").as_posix()).replace("/", "[./]")
        runs = re.compile(rf"(?<![\w./])(?:\./)?{script}(?:\.py)?(?![\w./])")
        step = next(entry for entry in entries.values() if runs.search(entry["command"]))
        return [(f"--{n}", in_words(n, form, entries)) for n, form in step["parameters"].items()]
    except (StopIteration, OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return []


def in_words(name: str, form: Any, entries: Mapping[str, Any]) -> str:
    """What a parameter of MLproject is, in either of MLflow's two forms."""
    if name in entries:
        return f"outputs of {name}"
    kind, default = (form.get("type"), form.get("default")) if isinstance(form, dict) else (form, None)
    return f"{kind}, " + ("required" if default is None else f"default {default!r}")
