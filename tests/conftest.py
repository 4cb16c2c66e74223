"""Real parts for the tests: projects in git repositories, a tracking store, real processes."""

import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

ROOT = Path(__file__).parent.parent
EXAMPLE = Path(__file__).parent / "example"
KEPT_VARIABLES = {"PATH", "HOME", "LANG", "TMPDIR", "PYENV_ROOT", "SSL_CERT_FILE", "VIRTUAL_ENV"}


@dataclass(frozen=True)
class Done:
    """What a process printed (both streams) and its exit code."""

    code: int
    text: str

    def line(self, beginning: str) -> str:
        """The last line that begins so (rows of the table come after events)."""
        found = [line for line in self.text.splitlines() if line.startswith(beginning)]
        assert found, f"no line begins with {beginning!r} in:\n{self.text}"
        return found[-1]

    def states(self) -> dict[str, str]:
        """Step → state, as the table at the end says."""
        lines = self.text.splitlines()
        head = max(i for i, line in enumerate(lines) if line.split()[:2] == ["step", "state"])
        rows = []
        for line in lines[head + 1 :]:
            if not line.strip():
                break
            rows.append(line.split())
        return {row[0]: row[1] for row in rows}


@dataclass
class Project:
    """A project folder in a git repository of its own, with a tracking store of its own."""

    folder: Path
    uri: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in KEPT_VARIABLES}
        python = str(Path(sys.executable).parent)
        return {
            **kept,
            "PATH": f"{python}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "MLFLOW_TRACKING_URI": self.uri,
            "XDG_CACHE_HOME": str(self.folder.parent / "cache"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **self.variables,
        }

    def command(self, *command: str, cwd: Path | None = None, timeout: float = 300) -> Done:
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(errors="replace"))

    def main(self, *arguments: str) -> Done:
        """`python main.py …` in the project folder."""
        return self.command(sys.executable, "main.py", *arguments)

    def mlflow_run(self, *parameters: str, uri: str = ".", cwd: Path | None = None) -> Done:
        """`mlflow run . -P …` with the environment of the tests."""
        given = [word for parameter in parameters for word in ("-P", parameter)]
        return self.command("mlflow", "run", uri, "--env-manager", "local", *given, cwd=cwd)

    def git(self, *arguments: str) -> str:
        return git(self.folder, *arguments)

    def commit(self, message: str = "change") -> str:
        """Commits everything, or an empty commit; returns its id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    def runs(self, query: str = "") -> list[Run]:
        return list(self.client.search_runs(["0"], query, order_by=["attributes.start_time DESC"]))

    def children(self, step: str) -> list[Run]:
        """The child runs of a step, newest first."""
        return self.runs(f"tags.workflow.step = '{step}'")

    def parents(self) -> list[Run]:
        """The parent runs, newest first."""
        return [run for run in self.runs() if "mlflow.parentRunId" not in run.data.tags]

    def outputs(self, run: Run, step: str) -> Path:
        """A run's outputs folder on this disk."""
        return Path(run.info.artifact_uri.removeprefix("file://")) / step


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def begin_repository(folder: Path) -> None:
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")


def own_files() -> list[str]:
    """The repository's files as they are now, committed or not."""
    listing = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return sorted({n for n in listing.split("\0") if n and (ROOT / n).is_file()})


PROJECT_FILES = (
    "mlflow_workflow/",
    "main.py",
    ".gitignore",
    "steps/",
    "input/",
    "MLproject",
    "python_env",
)


def copy_own_files(target: Path, only: tuple[str, ...] = PROJECT_FILES) -> None:
    for name in own_files():
        if name.startswith(only):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


if threading.current_thread() is threading.main_thread():
    # A shell's background job ignores SIGINT, one under nohup SIGHUP, and so would all that tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def no_store_of_an_earlier_test() -> None:
    """What a test told MLflow itself would outweigh the environment variable of the next."""
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking store with its tables made, to be copied: making them takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def make_project(tmp_path: Path, empty_store: Path) -> Callable[..., Project]:
    """Makes a project folder with a store beside it: `own` (this one) or a folder of these tests."""

    def make(kind: str = "example", name: str = "project") -> Project:
        return new_project(tmp_path / name, empty_store, kind)

    return make


def new_project(folder: Path, empty_store: Path, kind: str = "example") -> Project:
    """A project folder in a repository of its own, with a store beside it."""
    copy_project(folder, kind)
    begin_repository(folder)
    database = folder.with_name(f"{folder.name}.db")
    shutil.copy2(empty_store, database)
    keep_artifacts_in(folder.with_name(f"{folder.name}-artifacts"), database)
    return Project(folder, f"sqlite:///{database}")


def copy_project(folder: Path, kind: str) -> None:
    """The files of `own` (this project), or of a folder of these tests."""
    if kind == "own":
        copy_own_files(folder)
    else:
        shutil.copytree(EXAMPLE.parent / kind, folder)
        copy_own_files(folder, only=("mlflow_workflow/", "main.py", ".gitignore"))


def keep_artifacts_in(folder: Path, database: Path) -> None:
    """The copied store's default experiment keeps its artifacts beside the copy."""
    with contextlib.closing(sqlite3.connect(database)) as store, store:
        query = "update experiments set artifact_location = ? where experiment_id = 0"
        store.execute(query, (str(folder),))


@pytest.fixture
def example(make_project: Callable[..., Project]) -> Project:
    return make_project("example")


@contextlib.contextmanager
def unlistable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system refuses to list a folder. To root, who runs the tests, it refuses none of itself."""
    original = os.scandir

    def refusing(path: str | int) -> Iterator[os.DirEntry[str]]:
        if str(path) == str(folder):  # a number stands for an open folder
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        yield
