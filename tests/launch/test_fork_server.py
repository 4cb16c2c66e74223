"""Steps as copies of a process with their packages imported: the same as a new Python, only sooner."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_workflow.launch.local.supervisor import words_of_module
from tests.conftest import ROOT, Done, Project, new_project
from tests.started import (
    Gate,
    Started,
    is_supervisor,
    linux_only,
    lives,
    starting,
    wait_until,
    words_of,
)

PROBE = '''"""Tells all that a step could see of the process that it is."""

import atexit, gc, json, locale, logging, multiprocessing, os, pickle, random
import re, signal, sys, tempfile, threading, time
from pathlib import Path

import click
import matplotlib
import mlflow
import numpy

from steps import numbers
from mlflow_workflow.step import step

RUN = os.environ.get("MLFLOW_RUN_ID")  # MLflow removes it; the pool has none
OF_ONE_RUN = ("MLFLOW_RUN_ID", "WORKFLOW_LOGS", "WORKFLOW_PID", "WORKFLOW_FORK_SERVER", "TMPDIR", "_")


def facts() -> dict:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        squared = pool.map(abs, [-3])
    return {
        "arguments": sys.argv,
        "path": sys.path,
        "flags": re.sub("unbuffered=.", "", str(sys.flags)),  # of a copy, the streams only are
        "folder": os.getcwd(),
        "module": [__name__, __file__, __spec__.name, sys.modules["__main__"].__dict__ is globals()],
        "names": [type(__builtins__).__name__, *sorted(n for n in globals() if n.startswith("__"))],
        "project": sorted(
            n for n in sys.modules if n.split(".")[0] in ("steps", "mlflow_workflow", "main")
        ),
        "signals": {str(n): str(signal.getsignal(n)) for n in signal.valid_signals()},
        "blocked": [str(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "leads its session": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "umask": os.umask(0o022),
        "variables": {n: v for n, v in os.environ.items() if n not in OF_ONE_RUN},
        "run": mlflow.active_run().info.run_id == RUN,
        "store": mlflow.get_tracking_uri(),
        "temporary": tempfile.gettempdir() == os.environ["TMPDIR"],
        "stdin": sys.stdin.read(),
        "streams": [buffering(sys.stdout), buffering(sys.stderr)],
        "the same streams": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "settings": matplotlib.rcParams["lines.linewidth"],
        "encoding": [sys.stdout.encoding, sys.stderr.encoding, locale.getlocale()],
        "threads": [thread.name for thread in threading.enumerate()],
        "memory": [gc.isenabled(), gc.get_threshold()],
        "logging": [logging.root.level, logging.getLogger("mlflow").getEffectiveLevel()],
        "files": sorted(t for t in map(target, os.listdir("/proc/self/fd")) if t in ("socket", "pipe")),
        "hooks": [sys.gettrace(), sys.excepthook is sys.__excepthook__],
        "processes": squared,
    }


def buffering(stream) -> list:
    below = [type(stream.buffer).__name__, stream.buffer.name, stream.buffer.mode]
    return [*below, stream.line_buffering, stream.write_through, stream.name, stream.mode]


def target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}").split(":")[0]
    except OSError:
        return ""


def say_later() -> None:
    time.sleep(0.3)
    print("said by a thread", len(pickle.dumps(Unlucky)) > 0)


class Unlucky(BaseException):
    pass


@click.command()
@click.option("--source")
@click.option("--limit", type=int)
def main(source: str, limit: int) -> None:
    with step() as outputs:
        if limit == 10:
            (outputs / "facts.json").write_text(json.dumps(facts(), indent=1))
        lots = {"drawn": [random.random(), float(numpy.random.rand())], "began as": sys.orig_argv}
        (outputs / "lots.json").write_text(json.dumps(lots))
    atexit.register(print, "said at the end")
    threading.Thread(target=say_later).start()
    print("said as an error", file=sys.stderr)
    print("said without a line feed", end=" ")
    if limit == 13:
        raise ValueError("an unlucky number")
    if limit == 14:
        sys.exit(limit)
    if limit == 15:
        raise Unlucky("no error of the usual kind")


if __name__ == "__main__":
    try:
        main()
    finally:
        if "16" in sys.argv:
            raise KeyboardInterrupt
'''


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    found = new_project(tmp_path_factory.mktemp("probe") / "project", empty_store)
    (found.folder / "steps/gather.py").write_text(PROBE)
    (found.folder / "matplotlibrc").write_text("lines.linewidth: 7")
    found.commit("a step that looks around")
    return found


@pytest.fixture(scope="module")
def both(probe: Project) -> dict[str, Path]:
    """The outputs of the same step as a copy and in a new Python."""
    return {warm: outputs_of_gather(probe, "--warm", warm) for warm in ("true", "false")}


def outputs_of_gather(project: Project, *arguments: str) -> Path:
    return outputs_after(project, project.main("gather", "--rerun", "all", *arguments))


def outputs_after(project: Project, done: Done) -> Path:
    assert done.code == 0, done.text
    return project.outputs(project.children("gather")[0], "gather")


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_a_copy_is_as_new_where_the_project_has_two_names(
    probe: Project, both: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(probe.folder)
    main = str(tmp_path / "link/main.py")
    done = probe.command(sys.executable, main, "gather", "--rerun", "all", cwd=tmp_path)
    outputs = outputs_after(probe, done)
    assert was_a_copy(outputs)
    one, other = (json.loads((o / "facts.json").read_text()) for o in (outputs, both["false"]))
    assert one["project"] == other["project"]
    assert one["module"] == other["module"]
    assert one["settings"] == other["settings"] == 7


def was_a_copy(outputs: Path) -> bool:
    return json.loads((outputs / "lots.json").read_text())["began as"][1].endswith("main.py")


@linux_only
@pytest.mark.slow
def test_a_step_is_a_copy_unless_the_user_wants_a_new_python(both: dict[str, Path]) -> None:
    assert was_a_copy(both["true"])
    assert not was_a_copy(both["false"])


@linux_only
@pytest.mark.slow
def test_a_step_cannot_tell_a_copy_from_a_new_python(both: dict[str, Path]) -> None:
    copy, new = (json.loads((outputs / "facts.json").read_text()) for outputs in both.values())
    assert new["run"] and new["temporary"] and new["leads its session"]
    assert new["streams"][0][0] == "FileIO"  # what it prints is in its log at once
    assert {key: copy[key] for key in new} == new


@linux_only
@pytest.mark.slow
def test_two_copies_draw_different_lots(both: dict[str, Path], probe: Project) -> None:
    again = outputs_of_gather(probe)
    one, other = (json.loads((o / "lots.json").read_text())["drawn"] for o in (both["true"], again))
    assert not set(one) & set(other)


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "end"),
    [
        (13, "ValueError: an unlucky number"),
        pytest.param(14, "exit code 14", marks=pytest.mark.long),
        pytest.param(15, "Unlucky: no error of the usual kind", marks=pytest.mark.long),
        pytest.param(16, "killed by SIGINT", marks=pytest.mark.long),
    ],
)
def test_what_a_step_says_until_its_very_end_and_how_it_ends_is_the_same(
    probe: Project, limit: int, end: str
) -> None:
    ended = {warm: end_of(probe, "--limit", str(limit), "--warm", warm) for warm in ("true", "false")}
    assert ended["true"] == ended["false"]
    code, printed, told = ended["true"]
    assert code == 1
    assert "said as an error\n" in printed
    assert "said without a line feed" in printed
    assert "said by a thread True\nsaid at the end\n" in printed
    assert end in printed + told
    assert "fork" not in printed


def end_of(project: Project, *arguments: str) -> tuple[int, str, str]:
    """Exit code, the step's log, and what main told of it, without ids and times."""
    done = project.main("gather", "--rerun", "all", *arguments)
    told = done.text.partition("step  ")[0]
    return done.code, log(project, "gather"), re.sub(r"\b[0-9a-f]{8,32}\b|[0-9.]+ s\b", "…", told)


