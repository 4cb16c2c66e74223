"""The numbers behind the page's drawings: a sweep's dots and the timeline's bars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from mlflow_workflow.report.facts import Facts, SweepFacts

MOST_BARS = 200
MOST_DOTS = 2_000


@dataclass(frozen=True)
class Mark:
    """A dot, or a tick of an axis with its label; both in 0 … 1, y upwards."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One swept parameter: a dot for every combination, and the mean of each value."""

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
    names = list(sweep.branches[0].combination)
    found = [chart(sweep, name) for name in names]
    return [c for c in found if c is not None]


def chart(sweep: SweepFacts, name: str) -> Chart | None:
    """The chart of one parameter; None if it has one value, or the metric is nowhere."""
    points = [(b.combination[name], b.value, b) for b in sweep.branches if b.value is not None]
    values = in_order({value for value, _, _ in points})
    if len(values) < 2:
        return None
    x_of = places(values)
    low, high = margins([y for _, y, _ in points])
    fitted = [(x_of[v], (y - low) / (high - low), y, v, b) for v, y, b in points]
    dots = [Mark(x, y, f"{real:.4g}: {words(b.combination)}") for x, y, real, _, b in fitted]
    means = []
    for value in values:
        here = [(y, real) for _, y, real, v, _ in fitted if v == value]
        text = f"mean {mean(real for _, real in here):.4g}"
        means.append(Mark(x_of[value], mean(y for y, _ in here), text))
    x_ticks = [Mark(x_of[v], 0, v if len(v) <= 16 else f"{v[:15]}…") for v in values]
    y_ticks = [Mark(0, (y - low) / (high - low), f"{y:.4g}") for y in steps(low, high)]
    return Chart(name, dots[:MOST_DOTS], means, thinned(x_ticks), y_ticks)


def words(combination: Mapping[str, str]) -> str:
    """`seed=1 model=RidgeClassifier`."""
    return " ".join(f"{name}={value}" for name, value in combination.items())


def in_order(values: set[str]) -> list[str]:
    """Numbers by size, anything else by name."""
    numbers = {value: number(value) for value in values}
    if all(n is not None for n in numbers.values()):
        return sorted(values, key=lambda v: numbers[v] or 0.0)
    return sorted(values)


def number(text: str) -> float | None:
    """The finite number that a text is, if it is one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def places(values: Sequence[str]) -> dict[str, float]:
    """Where each value is on the axis: numbers to scale (log over two decades), texts evenly."""
    numbers = [number(value) for value in values]
    known = [n for n in numbers if n is not None]
    if len(known) < len(values) or known[0] == known[-1]:
        return {value: (i + 0.5) / len(values) for i, value in enumerate(values)}
    scaled = [math.log10(n) for n in known] if known[0] > 0 and known[-1] / known[0] >= 100 else known
    width = scaled[-1] - scaled[0]
    return {v: 0.06 + 0.88 * (s - scaled[0]) / width for v, s in zip(values, scaled, strict=True)}


def margins(values: Sequence[float]) -> tuple[float, float]:
    """The range with some room."""
    low, high = min(values), max(values)
    room = (high - low) * 0.1 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def steps(low: float, high: float) -> list[float]:
    """Round numbers in a range, about four."""
    rough = (high - low) / 4
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough)
    first = math.ceil(low / step)
    return [round(n * step, 12) for n in range(first, math.floor(high / step) + 1)]


def thinned(ticks: Sequence[Mark], apart: float = 0.12) -> list[Mark]:
    """Only ticks whose labels do not overlap."""
    found: list[Mark] = []
    for tick in ticks:
        if not found or tick.x - found[-1].x >= apart:
            found.append(tick)
    return found


def timeline(facts: Facts) -> list[Bar]:
    """A bar for every step that ran, in the order in which they began."""
    ran = [(s.started, s) for s in facts.steps if s.started is not None]
    if not ran:
        return []
    ran.sort(key=lambda row: row[0])
    begin = ran[0][0]
    whole = max(started + step.seconds for started, step in ran) - begin or 1.0
    return [
        Bar(s.node, s.state, 100 * (t - begin) / whole, 100 * s.seconds / whole, s.seconds)
        for t, s in ran[:MOST_BARS]
    ]
