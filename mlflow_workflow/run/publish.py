"""A run becomes reusable under what it was seen to use; one that cannot is kept, with the reason why."""

from pathlib import Path

from mlflow.exceptions import MlflowException

from mlflow_workflow.identity.notes import raw_folder
from mlflow_workflow.identity.record import Record
from mlflow_workflow.outputs.records import write_record
from mlflow_workflow.run.candidates import TREE, modes_to_bear
from mlflow_workflow.run.execution import Execution
from mlflow_workflow.run.gather import identified
from mlflow_workflow.run.world import World
from mlflow_workflow.server import lookup
from mlflow_workflow.server.tags import NOT_DETERMINISTIC


def publish(world: World, execution: Execution, digest: str) -> str | None:
    """Makes a run with these outputs reusable; gives a warning if it is not, or is not deterministic."""
    record, changed = seen(world, execution)
    if changed:
        return f"{changed} while it ran, so it is not reused later"
    try:
        world.store.log_file(execution.run_id, write_record(record, world.folder / execution.run_id))
    except (OSError, MlflowException) as error:
        return f"what it used could not be stored, so it is not reused later: {error}"
    known, run_id, step = execution.known, execution.run_id, execution.node.step.name
    others = [earlier.run_id for earlier in known.earlier if earlier.outputs != digest]
    borne = {mode: known.identities[mode] for mode in modes_to_bear(world, known)}
    tags = lookup.published_tags(borne, digest, record.digest)
    if TREE in borne:
        tags[world.tree_tag()] = "made"
    if others:
        tags[NOT_DETERMINISTIC] = f"run {others[0]} gave other outputs"
        world.store.remark(others[0], {NOT_DETERMINISTIC: f"run {run_id} gave other outputs"})
    lookup.publish(world.store, run_id, [known.keys[mode] for mode in borne], tags, step)
    return f"not deterministic: run {others[0][:8]} of the same gave other outputs" if others else None


def seen(world: World, execution: Execution) -> tuple[Record, str | None]:
    """What a step was seen to use, and what of it changed: its result may be of before or after that."""
    node, known, reading = execution.node, execution.known, world.read_again()
    given = known.inputs.folders.values() if known.inputs else ()
    data = reading.data_of(node.step, node.values).values()
    left_out = [*map(Path, given), *data, world.folder]
    record, moved = reading.record(raw_folder(world.folder, execution.run_id), node.step, left_out)
    if known.inputs and world.touched(known.inputs):
        return record, "the outputs that it read were written to"
    if moved:
        return record, f"{', '.join(moved[:3])} changed"
    before, now = known.identities["code"], identified(world, node, known.upstream).identities["code"]
    same = (before.data, before.environment) == (now.data, now.environment)
    return record, None if same else "its data or packages changed"
