"""Earlier runs of the same: which of them may be reused, and what speaks against the others."""

from dataclasses import replace

from mlflow_workflow.identity.fingerprint import near_keys
from mlflow_workflow.identity.record import Record
from mlflow_workflow.outputs.artifacts import Damaged
from mlflow_workflow.outputs.manifest import Outputs
from mlflow_workflow.outputs.records import read_record
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.run.decide import Known
from mlflow_workflow.run.world import World
from mlflow_workflow.server import claims, lookup
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.store import Store
from mlflow_workflow.server.tags import NEAR

MOST_OBJECTIONS = 2
"""How many runs a reason names: of one key there may be many, each of another state of the files."""
TREE = "tree"
"""Beside the modes: what a run is found by once exactly the files that it was made of are committed."""


def looked_up(world: World, node: Node, known: Known, needed: bool) -> tuple[Known, list[str]]:
    """With the runs that are found, and why those that were done cannot be reused."""
    objections: list[str] = []
    earlier: list[Earlier] = []
    for key in keys_to_look_for(world, known):
        found = lookup.find(world.store, node.step.name, key)
        new = [each for each in found.published if each not in earlier]
        earlier += new
        if not found.published:
            objections += [f"run {run_id[:8]} was deleted" for run_id in found.deleted[:1]]
        if found.in_progress and not known.in_progress:
            known = replace(known, in_progress=claims.holder(found.in_progress[0]))
        for each in new:
            objection = objection_to(world, node, each, needed or node.wanted)
            if objection is None:
                vouch(world, known, each)
                reason = origin(world.store, each)
                return replace(known, earlier=tuple(earlier), usable=each, reason=reason), []
            objections.append(objection)
    return replace(known, earlier=tuple(earlier)), shortened(objections)


def modes_to_look_in(world: World, known: Known) -> list[str]:
    """What counts as the code; with match=commit also what was made of these very files before it."""
    before = world.mode == "commit" and TREE in known.identities and world.is_tree_known()
    return [world.mode, *([TREE] if before else [])]


def keys_to_look_for(world: World, known: Known) -> list[str]:
    """What equal runs bear."""
    return [known.keys[mode] for mode in modes_to_look_in(world, known)]


def near_to_look_for(world: World, known: Known) -> list[str]:
    """What runs bear that are equal but for what they read."""
    return [near_keys(known.identities[m])["upstream"] for m in modes_to_look_in(world, known)]


def modes_to_bear(world: World, known: Known) -> list[str]:
    """What a run is to be found by: by its files alone only while there is no commit of them."""
    return [mode for mode in known.identities if mode != TREE or world.reading.code.dirty]


def vouch(world: World, known: Known, earlier: Earlier) -> None:
    """A run that is reused bears from now on what it would bear if it were made now.

    So it is found after just the uncommitted changes are committed, and after that, too.
    """
    wanted = {TREE if world.reading.code.dirty else world.mode} & set(known.keys)
    marks: dict[str, str] = {}
    for mode in wanted:
        if known.keys[mode] not in earlier.keys:
            identity = known.identities[mode]
            near = f"{NEAR}.{near_keys(identity)['upstream']}"
            marks |= {known.keys[mode]: identity.step, near: identity.step}
            marks |= {world.tree_tag(): "reused"} if mode == TREE else {}
    if marks and not world.dry:
        world.store.remark(earlier.run_id, marks)


def shortened(objections: list[str]) -> list[str]:
    """The first few, and how many more there are."""
    more = len(objections) - MOST_OBJECTIONS
    return [*objections[:MOST_OBJECTIONS], *([f"and {more} more"] if more > 0 else [])]


def objection_to(world: World, node: Node, earlier: Earlier, needed: bool) -> str | None:
    """What speaks against reusing a run: somebody's word, what it used, or its outputs.

    Only outputs that somebody reads must be there: of others the digest, which is on the run, is enough.
    """
    run = earlier.run_id[:8]
    if earlier.banned:
        return f"run {run} is {earlier.banned}"
    record = record_of(world, earlier)
    broken = world.reading.broken(record) if record else None
    if broken:
        return f"{broken} (run {run})"
    damage = damage_of(world, node, earlier) if needed or not record else None
    if damage:
        return f"outputs of run {run} are {damage}"
    return None if record else f"the record of what run {run} used is gone"


def record_of(world: World, earlier: Earlier) -> Record | None:
    """What a run was seen to use; None if that is lost, or is not what the run was published with."""
    digest = earlier.record
    if digest and digest not in world.records:
        record = read_record(earlier.artifact_uri, digest)
        if record:
            world.records[digest] = record
    return world.records.get(digest or "")


def damage_of(world: World, node: Node, earlier: Earlier) -> str | None:
    """What is wrong with the outputs of a run; None if every byte is as it was."""
    if known := earlier.damaged or world.rejected.get(earlier.run_id):
        return known
    try:
        world.handover.over(f"runs:/{earlier.run_id}/{node.step.name}", outputs_of(node, earlier))
    except Damaged as error:
        world.reject(earlier.run_id, error)
        return str(error)
    return None


def outputs_of(node: Node, earlier: Earlier) -> Outputs:
    """Where an earlier run's outputs are, and what they must be."""
    return Outputs(earlier.artifact_uri, node.step.name, earlier.outputs)


def origin(store: Store, earlier: Earlier) -> str:
    """Why an earlier run is as good; of another experiment's, also where it is from."""
    if earlier.experiment_id == store.experiment_id:
        return "same code, parameters, data and environment"
    name = store.experiment_name(earlier.experiment_id)
    commit = f", commit {earlier.commit[:7]}" if earlier.commit else ""
    return f"the same in experiment {name!r}{commit}"
