"""What decides what becomes of a node, gathered in one go: identity, earlier runs, inputs, reason."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from mlflow_workflow.identity.fingerprint import Identity, fingerprint, summary
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.handover import Inputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.facts import Compared
from mlflow_workflow.report.outcome import Outcome
from mlflow_workflow.run import explain, pins
from mlflow_workflow.run.candidates import (
    TREE,
    looked_up,
    near_to_look_for,
    objection_to,
    shortened,
)
from mlflow_workflow.run.decide import Known
from mlflow_workflow.run.world import World
from mlflow_workflow.server import lookup
from mlflow_workflow.server.earlier import Earlier


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
    known, objections = looked_up(world, node, known, needed)
    if known.usable and not node.forced_reason:
        return replace(known, compared=compared(known.identities[world.mode], known.usable))
    known = with_inputs(world, node, known)
    return known if known.damaged else with_reason(world, node, known, objections)


def identified(world: World, node: Node, upstream: Mapping[str, Outcome]) -> Known:
    """The identity of a node as things are now, and what it is found by."""
    digests = {step: upstream[name].digest for step, name in node.upstream.items()}
    identities = with_tree(world, world.reading.identify(node.step, node.values, digests))
    return Known(
        upstream=upstream,
        identities=identities,
        keys={mode: lookup.key_of(mode, identity) for mode, identity in identities.items()},
        unknown=tuple(name for name, outcome in upstream.items() if outcome.digest is None),
        compared=compared(identities[world.mode]),
    )


def with_tree(world: World, identities: lookup.Identities) -> lookup.Identities:
    """With the identity that it has once its files are committed as they are."""
    tree = world.tree(world.reading)
    code = {"tree": tree, "path": world.reading.code.path}
    return {**identities, TREE: replace(identities["commit"], code=code)} if tree else identities


# -- what it reads


def with_inputs(world: World, node: Node, known: Known) -> Known:
    """With its upstream's outputs as checked local folders, or what is wrong with them."""
    if damaged := damages(world, known):
        return replace(known, damaged=damaged)
    logged = {step: str(known.upstream[name].uri) for step, name in node.upstream.items()}
    folders = {step: str(world.handover.handed[uri].folder) for step, uri in logged.items()}
    data = world.reading.data_of(node.step, node.values)
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


def with_reason(world: World, node: Node, known: Known, objections: list[str]) -> Known:
    """With why it runs."""
    if node.forced_reason:
        return replace(known, reason=node.forced_reason)
    if objections:
        return replace(known, reason="; ".join(objections))
    nearest = explain.nearest_run(
        world.mode,
        known.identities,
        near=partial(world.near, node.step.name),
        recent=partial(world.recent_runs, node.step.name),
    )
    if nearest is None:
        return replace(known, reason=explain.in_words(None))
    mine = compared(known.identities[world.mode], nearest.earlier, nearest.differences)
    return replace(known, reason=explain.in_words(nearest), compared=mine)


def unknown_upstream(world: World, node: Node, known: Known) -> Known:
    """In a plan: is there a run that may be reused, whatever the unknown upstream outputs will be?"""
    objections = []
    now = summary(known.identities[world.mode])["upstream"]
    for key in near_to_look_for(world, known):
        for earlier in world.near(node.step.name, key):
            then = earlier.summaries.get(world.mode, {}).get("upstream", {})
            if not may_be_equal(now, then):
                continue
            objection = objection_to(world, node, earlier, needed=False)
            if objection is None:
                return replace(known, alike=earlier)
            objections.append(objection)
    return with_reason(world, node, known, shortened(objections))


def may_be_equal(now: Mapping[str, str | None], then: Mapping[str, str]) -> bool:
    """Is what is known of the upstream outputs as it was? What nobody knows yet may be."""
    return "*" in then or all(value is None or then.get(step) == value for step, value in now.items())


def compared(
    identity: Identity, earlier: Earlier | None = None, differences: tuple[str, ...] = ()
) -> Compared:
    """What a node was identified as and compared with, for the reports."""
    nearest = earlier.run_id if earlier else None
    return Compared(fingerprint(identity), summary(identity), nearest, differences)
