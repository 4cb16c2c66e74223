"""One invocation against the tracking server: from the parent run's beginning to its end."""

import signal
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlflow_workflow.basics.credentials import without_credentials
from mlflow_workflow.basics.errors import Interrupted, ServerGone, WorkflowError
from mlflow_workflow.basics.processes import ends_with, owner
from mlflow_workflow.basics.scratch import scratch_folder
from mlflow_workflow.identity import reading
from mlflow_workflow.identity.notes import recording
from mlflow_workflow.identity.reading import Reading
from mlflow_workflow.launch.engine import Job, MakeEngine
from mlflow_workflow.outputs.artifacts import fetch_data
from mlflow_workflow.outputs.handover import HandOver
from mlflow_workflow.project.named_data import data_uris
from mlflow_workflow.project.request import Request
from mlflow_workflow.report import ending
from mlflow_workflow.report.facts import Facts
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.report.terminal import Terminal, say
from mlflow_workflow.run import parent, registry
from mlflow_workflow.run.board import Board
from mlflow_workflow.run.child import Children
from mlflow_workflow.run.decide import Policy
from mlflow_workflow.run.execute import Loop
from mlflow_workflow.run.interrupts import signals_raise
from mlflow_workflow.run.outlook import progress
from mlflow_workflow.run.provenance import Provenance
from mlflow_workflow.run.workers import Workers
from mlflow_workflow.run.world import World
from mlflow_workflow.server.heartbeat import close_debris, heartbeats, withdraw_strays
from mlflow_workflow.server.lookup import RECENT_RUNS, add_recent
from mlflow_workflow.server.patience import Patience
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tracking import open_store, store_paths

WORKERS = 4
DONE, FAILED, BAD_REQUEST, WOULD_RUN = 0, 1, 2, 10


def run_request(project: Path, request: Request, engine: MakeEngine) -> int:
    """Executes what was asked for under a parent run; returns the exit code."""
    patience = parent.server_patience()
    with scratch_folder() as folder, signals_raise(patience.is_silent):
        try:
            with parent.started(request.task, patience) as run, ends_with(parent.starters_of(run)):
                session = Session(project, request, run, folder, engine=engine, patience=patience)
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
        engine: MakeEngine,
        patience: Patience,
    ) -> None:
        self.project, self.request, self.parent, self.folder = project, request, run, folder
        self.engine = engine
        self.store = open_store(run, request, patience)
        self.dry = request.flag("dry_run")
        self.terminal = Terminal(request.flag("quiet"), request.flag("verbose"))
        self.fetched: Mapping[str, Path] = {}
        self.provenance = Provenance(run, project, folder)

    def run_to_end(self) -> int:
        """Executes the request and ends the parent run, whose heart beats all the while."""
        with heartbeats(self.store, self.parent.info.run_id):
            self.fetched = fetch_data(self.data_uris(), self.folder)
            code = self.execute()
            parent.end(self.store.patience, "FAILED" if code == FAILED else "FINISHED")
        return code

    def execute(self) -> int:
        """Settles every node, and tells on the terminal and on the parent run what became of them."""
        around = self.read()
        self.top = around.top
        self.check_clean(around)
        parent.record_request(self.store, self.parent, self.request, around)
        for run_id in close_debris(self.store):
            self.tell(f"run {run_id[:8]} was left open by an orchestrator that died: closed")
        if changes := None if self.dry else self.provenance.patch(around.code):
            self.store.log_file(self.parent.info.run_id, changes)
        loop = self.loop(around)
        with self.terminal.watching(partial(progress, loop, self.terminal.moves)):
            outcomes = loop.run()
        if not self.dry:
            remember_recent(self.store, outcomes)
            withdraw_strays(self.store, owner(), self.parent.info.run_id)
        found = parent.facts_of(self.store, self.parent, self.request, around.code, loop)
        self.record(found)
        ending.tell(self.terminal, found, self.request.settings["plan_format"] == "json")
        if self.dry:
            would_run = any(o.state in (State.RUN, State.DEPENDS) for o in outcomes.values())
            return WOULD_RUN if would_run else DONE
        done = all(outcome.has_outputs for outcome in outcomes.values()) and self.register(found)
        return DONE if done else FAILED

    def loop(self, around: Reading) -> Loop:
        """The loop over the nodes of the request, ready to run."""
        request, workers = self.request, Workers(WORKERS)
        handover = HandOver(self.folder)
        mode = request.settings["match"]
        world = World(self.store, mode, self.folder, handover, around, dry=self.dry)
        loop = Loop(
            world=world,
            board=Board({node.name: node for node in request.nodes}),
            workers=workers,
            policy=Policy(dry=self.dry, waits=request.flag("wait")),
            tell=self.tell,
            keep_going=request.keep_going,
        )
        if not self.dry:
            engine = self.engine(
                self.project,
                self.store.experiment_id,
                self.folder,
                notify=workers.wake,
                variables=self.variables,
            )
            waits = request.flag("wait")
            children = Children(world, engine, waits, self.provenance, lambda: loop.stopping)
            loop.act(children, request.jobs)
        return loop

    def record(self, found: Facts) -> None:
        """Keeps the reports. That they cannot be stored does not undo what was done."""
        try:
            parent.record_outcomes(self.store, self.parent, found, self.folder / "report")
        except (OSError, MlflowException) as error:
            self.terminal.say(
                f"Warning: the reports could not be stored: {without_credentials(str(error))}"
            )

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

    def data_uris(self) -> set[str]:
        """The data that `path` parameters name by URI."""
        nodes = [node for node in self.request.nodes if not node.pin]
        return {uri for node in nodes for uri in data_uris(node.step, node.values)}

    def read(self) -> Reading:
        """Code, environment and data as they are now."""
        request, stores = self.request, [*store_paths(self.store), self.folder]
        return reading.read(self.project, request.workflow, request.texts, stores, self.fetched)

    def variables(self, job: Job) -> dict[str, str]:
        """What a step's processes need to note what they use."""
        return recording(self.top, self.folder, job.run_id)

    def check_clean(self, around: Reading) -> None:
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
        if code.dirty or self.request.settings["match"] == "code":
            for line in around.blind(
                {node.step.name: node.step for node in self.request.nodes}.values()
            ):
                self.tell(line)

    def tell(self, line: str) -> None:
        """A line for an event; a plan as JSON must stay JSON."""
        if self.request.settings["plan_format"] == "table" or not self.dry:
            self.terminal.tell(line)


def remember_recent(store: Store, outcomes: Mapping[str, Outcome]) -> None:
    """The runs that were made are the newest of their steps from now on."""
    made: dict[str, list[str]] = {}
    for outcome in outcomes.values():
        if outcome.state == State.RAN and outcome.run_id:
            made.setdefault(outcome.step, []).insert(0, outcome.run_id)
    for step, run_ids in made.items():
        add_recent(store, step, run_ids[:RECENT_RUNS])
