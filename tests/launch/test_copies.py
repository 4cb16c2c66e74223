"""Steps as copies of a process that has their packages: the same as a new Python, only sooner."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.launch.warm.copies import words_of_module
from mlflow_workflow.project.mlproject import read_workflow
from tests.conftest import ROOT, Project, copy_own_files
from tests.started import linux_only

HERE = Path(__file__).parent
PROBE = '''"""Tells all that a step could see of the process that it is."""

import atexit, gc, json, locale, logging, multiprocessing, os, pickle, random
import re, signal, sys, tempfile, threading, time

import mlflow
import numpy

from steps import numbers

# Of one run, or of a shell.
OTHERS = ("MLFLOW_RUN_ID", "TMPDIR", "WARM", "_", "SHLVL", "OLDPWD")


def facts() -> dict:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        squared = pool.map(abs, [-3])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        squared += pool.map(abs, [-4])
    return {
        "arguments": [sys.argv, sys.orig_argv],
        "path": sys.path,
        "flags": re.sub("unbuffered=.", "", str(sys.flags)),  # of a copy, the streams only are
        "folder": os.getcwd(),
        "module": [__name__, __file__, __spec__.name, sys.modules["__main__"].__dict__ is globals()],
        "names": [type(__builtins__).__name__, *sorted(n for n in globals() if n.startswith("__"))],
        "project": sorted(
            n for n in sys.modules if n.split(".")[0] in ("steps", "mlflow_workflow", "main")
            or sys.modules[n] is sys.modules["__main__"]
        ),
        "signals": {str(n): str(signal.getsignal(n)) for n in signal.valid_signals()},
        "blocked": [str(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "leads its session": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "umask": os.umask(0o022),
        "variables": {n: v for n, v in os.environ.items() if n not in OTHERS},
        "temporary": tempfile.gettempdir() == os.environ["TMPDIR"],
        "stdin": sys.stdin.read(),
        "streams": [buffering(sys.stdout), buffering(sys.stderr)],
        "the same streams": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "encoding": [sys.stdout.encoding, sys.stderr.encoding, locale.getlocale()],
        "threads": [thread.name for thread in threading.enumerate()],
        "memory": [gc.isenabled(), gc.get_threshold()],
        "logging": [logging.root.level, logging.getLogger("mlflow").getEffectiveLevel()],
        "files": sorted(filter(None, map(target, os.listdir("/proc/self/fd")))),
        "hooks": [sys.gettrace(), sys.excepthook is sys.__excepthook__],
        "processes": squared,
    }


def buffering(stream) -> list:
    below = [type(stream.buffer).__name__, stream.buffer.name, stream.buffer.mode]
    return [*below, stream.line_buffering, stream.write_through, stream.name, stream.mode]


def target(number: str) -> str:
    try:
        path = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
    return "" if path.startswith("/proc") else re.split(":|[0-9a-f]{32}", os.path.basename(path))[0]


if __name__ == "__main__":
    print(json.dumps([facts(), [random.random(), float(numpy.random.rand())]]))
'''

ENDS = {
    "plain": "print('the end', end=' ')",
    "error": "raise ValueError('an unlucky number')",
    "code": "sys.exit(14)",
    "words": "sys.exit('some words')",
    "unusual": "raise Unlucky('no error of the usual kind')",
    "interrupted": "raise KeyboardInterrupt",
    "killed": "os.kill(os.getpid(), 9)",
    "own hook": "sys.excepthook = lambda *_: print('told by a hook'); raise ValueError",
}
ENDING = """
import atexit, os, pickle, sys, threading, time


class Unlucky(BaseException):
    pass


class Kept:
    def __del__(self):
        print("freed", flush=True)


def say_later():
    time.sleep(0.2)
    print("said by a thread", len(pickle.dumps(Unlucky)) > 0)


