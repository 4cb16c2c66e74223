"""What becomes of a node, as a table: what is known of it, what was asked for, what is decided."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlflow_workflow.project.graph import Step
from mlflow_workflow.project.nodes import Node
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.run.decide import (
    MOST_HEALINGS,
    Decision,
    Depends,
    Fail,
    Heal,
    Known,
    Policy,
    Reuse,
    Run,
    Use,
    Wait,
    decide,
    skip_reason,
)
from mlflow_workflow.server.claims import Holder
from mlflow_workflow.server.earlier import Earlier

NODE = Node("train", Step("train", "python -m train", {}), {}, upstream={"left": "left"})
FORCED = replace(NODE, forced_reason="forced by rerun")
EARLIER = Earlier(
    *("e" * 32, "0", "file:///a", 0.0, 1.0, "d" * 64, "me", None, None, None, None, {}, {}),
)
PINNED = Outcome("train", "train", State.PINNED, "pinned")
LEFT = Outcome("left", "left", State.REUSED, "", run_id="left run", digest="d" * 64)
THEIRS = Holder("their run", "them")
KNOWN = Known(upstream={"left": LEFT}, reason="alpha 0.5 → 0.7")
DAMAGED = replace(KNOWN, damaged={"left": "gone: a.csv"})
UNKNOWN = replace(KNOWN, unknown=("left",))

TABLE: dict[str, tuple[Node, Known, Policy, Decision]] = {
    "a pin wins": (NODE, replace(KNOWN, pinned=PINNED, usable=EARLIER), Policy(), Use(PINNED)),
    "an equal run": (NODE, replace(KNOWN, usable=EARLIER), Policy(), Reuse(EARLIER)),
    "an equal run, forced": (FORCED, replace(KNOWN, usable=EARLIER), Policy(), Run(KNOWN.reason)),
    "an equal run, damage above": (NODE, replace(DAMAGED, usable=EARLIER), Policy(), Reuse(EARLIER)),
    "nothing equal": (NODE, KNOWN, Policy(), Run("alpha 0.5 → 0.7")),
    "somebody does it": (NODE, replace(KNOWN, in_progress=THEIRS), Policy(), Wait(THEIRS)),
    "not to wait": (NODE, replace(KNOWN, in_progress=THEIRS), Policy(waits=False), Run(KNOWN.reason)),
    "a plan waits for nobody": (
        NODE,
        replace(KNOWN, in_progress=THEIRS),
        Policy(dry=True),
        Run(KNOWN.reason),
    ),
    "forced, somebody does it": (
        FORCED,
        replace(KNOWN, in_progress=THEIRS),
        Policy(),
        Run(KNOWN.reason),
    ),
    "damage above": (NODE, DAMAGED, Policy(), Heal(("left",))),
    "healed as often as may be": (
        NODE,
        DAMAGED,
        Policy(healings={"left": MOST_HEALINGS}),
        Fail("cannot read the outputs of left, which were damaged again: gone: a.csv"),
    ),
    "damaged by this invocation": (
        NODE,
        DAMAGED,
        Policy(made={"left run"}),
        Fail("cannot read the outputs of left, which were written to since: gone: a.csv"),
    ),
    "above would run": (NODE, UNKNOWN, Policy(dry=True), Run(KNOWN.reason)),
    "above would run, the rest is equal": (
        NODE,
        replace(UNKNOWN, alike=EARLIER),
        Policy(dry=True),
        Depends("depends on what left gives"),
    ),
    "above would run, forced": (
        FORCED,
        replace(UNKNOWN, alike=EARLIER),
        Policy(dry=True),
        Run(KNOWN.reason),
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_decision_is_that_of_the_table(case: str) -> None:
    node, known, policy, decision = TABLE[case]
    assert decide(node, known, policy) == decision


@given(
    usable=some.sampled_from([None, EARLIER]),
    in_progress=some.sampled_from([None, THEIRS]),
    damaged=some.sampled_from([{}, {"left": "gone"}]),
    dry=some.booleans(),
    waits=some.booleans(),
    healings=some.integers(0, 3),
)
def test_nothing_runs_that_can_be_reused_and_nothing_reads_what_is_damaged(  # noqa: PLR0917
    usable: Earlier | None,
    in_progress: Holder | None,
    damaged: dict[str, str],
    dry: bool,
    waits: bool,
    healings: int,
) -> None:
    known = replace(KNOWN, usable=usable, in_progress=in_progress, damaged=damaged)
    decision = decide(NODE, known, Policy(dry=dry, waits=waits, healings={"left": healings}))
    assert isinstance(decision, Reuse) == bool(usable)
    assert not (isinstance(decision, Run | Wait) and damaged)
    assert not (isinstance(decision, Heal) and healings >= MOST_HEALINGS)


@pytest.mark.parametrize(
    ("state", "stopping", "reason"),
    [
        (State.RAN, False, None),
        (State.FAILED, False, "left failed"),
        (State.SKIPPED, True, "left skipped"),
        (State.REUSED, True, "stopped"),
    ],
)
def test_what_is_below_a_failure_is_skipped_and_after_one_all_the_rest(
    state: State, stopping: bool, reason: str | None
) -> None:
    assert skip_reason(NODE, {"left": replace(LEFT, state=state)}, stopping) == reason