# -- when a step gets a new Python

METADATA = "Metadata-Version: 2.1\nName: fake\nVersion: {}\n"
TELLS = "import sys; print('began as', sys.orig_argv)"


@linux_only
@pytest.mark.slow
def test_after_a_package_was_upgraded_no_step_is_a_copy_with_the_old_one(
    example: Project, tmp_path: Path
) -> None:
    metadata = tmp_path / "fake-1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(METADATA.format(1))
    example.edit("python_env.yaml", "dependencies:", "dependencies:\n  - fake")
    upgrade = f"Path({str(metadata)!r}).write_text({METADATA.format(2)!r})"
    for name, line in (("gather", TELLS), ("left", upgrade), ("join", TELLS)):
        example.edit(f"steps/{name}.py", "    with step()", f"    {line}\n    with step()")
    example.commit("left upgrades a package")
    example.variables["PYTHONPATH"] = str(tmp_path)
    done = example.main("join", "--jobs", "1")
    assert done.code == 0, done.text
    assert "'main.py'" in log(example, "gather")
    assert "'-m'" in log(example, "join")
    assert "packages changed while it ran" in done.line("left")
    again = example.main("join").states()
    assert again == {"gather": "ran", "left": "ran", "right": "ran", "join": "reused"}


def log(project: Project, step: str) -> str:
    run = project.children(step)[0]
    return project.outputs(run, f"{run.info.run_id}.log").read_text()


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_a_main_with_options_of_python_gives_its_steps_a_new_one(probe: Project) -> None:
    done = probe.command(sys.executable, "-O", "main.py", "gather", "--rerun", "all")
    assert not was_a_copy(outputs_after(probe, done))


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_a_step_whose_command_only_bash_can_read_gets_bash(example: Project) -> None:
    example.edit("MLproject", '"python -m steps.gather', '"WORDS=$((6 * 7)) python -m steps.gather')
    example.edit("steps/gather.py", "    with step()", f"    {TELLS}\n    with step()")
    example.edit("steps/gather.py", "from pathlib", "import os\nfrom pathlib")
    example.edit("steps/gather.py", "    with step()", "    print(os.environ['WORDS'])\n    with step()")
    done = example.main("gather")
    assert done.code == 0, done.text
    assert "'-m'" in log(example, "gather") and "\n42\n" in log(example, "gather")


