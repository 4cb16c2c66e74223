"""The numbers behind the page's drawings: a sweep's dots, the timeline's bars, the graph's arrows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from mlflow_workflow.report.facts import Facts, SweepFacts
from mlflow_workflow.report.table import cut

MOST_BARS = 200
MOST_DOTS = 2_000
MOST_LABELS = 8
INDENT, LANE = 34.0, 18.0
"""How far a box is right of the one above it, and an arrow right of the left side of its box."""


@dataclass(frozen=True)
class Mark:
    """A dot, or a tick of an axis with its label; both in 0 … 1, y upwards."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One swept parameter: a column for every value with its dots, and their means."""

    name: str
    dots: Sequence[Mark]
    means: Sequence[Mark]
    x_ticks: Sequence[Mark]
    y_ticks: Sequence[Mark]


@dataclass(frozen=True)
class Bar:
    """What ran when, in percent of the whole time."""

    node: str
    state: str
    left: float
    width: float
    seconds: float


def charts(sweep: SweepFacts) -> list[Chart]:
    """A chart for every parameter with several values, if there is a metric to show."""
    return [c for name in sweep.variants[0].combination if (c := chart(sweep, name))]


def chart(sweep: SweepFacts, name: str) -> Chart | None:
    """The chart of one parameter; None if it has one value, or the metric is nowhere."""
    points = [
        (v.combination[name], v.value, " ".join(f"{n}={text}" for n, text in v.combination.items()))
        for v in sweep.variants
        if v.value is not None
    ]
    values = in_order({value for value, _, _ in points})
    if len(values) < 2:
        return None
    low, high = min(y for _, y, _ in points), max(y for _, y, _ in points)
    room = (high - low) * 0.1 or abs(high) * 0.05 or 1.0

    def mark(value: str, y: float, text: str) -> Mark:
        x = (values.index(value) + 0.5) / len(values)
        return Mark(x, (y - low + room) / (high - low + 2 * room), text)

    means = {v: mean(y for value, y, _ in points if value == v) for v in values}
    every = math.ceil(len(values) / MOST_LABELS)
    return Chart(
        name,
        [mark(v, y, f"{y:.4g}: {words}") for v, y, words in points[:MOST_DOTS]],
        [mark(v, y, f"mean {y:.4g}") for v, y in means.items()],
        [mark(v, low, cut(v, 16)) for v in values[::every]],
        [mark(values[0], y, f"{y:.4g}") for y in sorted({low, (low + high) / 2, high})],
    )


def in_order(values: set[str]) -> list[str]:
    """Numbers by size, anything else by name."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def timeline(facts: Facts) -> list[Bar]:
    """A bar for every step that ran now, in the order in which they began."""
    now = [s for s in facts.steps if s.state in ("ran", "failed")]
    ran = sorted([(s.started, s) for s in now if s.started is not None], key=lambda row: row[0])
    if not ran:
        return []
    begin = ran[0][0]
    whole = max(started + step.seconds for started, step in ran) - begin or 1.0
    return [
        Bar(s.node, s.state, 100 * (t - begin) / whole, 100 * s.seconds / whole, s.seconds)
        for t, s in ran[:MOST_BARS]
    ]


def arrows(upstream: Mapping[str, Sequence[str]], height: float, gap: float) -> list[str]:
    """The path of every arrow between boxes that stand on a stair, each a row below and a step right.

    An arrow goes straight down beside its box's left end, then right to the box that reads from it:
    what is in between stands further right, so no arrow is ever behind a box.
    """
    place = {name: number for number, name in enumerate(upstream)}
    edges = [(place[above], place[name]) for name, names in upstream.items() for above in names]
    row = height + gap
    return [
        f"M{a * INDENT + LANE} {a * row + height}V{b * row + height / 2}H{b * INDENT}" for a, b in edges
    ]
