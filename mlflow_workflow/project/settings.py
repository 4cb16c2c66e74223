"""What each of main's own parameters does: the one place that says it.

Type and default of each are in MLproject. A table of the documentation repeats the sentences; a test
compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MODES = ("commit", "code")
"""What counts as the code: the whole commit, or the files that the step is made of."""


@dataclass(frozen=True)
class Setting:
    """One of main's own parameters: what it does, and the words it may be if it is one of a few."""

    help: str
    choices: tuple[str, ...] = ()


SETTINGS: Mapping[str, Setting] = {
    "task": Setting("the step whose outputs you want; the steps above it come first"),
    "description": Setting("heads the parent run's description"),
    "config": Setting(
        "YAML files, separated by commas, with a section of parameters per step; later files win,"
        " -P wins over all"
    ),
    "rerun": Setting("steps to run again with all below them, separated by commas, or all"),
    "match": Setting(
        "what counts as a step's code: the commit, or code, the files that it is made of", MODES
    ),
    "require_clean": Setting("refuse to run with uncommitted changes"),
    "reuse_from": Setting(
        "experiments to look for earlier runs in, separated by commas; without it the run's own"
    ),
    "dry_run": Setting("tell what would run and why, and run nothing"),
    "plan_format": Setting("how a dry run tells it: table or json", ("table", "json")),
    "jobs": Setting("how many steps may run at the same time; 0 is one per processor"),
    "sweep": Setting("lists of values of parameters as YAML: every combination is done"),
    "metric": Setting("what ranks the combinations of a sweep; -name ranks the smallest first"),
    "keep_going": Setting(
        "whether what does not depend on a failure goes on: true in a sweep unless you say so",
        ("true", "false"),
    ),
    "wait": Setting("wait for somebody who runs the same step right now, and use the result"),
    "warm": Setting(
        "start steps as copies of a process that has imported what their entry preloads;"
        " false: each in a new Python"
    ),
    "register": Setting("name under which to register the trained model, with the alias candidate"),
    "quiet": Setting("only the end"),
    "verbose": Setting("what the steps print, as they print it"),
}
