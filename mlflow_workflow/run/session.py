"""One invocation against the tracking server: from the parent run's beginning to its end."""

import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.canonical import digest
from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import Interrupted, ServerGone, WorkflowError
from mlflow_workflow.basics.processes import ends_with
from mlflow_workflow.basics.scratch import scratch_folder
from mlflow_workflow.identity.code import Code
from mlflow_workflow.identity.patch import PATCH, patch
from mlflow_workflow.identity.project_state import Surroundings, read_surroundings
from mlflow_workflow.launch.local.launcher import Launcher, step_environment
from mlflow_workflow.outputs.artifacts import fetch_data
from mlflow_workflow.outputs.handover import HandOver
from mlflow_workflow.project.named_data import data_uris
from mlflow_workflow.project.request import Request
from mlflow_workflow.report import ending
from mlflow_workflow.report.facts import Facts
from mlflow_workflow.report.outcome import State
from mlflow_workflow.report.terminal import Terminal, say
from mlflow_workflow.run import parent, registry
from mlflow_workflow.run.candidates import Candidates
from mlflow_workflow.run.child import ChildRuns, Provenance
from mlflow_workflow.run.execute import Execution
from mlflow_workflow.run.interrupts import signals_raise
from mlflow_workflow.run.outlook import Outlook
from mlflow_workflow.server.heartbeat import close_debris, heartbeats
from mlflow_workflow.server.lease import Claims
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.tracking import open_store, store_paths

MakeLauncher = Callable[[Path, str, Path], Launcher]
DONE, FAILED, BAD_REQUEST, WOULD_RUN = 0, 1, 2, 10


def run_request(project: Path, request: Request, launcher: MakeLauncher) -> int:
    """Executes what was asked for under a parent run; returns the exit code."""
    patience = parent.server_patience()
    with scratch_folder() as folder, signals_raise():
        try:
            with parent.started(request.task, patience) as run, ends_with(parent.starters_of(run)):
                session = Session(project, request, run, folder, launcher=launcher, patience=patience)
                return session.run_to_end()
        except WorkflowError as error:
            say(without_credentials(f"Error: {error}"))
            return BAD_REQUEST
        except MlflowException as error:
            what = without_credentials(str(error.message))  # MLflow names the server's whole URL
            say(f"Error: the tracking server {patience.name} failed: {what}")
            return FAILED
        except (ServerGone, OSError) as error:
            say(without_credentials(f"Error: {error}"))
            return FAILED
        except Interrupted as interrupted:
            say(f"stopped by {signal.Signals(interrupted.signal_number).name}")
            return 128 + interrupted.signal_number


class Session:
    """What one invocation works with: the project, the request, the parent run and the store."""

    def __init__(
        self,
        project: Path,
        request: Request,
        run: Run,
        folder: Path,
        *,
        launcher: MakeLauncher,
        patience: Patience,
    ) -> None:
        self.project, self.request, self.parent, self.folder = project, request, run, folder
        self.launcher = launcher
        self.store = open_store(run, request, patience)
        self.store_paths = store_paths(self.store)
        self.dry = request.flag("dry_run")
        self.terminal = Terminal(request.flag("quiet"), request.flag("verbose"))
        self.fetched: Mapping[str, Path] = {}
        self.children: ChildRuns | None = None
        self.patching = threading.Lock()

    def run_to_end(self) -> int:
        """Executes the request and ends the parent run, whose heart beats all the while."""
        with heartbeats(self.store, self.alive):
            self.fetched = fetch_data(self.data_uris(), self.folder)
            code = self.execute()
            parent.end(self.store.patience, "FAILED" if code == FAILED else "FINISHED")
        return code

    def execute(self) -> int:
        """Settles every node, and tells on the terminal and on the parent run what became of them."""
        around = self.look()
        self.check_clean(around)
        parent.record_request(self.store, self.parent, self.request, around)
        for run_id in close_debris(self.store):
            self.tell(f"run {run_id[:8]} was left open by an orchestrator that died: closed")
        if changes := None if self.dry else self.patch(around.code):
            self.store.log_file(self.parent.info.run_id, changes)
        execution, terminal = self.execution(), self.terminal
        outlook = Outlook(execution, terminal.verbose, drawn=terminal.moves)
        with (
            step_environment(self.folder),
            terminal.watching(outlook.progress),
        ):
            outcomes = execution.run()
        found = parent.facts_of(self.store, self.parent, self.request, around.code, execution)
        parent.record_outcomes(self.store, self.parent, found, self.folder / "report")
        ending.tell(self.terminal, found, self.request.settings["plan_format"] == "json")
        if self.dry:
            would_run = any(o.state in (State.RUN, State.DEPENDS) for o in outcomes.values())
            return WOULD_RUN if would_run else DONE
        done = all(outcome.settled for outcome in outcomes.values()) and self.register(found)
        return DONE if done else FAILED

    def execution(self) -> Execution:
        """The loop over the nodes of the request, ready to run."""
        mode = self.request.settings["match"]
        handover = HandOver(self.folder)
        candidates = Candidates(self.store, mode, handover, marks=not self.dry)
        execution = Execution(
            store=self.store,
            candidates=candidates,
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
            execution.children = self.children = ChildRuns(
                store=self.store,
                launcher=self.launcher(self.project, self.store.experiment_id, self.folder),
                claims=Claims(self.store, candidates.is_bad, self.tell) if waits else None,
                mode=mode,
                handover=handover,
                provenance=self.provenance,
                identities=execution.identities,
                tell=self.tell,
            )
        return execution

    def register(self, found: Facts) -> bool:
        """Registers the model, if the user wants it; says why and gives False if that cannot be."""
        name = self.request.settings.get("register")
        try:
            if name:
                self.tell(registry.register(self.store, name, found))
        except WorkflowError as error:
            self.terminal.say(f"Error: {error}")
            return False
        return True

    def alive(self) -> list[str]:
        """The runs whose leases this process keeps."""
        return [self.parent.info.run_id, *(self.children.running if self.children else ())]

    def data_uris(self) -> set[str]:
        """The data that `path` parameters name by URI."""
        nodes = [node for node in self.request.nodes if not node.pin]
        return {uri for node in nodes for uri in data_uris(node.step, node.values)}

    def look(self) -> Surroundings:
        """Code and environment as they are now."""
        request = self.request
        return read_surroundings(
            self.project, request.workflow, request.texts, self.store_paths, self.fetched
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

    def provenance(self) -> Provenance:
        """Where the code is from, as it is now."""
        code = self.look().code
        tags = parent.child_tags(self.parent, code, self.project)
        return Provenance(tags, self.patch(code))

    def patch(self, code: Code) -> Path | None:
        """The uncommitted changes as a file, made anew only when they are others than before."""
        if not code.dirty:
            return None
        file = self.folder / digest(code.ingredients) / PATCH
        with self.patching:
            if not file.exists():
                file.parent.mkdir(exist_ok=True)
                half = file.with_name("half")
                half.write_bytes(patch(code))
                half.rename(file)
        return file

    def tell(self, line: str) -> None:
        """A line for an event; a plan as JSON must stay JSON."""
        if self.request.settings["plan_format"] == "table" or not self.dry:
            self.terminal.tell(line)
