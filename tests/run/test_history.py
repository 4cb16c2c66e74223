"""Whatever happens to a project, its result is that of a run from scratch, and nothing runs twice.

Random histories of edits, on a real repository and a real store; the steps run in this process. What a
run from scratch gives is known without one, as the steps only write down all that they use.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlflow_workflow.identity import disk, holds, reading, record
from mlflow_workflow.project.mlproject import read_workflow
from tests.conftest import EXAMPLE, Project
from tests.in_process import quick_project, run

HISTORIES = int(os.environ.get("HISTORIES", "30"))

MLPROJECT = """
  one:
    parameters: {data: {type: path, default: data.txt}, n: {type: int, default: 0}}
    command: "python -m steps.one --data {data} --n {n}"
    env: [HISTORY]
  two:
    parameters: {one: path}
    command: "python -m steps.two --one {one}"
"""

STEP = '''"""A step that writes down all that it uses.

Reads: what it uses. Writes: used.json.
"""

import importlib
import json
import os
import pickle
from pathlib import Path

import click

from mlflow_workflow.step import step
'''

ONE = """
from helpers import thing, value

VERSION = "{}"


def text_of(name):
    try:
        return Path(name).read_text()
    except OSError:
        return None


def extra():
    try:
        return importlib.import_module("helpers.extra").VALUE
    except ImportError:
        return None


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path))
@click.option("--n", required=True, type=int)
def main(data, n):
    with step() as outputs:
        used = {{
            "code": VERSION,
            "helper": value.VALUE,
            "extra": extra(),
            "settings": text_of("settings.txt"),
            "local": text_of("local.txt"),
            "names": sorted(os.listdir("parts")),
            "data": data.read_text(),
            "n": n,
            "variable": os.environ.get("HISTORY"),
        }}
        (outputs / "used.json").write_text(json.dumps(used))
        (outputs / "thing.pickle").write_bytes(pickle.dumps(thing.Thing()))


if __name__ == "__main__":
    main()
"""

TWO = """
VERSION = "{}"


@click.command(help=__doc__)
@click.option("--one", required=True, type=click.Path(path_type=Path))
def main(one):
    with step() as outputs:
        used = {{
            "code": VERSION,
            "one": json.loads((one / "used.json").read_text()),
            "thing": pickle.loads((one / "thing.pickle").read_bytes()).label,
        }}
        (outputs / "used.json").write_text(json.dumps(used))


if __name__ == "__main__":
    main()
