"""What decides what becomes of a node, gathered in one go: identity, earlier runs, inputs, reason."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from mlflow_workflow.identity.fingerprint import Identity, fingerprint, near_keys, summary
from mlflow_workflow.identity.project_state import Surroundings, identify
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.handover import HandOver, Inputs
from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.facts import Compared
from mlflow_workflow.report.outcome import Outcome
from mlflow_workflow.run import explain, pins
from mlflow_workflow.run.decide import Known
from mlflow_workflow.server import claims, lookup
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import UNUSABLE


@dataclass
class World:
    """What one invocation works with, outside of its own state.

    `state` is the newest look at code, environment and data. `rejected` maps runs to what is wrong with
    their outputs; `recent` keeps the newest runs of each step. A `dry` one writes to nobody's run.
    """

    store: Store
    mode: str
    handover: HandOver
    look: Callable[[], Surroundings]
    dry: bool
    state: Surroundings
    rejected: dict[str, str] = field(default_factory=dict)
    recent: dict[str, list[Earlier]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def look_again(self) -> Surroundings:
        """Code, environment and data as they are now."""
        self.state = self.look()
        return self.state

    def recent_runs(self, step: str) -> list[Earlier]:
        """The newest runs of a step before this invocation, asked for once."""
        with self.lock:  # who comes second would ask the same
            if step not in self.recent:
                self.recent[step] = lookup.find_recent(self.store, step)
            return self.recent[step]

    def usual_seconds(self, step: str) -> float:
        """How long a step took lately: the median; 0 if it never ran."""
        seconds = [earlier.seconds for earlier in self.recent_runs(step)]
        return median(seconds) if seconds else 0.0

    def touched(self, inputs: Inputs) -> bool:
        """Are outputs that are read not as they were when they were checked?"""
        return self.handover.touched(inputs.logged.values())

    def reject(self, run_id: str, damage: Damaged) -> None:
        """Never looks at the outputs of a damaged run again."""
        self.rejected[run_id] = str(damage)
        if not self.dry and damage.lasting:
            self.store.remark(run_id, {UNUSABLE: str(damage)})


def gather(world: World, node: Node, upstream: Mapping[str, Outcome], needed: bool) -> Known:
    """What is known of a node whose upstream has these outcomes.

    `needed` tells that somebody will read its outputs, so that they must be whole.
    """
    if node.pin:
        outcome, folder = pins.pinned(world.store, node, world.handover.folder / f"pin {node.step.name}")
        world.handover.keep(str(outcome.uri), folder)
        return Known(pinned=outcome)
    known = identified(world, node, upstream)
    if known.unknown:
        return replace(unknown_upstream(world, node, known), damaged=damages(world, known))
    known, rejections = looked_up(world, node, known, needed)
    if known.usable and not node.forced_reason:
        return known
    known = with_inputs(world, node, known)
    return known if known.damaged else with_reason(world, node, known, rejections)


def identified(world: World, node: Node, upstream: Mapping[str, Outcome]) -> Known:
    """The identity of a node as things are now, and what it is found by."""
    digests = {step: upstream[name].digest for step, name in node.upstream.items()}
    identities = identify(world.state, node.step, node.values, digests)
    return Known(
        upstream=upstream,
        identities=identities,
        keys={mode: lookup.key_of(mode, identity) for mode, identity in identities.items()},
        unknown=tuple(name for name, outcome in upstream.items() if outcome.digest is None),
        compared=compared(identities[world.mode]),
    )


# -- earlier runs


def looked_up(world: World, node: Node, known: Known, needed: bool) -> tuple[Known, list[str]]:
    """With the runs of its keys, and why those that were done cannot be reused."""
    found = lookup.find(world.store, node.step.name, known.keys[world.mode])
    rejections = []
    for earlier in found.published:
        why = objection(world, node, earlier, needed or node.wanted)
        if why is None:
            mine = compared(known.identities[world.mode], earlier)
            reason = origin(world.store, earlier)
            known = replace(known, earlier=found.published, usable=earlier, compared=mine, reason=reason)
            return known, []
        rejections.append(in_a_sentence(earlier, why))
    if not found.published:
        rejections += deleted(world, node, known)
    busy = claims.holder(found.in_progress[0]) if found.in_progress else None
    return replace(known, earlier=found.published, in_progress=busy), rejections


def objection(world: World, node: Node, earlier: Earlier, needed: bool) -> str | None:
    """What speaks against reusing a run.

    Only outputs that somebody reads must be there: of others the digest, which is on the run, is enough.
    """
    if earlier.banned or not needed:
        return earlier.banned
    if known_damage := earlier.damaged or world.rejected.get(earlier.run_id):
        return known_damage
    outputs = outputs_of(node, earlier)
    try:
        world.handover.over(f"runs:/{earlier.run_id}/{node.step.name}", outputs)
    except Damaged as error:
        world.reject(earlier.run_id, error)
        return str(error)
    return None


def origin(store: Store, earlier: Earlier) -> str:
    """Why an earlier run is as good; of another experiment's, also where it is from."""
    if earlier.experiment_id == store.experiment_id:
        return "same code, parameters, data and environment"
    name = store.experiment_name(earlier.experiment_id)
    commit = f", commit {earlier.commit[:7]}" if earlier.commit else ""
    return f"the same in experiment {name!r}{commit}"