kept = Kept()
kept.itself = kept
file = open(os.path.join(os.environ["TMPDIR"], "never closed"), "w")
file.write("written")
atexit.register(print, "said at the end")
threading.Thread(target=say_later).start()
print("said as an error", file=sys.stderr)
print("said without a line feed", end=" ")
"""


@dataclass
class Steps:
    """A project of steps that a program of the tests runs one after the other."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    entries: str = ""

    def add(self, name: str, source: str, preload: str | None = "[mlflow]") -> None:
        (self.folder / "steps" / f"{name.replace(' ', '_')}.py").write_text(source)
        command = f"python -m steps.{name.replace(' ', '_')} {{x}}"
        self.entries += f"\n  {name}:\n    parameters: {{x: {{default: a b}}}}\n    command: {command}\n"
        self.entries += f"    preload: {preload}\n" if preload else ""
        beginning = (ROOT / "tests/relay/MLproject").read_text().partition("  base:")[0]
        (self.folder / "MLproject").write_text(beginning + self.entries)

    def run(
        self, *names: str, options: tuple[str, ...] = (), program: Path | None = None, **variables: str
    ) -> list[tuple[str | None, str]]:
        """How each failed, and what it printed."""
        main = program or self.folder / "main.py"
        done = subprocess.run(
            [sys.executable, *options, main, *names],
            cwd=main.parent,
            env={**Project(self.folder, "").environment(), **self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return [(each["failure"], each["log"]) for each in told]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Steps:
    folder = tmp_path_factory.mktemp("copies") / "project"
    copy_own_files(folder, only=("mlflow_workflow/",))
    (folder / "steps").mkdir()
    (folder / "steps/__init__.py").touch()
    (folder / "steps/numbers.py").touch()
    (folder / "main.py").write_text((HERE / "copying.py").read_text())
    store = folder.with_name("store.db")
    store.write_bytes(empty_store.read_bytes())
    made = Steps(folder, {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"})
    made.add("probe", PROBE)
    for name, source in ENDS.items():
        made.add(name, ENDING + source)
    made.add("parent", "import os; print(os.getppid(), open('/proc/self/cmdline').read().split('\\0'))")
    made.add("bare", "import sys; print('mlflow' in sys.modules)", preload=None)
    made.add("near", SEES)
    made.add("wide", SEES, preload="[mlflow, decimal_user, sets_variable]")
    made.add("absent", SEES, preload="[mlflow, no_such_package]")
    made.add("threaded", SEES, preload="[mlflow, starts_thread]")
    made.add("own", SEES, preload="[mlflow, steps.numbers]")
    return made


SEES = """
import decimal, os, sys
print(was_copied := "main.py" in open("/proc/self/cmdline").read(), end=" ")
print("decimal_user" in sys.modules, decimal.getcontext().prec, os.environ.get("SET_BY_PACKAGE"))
"""
COPIED, NEW = "True", "False"


@linux_only
@pytest.mark.slow
def test_a_step_cannot_tell_a_copy_from_a_new_python(steps: Steps) -> None:
    ((copied, again), (new,)) = (
        steps.run(*names, WARM=warm)
        for names, warm in (
            (("probe", "probe"), "true"),
            (("probe",), "false"),
        )
    )
    assert (copied[0], new[0]) == (None, None), copied[1] + new[1]
    one, other = json.loads(copied[1]), json.loads(new[1])
    assert other[0]["leads its session"] and other[0]["temporary"]
    assert {key: one[0][key] for key in other[0]} == other[0]
    assert not set(one[1]) & set(json.loads(again[1])[1])  # two copies draw different lots


@linux_only
@pytest.mark.slow
def test_how_a_step_ends_and_what_it_says_until_then_is_the_same(steps: Steps) -> None:
    copied, new = (steps.run(*ENDS, WARM=warm) for warm in ("true", "false"))
    for name, one, other in zip(ENDS, copied, new, strict=True):
        assert one == other, name
    assert copied[2][0] == "failed, exit code 14"
    assert copied[5][0] == "failed, killed by SIGINT"
    assert "said by a thread True\nsaid at the end\nfreed" in copied[0][1]


@linux_only
@pytest.mark.slow
def test_a_copy_holds_what_its_own_entry_preloads_and_nothing_of_its_neighbours(
    steps: Steps, tmp_path: Path
) -> None:
    (tmp_path / "__pycache__").mkdir()  # to add one would be a change
    (tmp_path / "decimal_user.py").write_text("import decimal; decimal.getcontext().prec = 5")
    (tmp_path / "sets_variable.py").write_text("import os; os.environ['SET_BY_PACKAGE'] = 'yes'")
    (tmp_path / "starts_thread.py").write_text(
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    )
    names = ("wide", "near", "bare", "absent", "threaded", "own")
    told = steps.run(*names, PYTHONPATH=str(tmp_path))
    assert [failure for failure, _ in told] == [None] * 6
    assert [log.split() for _, log in told] == [
        [COPIED, "True", "5", "yes"],
        [COPIED, "False", "28", "None"],
        ["False"],
        *[[NEW, "False", "28", "None"]] * 3,
    ]


@linux_only
@pytest.mark.slow
def test_when_packages_come_or_go_no_step_is_a_copy_any_more(steps: Steps, tmp_path: Path) -> None:
    installs = f"open({str(tmp_path / 'new.py')!r}, 'w')"
    steps.add("installs", installs)
    told = steps.run("near", "installs", "near", PYTHONPATH=str(tmp_path))
    assert [log.split()[:1] for _, log in told] == [[COPIED], [], [NEW]]


@linux_only
@pytest.mark.slow
def test_where_a_copy_would_not_be_as_python_is_asked_for_there_is_none(
    steps: Steps, tmp_path: Path
) -> None:
    assert steps.run("near", options=("-O",))[0][1].startswith(NEW)
    assert steps.run("near", PYTHONPATH="relative")[0][1].startswith(NEW)
    (tmp_path / "rc").write_text("cd . # what bash does first")
    assert steps.run("near", BASH_ENV=str(tmp_path / "rc"))[0][1].startswith(NEW)


@linux_only
@pytest.mark.slow
def test_a_copy_is_as_new_where_the_project_has_two_names(steps: Steps, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(steps.folder)
    (one,) = steps.run("probe", program=tmp_path / "link/main.py")
    (other,) = steps.run("probe", WARM="false")
    for fact in ("project", "module", "path"):
        assert json.loads(one[1])[0][fact] == json.loads(other[1])[0][fact]


@linux_only
@pytest.mark.slow
def test_the_death_of_the_processes_that_are_copied_hurts_no_step(steps: Steps) -> None:
    steps.add("waits", f"import time; time.sleep(1){SEES}")
    told = steps.run("near", "waits", "near", LONELY="waits")
    assert [failure for failure, _ in told] == [None] * 3
    assert [log.split()[0] for _, log in told] == [COPIED, COPIED, NEW]


# -- which commands can be copies

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
VARIABLES = {"PATH": str(Path(sys.executable).parent)}


@given(st.lists(WORDS, max_size=5))
def test_whatever_mlflow_quotes_is_read_as_bash_reads_it(words: list[str]) -> None:
    command = f"python -m steps.x {shlex.join(words)}"
    assert words_of_module(command, VARIABLES) == ["steps.x", *words]


@pytest.mark.parametrize(
    "command",
    [
        "python -m steps.x > file",
        "python -m steps.x; true",
        "python -m steps.x $HOME",
        "python -m steps.x *.csv",
        "python -m steps.x ~",
        "python -m steps.x # note",
        "python -m steps.x {a,b}",
        "python -m steps.x 'open",
        "A=1 python -m steps.x",
        "python steps/x.py",
        "python -u -m steps.x",
        "python3 -m steps.x",
        "",
    ],
)
def test_what_else_bash_could_make_of_a_command_is_left_to_bash(command: str) -> None:
    assert words_of_module(command, VARIABLES) == []


def test_another_python_or_a_bash_env_is_left_to_bash() -> None:
    command = "python -m steps.x"
    assert words_of_module(command, {"PATH": "/nowhere"}) == []
    assert words_of_module(command, {**VARIABLES, "BASH_ENV": "rc"}) == []


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("mlflow", ()),
        ("[]", ()),
        ("[mlflow, sklearn.svm]", ("sklearn.svm",)),
        ("skops", ("skops",)),
    ],
)
def test_an_entry_says_what_its_step_may_find_imported(said: str, read: tuple[str, ...]) -> None:
    text = f"entry_points:\n  main: {{command: x}}\n  it: {{command: x, preload: {said}}}\n"
    assert read_workflow(text).steps["it"].preload == read


@pytest.mark.parametrize("said", ["7", "[a-b]", "{a: b}", "[1]", "'import x'"])
def test_a_preload_that_names_no_packages_is_refused(said: str) -> None:
    text = f"entry_points:\n  main: {{command: x}}\n  it: {{command: x, preload: {said}}}\n"
    with pytest.raises(WorkflowError, match="'preload' of step 'it' in MLproject must be a list"):
        read_workflow(text)
