"""What becomes of a node: a pure function from what is known of it to a decision."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mlflow_workflow.outputs.handover import Inputs
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.facts import Compared
from mlflow_workflow.report.outcome import Outcome
from mlflow_workflow.server.claims import Holder
from mlflow_workflow.server.earlier import Earlier
from mlflow_workflow.server.lookup import Identities

MOST_HEALINGS = 2
"""How often outputs that turn out damaged are made again in one invocation."""


@dataclass(frozen=True)
class Known:
    """All that decides what becomes of a node, gathered in one go and frozen.

    `upstream` are the outcomes that its identity was made of, `keys` what it is found by. `earlier` are
    the published runs of them, `usable` the one of these that may be reused. `in_progress` is who
    executes it right now. `unknown` names upstream nodes that only a run could tell the
    outputs of, `alike` a run that equals what is known. `damaged` maps upstream nodes to what is wrong
    with their outputs; `inputs` are whole. `reason` says why it would run.
    """

    upstream: Mapping[str, Outcome] = field(default_factory=dict)
    identities: Identities = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    pinned: Outcome | None = None
    earlier: tuple[Earlier, ...] = ()
    usable: Earlier | None = None
    in_progress: Holder | None = None
    unknown: tuple[str, ...] = ()
    alike: Earlier | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)
    inputs: Inputs | None = None
    reason: str = ""
    compared: Compared | None = None


@dataclass(frozen=True)
class Policy:
    """What was asked for, and what this invocation has been through.

    `made` are the runs that it made itself, `healings` counts how often a node was made again.
    """

    dry: bool = False
    waits: bool = True
    made: Collection[str] = ()
    healings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Use:
    """The outputs that the user pinned."""

    outcome: Outcome


@dataclass(frozen=True)
class Reuse:
    """An earlier run is as good."""

    earlier: Earlier


@dataclass(frozen=True)
class Depends:
    """In a plan: it may be reused, depending on what is above it, and so may `doubtful` nodes."""

    reason: str
    doubtful: tuple[str, ...] = ()


@dataclass(frozen=True)
class Heal:
    """What it reads is damaged: these nodes come first, again."""

    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Fail:
    """It cannot be done."""

    failure: str


@dataclass(frozen=True)
class Wait:
    """Somebody else executes it right now."""

    holder: Holder


@dataclass(frozen=True)
class Run:
    """It is executed; in a plan it would be."""

    reason: str


Decision = Use | Reuse | Depends | Heal | Fail | Wait | Run


def decide(node: Node, known: Known, policy: Policy) -> Decision:
    """The first of these that applies."""
    if known.pinned:
        return Use(known.pinned)
    if known.usable and not node.forced_reason:
        return Reuse(known.usable)
    if known.unknown and known.alike and not node.forced_reason:
        return Depends(f"depends on what {known.unknown[0]} gives", tuple(known.damaged))
    if known.damaged:
        return heal(known, policy)
    if known.in_progress and policy.waits and not policy.dry and not node.forced_reason:
        return Wait(known.in_progress)
    return Run(known.reason)


def heal(known: Known, policy: Policy) -> Decision:
    """Damaged outputs are made again; what this invocation itself made damaged would be so again."""
    for name, damage in known.damaged.items():
        again = known.upstream[name].run_id in policy.made
        if again or policy.healings.get(name, 0) >= MOST_HEALINGS:
            why = "written to since" if again else "damaged again"
            return Fail(f"cannot read the outputs of {name}, which were {why}: {damage}")
    return Heal(tuple(known.damaged))


def skip_reason(node: Node, done: Mapping[str, Outcome], stopping: bool) -> str | None:
    """Why a node is not even looked at, if so."""
    failed = [done[name] for name in node.upstream.values() if name in done and done[name].is_lost]
    if failed:
        return f"{failed[0].node} {failed[0].state}"
    return "stopped" if stopping else None