def deleted(world: World, node: Node, known: Known) -> list[str]:
    """What to say if there was such a run, and somebody deleted it."""
    gone = lookup.find_deleted(world.store, node.step.name, known.keys[world.mode])
    return [f"run {earlier.run_id[:8]} was deleted" for earlier in gone]


def in_a_sentence(earlier: Earlier, why: str) -> str:
    """`run 3f2a1b9c is banned: …` or `outputs of run 3f2a1b9c are gone: train.csv`."""
    run = earlier.run_id[:8]
    return f"run {run} is {why}" if earlier.banned else f"outputs of run {run} are {why}"


def outputs_of(node: Node, earlier: Earlier) -> Outputs:
    """Where an earlier run's outputs are, and what they must be."""
    return Outputs(earlier.artifact_uri, node.step.name, earlier.outputs)


# -- what it reads


def with_inputs(world: World, node: Node, known: Known) -> Known:
    """With its upstream's outputs as checked local folders, or what is wrong with them."""
    if damaged := damages(world, known):
        return replace(known, damaged=damaged)
    logged = {step: str(known.upstream[name].uri) for step, name in node.upstream.items()}
    folders = {step: str(world.handover.handed[uri].folder) for step, uri in logged.items()}
    data = world.state.data_of(node.step, node.values)
    local = {n: str(p) for n, p in data.items() if node.step.parameters[n].type == "path"}
    return replace(known, inputs=Inputs(logged, {**folders, **local}))


def damages(world: World, known: Known) -> dict[str, str]:
    """What is wrong with upstream outputs, as far as there are some."""
    found = {name: damage_of(world, outcome) for name, outcome in known.upstream.items()}
    return {name: damage for name, damage in found.items() if damage}


def damage_of(world: World, outcome: Outcome) -> str | None:
    """What is wrong with the outputs of a node; None if every byte is as it was."""
    if outcome.outputs is None or outcome.run_id is None:
        return None  # pinned to what is no run's
    try:
        world.handover.over(str(outcome.uri), outcome.outputs)
    except Damaged as error:
        world.reject(outcome.run_id, error)
        return str(error)
    return None


# -- reasons


def with_reason(world: World, node: Node, known: Known, rejections: list[str]) -> Known:
    """With why it runs."""
    if node.forced_reason:
        return replace(known, reason=node.forced_reason)
    if rejections:
        return replace(known, reason="; ".join(rejections))
    nearest = explain.nearest_run(
        world.store, world.mode, known.identities, lambda: world.recent_runs(node.step.name)
    )
    if nearest is None:
        return replace(known, reason=explain.in_words(None))
    mine = compared(known.identities[world.mode], nearest.earlier, nearest.differences)
    return replace(known, reason=explain.in_words(nearest), compared=mine)


def unknown_upstream(world: World, node: Node, known: Known) -> Known:
    """In a plan: is there a run that may be reused, whatever the unknown upstream outputs will be?"""
    now = known.identities[world.mode]
    rejections = []
    for earlier in lookup.find_near(world.store, node.step.name, near_keys(now)["upstream"]):
        then = earlier.summaries.get(world.mode, {}).get("upstream", {})
        if not may_be_equal(summary(now)["upstream"], then):
            continue
        if not earlier.unusable:
            return replace(known, alike=earlier)
        rejections.append(in_a_sentence(earlier, earlier.unusable))
    return with_reason(world, node, known, rejections)


def may_be_equal(now: Mapping[str, str | None], then: Mapping[str, str]) -> bool:
    """Is what is known of the upstream outputs as it was? What nobody knows yet may be."""
    return "*" in then or all(value is None or then.get(step) == value for step, value in now.items())


def compared(
    identity: Identity, earlier: Earlier | None = None, differences: tuple[str, ...] = ()
) -> Compared:
    """What a node was identified as and compared with, for the reports."""
    nearest = earlier.run_id if earlier else None
    return Compared(fingerprint(identity), summary(identity), nearest, differences)