"""

# Each file's text with any letter has the same size.
FILES: dict[str, str] = {
    "steps/one.py": STEP + ONE,
    "steps/two.py": STEP + TWO,
    "helpers/value.py": 'VALUE = "{}"\n',
    "helpers/thing.py": 'class Thing:\n    label = "{}"\n',
    "helpers/extra.py": 'VALUE = "{}"\n',
    "settings.txt": "{}",
    "local.txt": "{}",
    "parts/a.txt": "{}",
    "parts/b.txt": "{}",
    "data.txt": "{}",
    "README.md": "{}",
}
OPTIONAL = ("helpers/extra.py", "local.txt", "parts/b.txt", "README.md")
LETTERS = "abc"


@dataclass
class History:
    """A project, what was done to it, and what its steps used when they ran."""

    project: Project
    n: int = 0
    mode: str = "code"
    ran: set[str] = field(default_factory=set)

    # -- what happens to it

    def write(self, name: str, letter: str, kept: bool = False) -> None:
        """Writes a file; if `kept`, with the size and the time of the one before."""
        path = self.project.folder / name
        before = path.stat() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILES[name].format(letter))
        if kept and before:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def remove(self, name: str) -> None:
        (self.project.folder / name).unlink(missing_ok=True)

    def commit(self) -> None:
        self.project.commit()

    def revert(self) -> None:
        self.project.git("checkout", "--quiet", ".")
        self.project.git("clean", "--quiet", "-fd")

    def switch(self, branch: str) -> None:
        """To another branch, which begins here if it is new."""
        self.project.commit()
        known = self.project.git("branch", "--list", branch)
        self.project.git("checkout", "--quiet", *([branch] if known else ["-b", branch]))

    def parameter(self, n: int) -> None:
        self.n = n

    def variable(self, value: str) -> None:
        self.project.variables["HISTORY"] = value

    def match(self, mode: str) -> None:
        self.mode = mode

    # -- what comes of it

    def expected(self) -> dict[str, Any]:
        """What a run from scratch gives: step → what it uses."""

        def letter(name: str) -> str | None:
            path, (before, after) = self.project.folder / name, FILES[name].format("\0").split("\0")
            return path.read_text().removeprefix(before).removesuffix(after) if path.exists() else None

        one = {
            "code": letter("steps/one.py"),
            "helper": letter("helpers/value.py"),
            "extra": letter("helpers/extra.py"),
            "settings": letter("settings.txt"),
            "local": letter("local.txt"),
            "names": sorted(path.name for path in (self.project.folder / "parts").iterdir()),
            "data": letter("data.txt"),
            "n": self.n,
            "variable": self.project.variables.get("HISTORY"),
        }
        thing = letter("helpers/thing.py")
        return {"one": [one, thing], "two": {"code": letter("steps/two.py"), "one": one, "thing": thing}}

    def check(self) -> dict[str, str]:
        """Runs the workflow: its result must be right, and what ran like this before must be reused."""
        expected = self.expected()
        done = run(self.project, "two", "--match", self.mode, "--n", str(self.n))
        assert done.code == 0, done.text
        assert self.result() == expected["two"], done.text
        states = done.states()
        for step, state in states.items():
            same = json.dumps([step, expected[step]], sort_keys=True)
            assert self.mode == "commit" or same not in self.ran or state == "reused", done.text
            self.ran.add(same)
        return states

    def result(self) -> Any:
        """What stands for the last step now, whoever made it."""
        parent = self.project.parents()[0]
        facts = json.loads(self.project.outputs(parent, "workflow.json").read_text())
        run_id = next(step["run_id"] for step in facts["steps"] if step["step"] == "two")
        made = self.project.client.get_run(run_id)
        return json.loads((self.project.outputs(made, "two") / "used.json").read_text())


def begin(folder: Path, empty_store: Path) -> History:
    """The project, with everything done once."""
    project = quick_project(folder, empty_store)
    head = (
        (EXAMPLE / "MLproject")
        .read_text()
        .partition("\n  gather:")[0]
        .replace("default: shout", "default: two")
    )
    shutil.rmtree(project.folder / "steps")
    history = History(project)
    for name in FILES:
        if name not in OPTIONAL:
            history.write(name, "a")
    (project.folder / "MLproject").write_text(head + MLPROJECT)
    assert read_workflow((project.folder / "MLproject").read_text())
    project.commit()
    return history


names, letters = st.sampled_from([*FILES]), st.sampled_from(LETTERS)
EDITS = st.one_of(
    st.tuples(st.just("write"), names, letters, st.booleans()),
    st.tuples(st.just("write"), names, letters, st.booleans()),
    st.tuples(st.just("remove"), st.sampled_from(OPTIONAL)),
    st.tuples(st.just("commit")),
    st.tuples(st.just("revert")),
    st.tuples(st.just("switch"), st.sampled_from(["main", "side"])),
    st.tuples(st.just("parameter"), st.sampled_from([0, 1])),
    st.tuples(st.just("variable"), st.sampled_from(["x", "y"])),
    st.tuples(st.just("match"), st.sampled_from(["code", "commit"])),
)
Edits = Sequence[tuple[Any, ...]]


def live(history: History, edits: Edits) -> list[dict[str, str]]:
    """Everything that happens, one after the other, with a check after each."""
    states = [history.check()]
    for what, *how in edits:
        getattr(history, what)(*how)
        states.append(history.check())
    return states


@pytest.mark.long
def test_whatever_happens_the_result_is_right_and_nothing_runs_twice(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> None:
    @settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
    )
    @given(st.lists(EDITS, min_size=4, max_size=8))
    def any_history(edits: Edits) -> None:
        history = begin(tmp_path_factory.mktemp("history") / "project", empty_store)
        live(history, edits)
        assert set(history.check().values()) == {"reused"}

    any_history()


# -- one history for every ingredient

EVERYTHING: Edits = [
    *[("write", name, "b", True) for name in FILES],
    *[("write", name, "c", False) for name in FILES],
    *[("remove", name) for name in OPTIONAL],
    ("revert",),
    ("parameter", 1),
    ("variable", "x"),
    ("parameter", 0),
]


def test_every_ingredient_counts_and_nothing_else(tmp_path: Path, empty_store: Path) -> None:
    states = live(begin(tmp_path / "project", empty_store), EVERYTHING)
    found = {edit[:2]: state for edit, state in zip(EVERYTHING[:11], states[1:], strict=False)}
    assert found["write", "README.md"] == {"one": "reused", "two": "reused"}
    assert found["write", "settings.txt"] == {"one": "ran", "two": "ran"}
    assert found["write", "steps/two.py"] == {"one": "reused", "two": "ran"}


def test_with_match_commit_what_is_uncommitted_counts_where_it_is_used(
    tmp_path: Path, empty_store: Path
) -> None:
    history = begin(tmp_path / "project", empty_store)
    history.mode = "commit"
    history.check()
    all_reused = {"one": "reused", "two": "reused"}
    history.write("README.md", "b")
    assert history.check() == all_reused
    history.write("steps/two.py", "b")
    assert history.check() == {"one": "reused", "two": "ran"}
    history.commit()
    assert history.check() == all_reused  # these very files
    history.write("settings.txt", "b")
    assert history.check()["one"] == "ran"
    history.write("settings.txt", "a")
    assert history.check() == all_reused


PLANTS: dict[str, Callable[[pytest.MonkeyPatch], object]] = {
    "files": lambda m: m.setattr(disk.Disk, "file", lambda *_: "a" * 64),
    "listings": lambda m: m.setattr(disk.Disk, "listing", lambda *_: "a" * 64),
    "what was looked for in vain": lambda m: m.setattr(holds, "of_file", lambda *_: None),
    "what was read": lambda m: m.setattr(record, "counts", lambda *_: False),
    "data": lambda m: m.setattr(disk.Disk, "data_at", lambda *_: {"": "a" * 64}),
    "variables": lambda m: m.setattr(reading, "variables_of", lambda *_: {}),
    "parameters": lambda m: m.setattr(reading, "typed", lambda *_: {}),
}


@pytest.mark.long
@pytest.mark.parametrize("plant", PLANTS)
def test_a_mistake_in_any_ingredient_would_be_noticed(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch, plant: str
) -> None:
    PLANTS[plant](monkeypatch)
    with pytest.raises(AssertionError):
        live(begin(tmp_path / "project", empty_store), EVERYTHING)