@linux_only
@pytest.mark.slow
def test_the_death_of_the_fork_server_hurts_no_step(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    relay = make_project("relay")
    gate = Gate(tmp_path / "gate")
    with starting(relay, variables=gate.variables) as one:
        gate.wait()
        assert gate.step.cmdline()[1] == "main.py"
        server_of(one).kill()
        time.sleep(0.5)
        gate.open()
        done = one.wait()
    assert done.states() == {"base": "ran", "hold": "ran"}, done.text
    gate = Gate(tmp_path / "another gate")
    with starting(relay, "--number", "2", variables=gate.variables) as one:
        server_of(one).kill()
        gate.open()
        assert one.wait().states() == {"base": "reused", "hold": "ran"}


HELD = """import os, sys, time
from pathlib import Path
import click
from mlflow_workflow.step import step

@click.command()
@click.option("--base")
@click.option("--number")
@click.option("--options")
def main(base: str, number: str, options: str) -> None:
    with step() as outputs:
        gate = Path(os.environ["GATE"])
        (gate / f"new {number}").write_text(str(sys.orig_argv))
        (gate / f"new {number}").rename(gate / number)
        while not (gate / f"go {number}").exists():
            time.sleep(0.02)
        (outputs / "number.txt").write_text(number)

if __name__ == "__main__":
    main()
"""


@linux_only
@pytest.mark.slow
def test_while_a_copy_outlives_the_fork_server_the_next_step_starts_at_once(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    relay = make_project("relay")
    relay.write("steps/hold.py", HELD)
    gate = Gate(tmp_path / "gate")
    sweep = ("--sweep", "{hold.number: [1, 2, 3]}", "--jobs", "2", "--metric", "score")
    with starting(relay, *sweep, variables=gate.variables) as one:
        wait_until(lambda: all((gate.folder / n).exists() for n in "12"), "two held steps")
        assert "main.py" in (gate.folder / "1").read_text()
        server_of(one).kill()
        (gate.folder / "go 2").touch()
        wait_until((gate.folder / "3").exists, "the third", 30)
        assert "'-m'" in (gate.folder / "3").read_text()
        for number in (1, 3):
            (gate.folder / f"go {number}").touch()
        done = one.wait()
    assert done.code == 0, done.text


def server_of(one: Started) -> psutil.Process:
    """What main starts is for a moment a copy of it too, before it is git."""
    found: list[psutil.Process] = []

    def lasts() -> bool:
        found[:] = [p for p in one.main.children() if lives(p)]
        time.sleep(0.5)
        found[:] = [p for p in found if lives(p) and words_of(p) == words_of(one.main)]
        return bool(found)

    wait_until(lasts, "the fork server")
    return found[0]


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("who", ["supervisor", "minder"])
def test_no_copy_outlives_who_watches_it(
    make_project: Callable[..., Project], tmp_path: Path, who: str
) -> None:
    relay = make_project("relay")
    gate = Gate(tmp_path / "gate")
    with starting(relay, variables=gate.variables) as one:
        gate.wait()
        step, child, minder = gate.step, gate.child, gate.step.parent()
        supervisor = next(filter(is_supervisor, one.main.children()))
        (supervisor if who == "supervisor" else minder).kill()
        wait_until(lambda: not lives(step) and not lives(child), "the end of the step", 10)
        done = one.wait()
    assert done.code == 1
    assert done.states() == {"base": "ran", "hold": "failed"}


@linux_only
def test_a_package_that_starts_a_thread_is_not_copied() -> None:
    fork = "import os; from mlflow_workflow.launch.warm import fork_server; child = os.fork()"
    check = "fork_server.refuse_threads() if not child else os.wait()"
    thread = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    assert python(f"{fork}; {check}").stderr == ""
    assert "a package has started threads" in python(f"{fork}; {thread}; {check}").stderr


def python(code: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


SLOW_SERVER = """
import os, socket, sys, time
from pathlib import Path
from mlflow_workflow.launch.warm import fork_server
from mlflow_workflow.project.request import make_request
from mlflow_workflow.run.command import parse
from mlflow_workflow.identity.environment import read_environment
from mlflow_workflow.project.mlproject import read_workflow

project, address = Path.cwd(), Path(sys.argv[1])
workflow = read_workflow((project / "MLproject").read_text())
request = make_request(project, workflow, parse(workflow, ["preprocess"]))
ours, its = socket.socketpair()
if not (child := os.fork()):
    time.sleep(1)
    fork_server.serve(its, project)
installed = read_environment(project, workflow.environment_file)
server = fork_server.ForkServer(child, ours, project, request, installed)
server.prepare(address)
socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(str(address))
server.close()
"""


@linux_only
@pytest.mark.slow
def test_a_step_waits_until_the_fork_server_listens(tmp_path: Path) -> None:
    done = python(SLOW_SERVER, str(tmp_path / "address"))
    assert done.returncode == 0, done.stderr


IS_PLAIN = """
import os, sys
from pathlib import Path
from mlflow_workflow.launch.warm.fork_server import is_plain

for place in sys.argv[2:]:
    os.environ["PYTHONPATH"] = place
    print(is_plain(Path(sys.argv[1])))
"""


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_where_steps_would_find_other_modules_than_main_none_is_a_copy(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IS_PLAIN)

    def plain(project: Path, *places: str, **variables: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "program.py", project, *places],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.split()

    places = (str(ROOT), f"{ROOT}:/lib", "", f"{ROOT}:lib", f"{ROOT}:", f"{ROOT}::/lib")
    assert plain(ROOT, *places) == ["True"] * 3 + ["False"] * 3
    assert plain(tmp_path.resolve(), *places) == ["True"] * 6
    assert plain(tmp_path.resolve(), str(ROOT), PYTHONSAFEPATH="1") == ["False"]


STOPPED_WHILE_IT_STARTS = """
import os, signal, subprocess, sys, time
from mlflow_workflow.launch.local import supervisor

class Late(subprocess.Popen):
    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Late
sys.exit(supervisor.main(sys.argv[1]))
"""


@linux_only
def test_a_supervisor_that_is_stopped_while_it_starts_a_step_leaves_nothing_of_it(
    tmp_path: Path,
) -> None:
    pid = tmp_path / "pid"
    logs = {"WORKFLOW_LOGS": str(tmp_path), "WORKFLOW_PID": str(os.getpid()), "MLFLOW_RUN_ID": "x"}
    command = f"sleep 100 & echo $! > {shlex.quote(str(pid))}; wait"
    done = python(STOPPED_WHILE_IT_STARTS, command, WORKFLOW_PYTHON=sys.executable, **logs)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert not psutil.pid_exists(int(pid.read_text()))


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.lists(WORDS, max_size=5))
def test_whatever_mlflow_quotes_is_read_as_bash_reads_it(words: list[str]) -> None:
    with_python_on_path()
    assert words_of_module(f"python -m steps.x {shlex.join(words)}") == ["steps.x", *words]


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
    with_python_on_path()
    assert words_of_module(command) == []


def with_python_on_path() -> None:
    os.environ["WORKFLOW_PYTHON"] = sys.executable
    assert (
        shutil.which("python")
        and Path(str(shutil.which("python"))).parent == Path(sys.executable).parent
    )
