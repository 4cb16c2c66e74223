"""One invocation against the tracking server: from the parent run's beginning to its end."""

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from workflow import parent, plan, report
from workflow.artifacts import download, local_folder
from workflow.child import ChildRuns
from workflow.code import patch, without_credentials
from workflow.command import Request
from workflow.errors import Interrupted, WorkflowError
from workflow.execute import Execution
from workflow.launch import Launcher, step_environment
from workflow.lease import Claims, close_debris, heartbeats
from workflow.plan import Outcome
from workflow.store import Store, experiment_ids
from workflow.surroundings import Surroundings, data_uris, read_surroundings

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DONE, FAILED, BAD_REQUEST, WOULD_RUN = 0, 1, 2, 10


def run_request(project: Path, request: Request, launcher: type[Launcher] = Launcher) -> int:
    """Executes what was asked for under a parent run; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="workflow-") as folder, signals_raise():
        try:
            with parent.started(request.task) as run:
                return Session(project, request, run, Path(folder), launcher).run_to_end()
        except WorkflowError as error:
            say(f"Error: {error}")
            return BAD_REQUEST
        except MlflowException as error:
            say(f"Error: the tracking server {mlflow.get_tracking_uri()} failed: {error.message}")
            return FAILED
        except Interrupted as interrupted:
            say(f"stopped by {signal.Signals(interrupted.signal_number).name}")
            return 128 + interrupted.signal_number


class Session:
    """What one invocation works with: the project, the request, the parent run and the store."""

    def __init__(
        self, project: Path, request: Request, run: Run, folder: Path, launcher: type[Launcher]
    ) -> None:
        self.project, self.request, self.parent, self.folder = project, request, run, folder
        self.launcher = launcher
        self.store = open_store(run, request)
        self.store_paths = store_paths(self.store)
        self.dry = request.flag("dry_run")
        self.fetched = fetch_data(request, folder)

    def run_to_end(self) -> int:
        """Settles every node, and tells on the terminal and on the parent run what became of them."""
        around = self.look()
        self.check_clean(around)
        parent.record_request(self.store, self.parent, self.request, around)
        for run_id in close_debris(self.store):
            say(f"run {run_id[:8]} was left RUNNING by an orchestrator that died: closed")
        execution = self.execution(around)
        with step_environment(self.folder), heartbeats(self.store, lambda: self.alive(execution)):
            outcomes = execution.run()
        parent.record_outcomes(self.store, self.parent, self.request, outcomes)
        self.tell_end(outcomes)
        if self.dry:
            parent.end("FINISHED")
            would_run = any(o.state in (plan.RUN, plan.DEPENDS) for o in outcomes.values())
            return WOULD_RUN if would_run else DONE
        done = all(outcome.settled for outcome in outcomes.values())
        parent.end("FINISHED" if done else "FAILED")
        return DONE if done else FAILED

    def execution(self, around: Surroundings) -> Execution:
        """The loop over the nodes of the request, ready to run."""
        mode = self.request.settings["match"]
        execution = Execution(
            store=self.store,
            look=self.look,
            mode=mode,
            nodes={node.name: node for node in self.request.nodes},
            folder=self.folder,
            tell=self.tell,
            jobs=self.request.jobs,
            keep_going=self.request.keep_going,
        )
        if not self.dry:
            waits = self.request.flag("wait")
            execution.children = ChildRuns(
                store=self.store,
                launcher=self.launcher(self.project, self.store.experiment_id, self.folder),
                claims=Claims(self.store, execution.is_bad) if waits else None,
                mode=mode,
                tags=parent.child_tags(self.parent, around.code, self.project),
                patch=self.patch(around),
                identities=execution.identities,
                tell=self.tell,
            )
        return execution

    def alive(self, execution: Execution) -> list[str]:
        """The runs whose leases this process keeps."""
        return [
            self.parent.info.run_id,
            *(execution.children.running if execution.children else ()),
        ]

    def look(self) -> Surroundings:
        """Code and environment as they are now."""
        request = self.request
        return read_surroundings(
            self.project, request.workflow, request.values, self.store_paths, self.fetched
        )

    def check_clean(self, around: Surroundings) -> None:
        """Says what is not as usual about the code. Raises WorkflowError if it must be clean."""
        code = around.code
        if code.no_git:
            self.tell(f"{code.no_git}: the code is what the project's files hold")
        if self.request.flag("require_clean") and (code.dirty or code.commit is None):
            what = ", ".join(list(code.changes)[:3]) if code.dirty else "there is no commit"
            raise WorkflowError(f"require_clean: the code is not as committed: {what}")
        if code.dirty:
            count = len(code.changes)
            self.tell(
                f"{count} uncommitted change{'s' * (count > 1)}: kept as code.patch, matched by content"
            )
        if self.request.settings["match"] == "code":
            for line in around.unseen(self.request.nodes):
                self.tell(line)

    def patch(self, around: Surroundings) -> Path | None:
        """The uncommitted changes as a file, also kept on the parent run."""
        if not around.code.dirty:
            return None
        file = self.folder / "code.patch"
        file.write_bytes(patch(around.code))
        self.store.log_file(self.parent.info.run_id, file)
        return file

    def tell(self, line: str) -> None:
        """A line for an event; a plan as JSON must stay JSON."""
        if self.request.settings["plan_format"] == "table" or not self.dry:
            say(line)

    def tell_end(self, outcomes: Mapping[str, Outcome]) -> None:
        """The table, what failed, and where the result is."""
        rows = list(outcomes.values())
        if self.dry and self.request.settings["plan_format"] == "json":
            say(report.plan_json(rows))
            return
        say(report.table(rows))
        if len(self.request.branches) > 1 and not self.dry:
            board = report.leaderboard(self.request.branches, outcomes, self.request.settings["metric"])
            say(board)
            self.store.log_text(self.parent.info.run_id, board, "leaderboard.txt")
        for line in report.failures(rows):
            say(line)
        results = [outcomes[node.name] for node in self.request.nodes if node.wanted]
        if len(results) == 1 and results[0].settled:
            say(report.where(results[0], self.store.uri, self.parent))


def say(line: str) -> None:
    """One line on the terminal, at once."""
    click.echo(line)
    sys.stdout.flush()


@contextmanager
def signals_raise() -> Iterator[None]:
    """Signals that ask the workflow to end raise Interrupted, once."""

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        for other in SIGNALS:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fetch_data(request: Request, folder: Path) -> dict[str, Path]:
    """Data that a `path` parameter names by URI, as local copies: its content counts like any other.

    Raises:
        WorkflowError: it cannot be had.
    """
    uris = {uri for node in request.nodes if not node.pin for uri in data_uris(node.step, node.values)}
    fetched = {}
    for number, uri in enumerate(sorted(uris)):
        try:
            fetched[uri] = download(uri, folder / f"data {number}")
        except (OSError, MlflowException) as error:
            raise WorkflowError(f"cannot fetch {without_credentials(uri)}: {error}") from None
    return fetched


def open_store(run: Run, request: Request) -> Store:
    """The tracking server of a run; looks in its experiment, and in those that `reuse_from` names."""
    client, experiment = mlflow.MlflowClient(), run.info.experiment_id
    names = [n.strip() for n in request.settings["reuse_from"].split(",") if n.strip()]
    others = experiment_ids(client, names)
    looked_in = tuple(dict.fromkeys((experiment, *others)))
    return Store(client, mlflow.get_tracking_uri(), experiment, looked_in)


def store_paths(store: Store) -> tuple[Path, ...]:
    """The files and folders of a tracking store on this disk, which must not count as code."""
    paths = []
    if store.uri.startswith("sqlite:///"):
        file = store.uri.removeprefix("sqlite:///").partition("?")[0]
        paths = [Path(file + end) for end in ("", "-wal", "-shm", "-journal")]
    experiment = store.ask(lambda: store.client.get_experiment(store.experiment_id))
    artifacts = local_folder(experiment.artifact_location)
    if artifacts:
        default_root = artifacts.parent.name in ("mlruns", "mlartifacts")
        paths.append(artifacts.parent if default_root else artifacts)
    return tuple(paths)
