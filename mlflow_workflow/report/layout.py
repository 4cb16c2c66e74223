"""Where the boxes and arrows of a small graph go: in layers, upstream on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 4
BEND = 28.0
"""The width that an arrow takes where it passes a layer."""


@dataclass(frozen=True)
class Passing:
    """The place where an arrow passes a layer between its ends."""

    above: str
    below: str
    layer: int


Node = str | Passing
"""A box by its name, or a passing arrow."""


@dataclass(frozen=True)
class Layout:
    """The left upper corner of every box, every arrow as points from top to bottom, and the size."""

    boxes: Mapping[str, tuple[float, float]]
    arrows: Sequence[Sequence[tuple[float, float]]]
    width: float
    height: float


def layered(upstream: Mapping[str, Sequence[str]], width: float, height: float, gap: float) -> Layout:
    """Boxes of one size; `upstream` names for each box those above it and must have no cycle."""
    ranks = ranked(upstream)
    edges = [(above, name) for name, all_above in upstream.items() for above in all_above]
    chains: list[list[Node]] = [
        [a, *(Passing(a, b, r) for r in range(ranks[a] + 1, ranks[b])), b] for a, b in edges
    ]
    layers = ordered(ranks, chains)
    centres: dict[Node, float] = {}
    for layer in layers:
        centres.update(spread(layer, width, gap))
    left = min(c - size(n, width) / 2 for n, c in centres.items())
    right = max(c + size(n, width) / 2 for n, c in centres.items())
    tops = {node: r * (height + gap) for r, layer in enumerate(layers) for node in layer}
    return Layout(
        boxes={n: (centres[n] - left - width / 2, tops[n]) for n in upstream},
        arrows=[points(chain, centres, tops, left, height) for chain in chains],
        width=right - left,
        height=len(layers) * (height + gap) - gap,
    )


def ranked(upstream: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The layer of each box: below everything that it reads from."""
    ranks: dict[str, int] = {}

    def rank(name: str) -> int:
        if name not in ranks:
            ranks[name] = 1 + max((rank(above) for above in upstream[name]), default=-1)
        return ranks[name]

    for name in upstream:
        rank(name)
    return ranks


def ordered(ranks: Mapping[str, int], chains: Sequence[Sequence[Node]]) -> list[list[Node]]:
    """The layers, each in an order in which few arrows cross: by the mean place of the neighbours."""
    layers: list[list[Node]] = [[] for _ in range(max(ranks.values()) + 1)]
    for name, rank in ranks.items():
        layers[rank].append(name)
    for passing in (node for chain in chains for node in chain):
        if isinstance(passing, Passing):
            layers[passing.layer].append(passing)
    pairs = [pair for chain in chains for pair in pairwise(chain)]
    for _ in range(SWEEPS):
        for before, layer in pairwise(layers):
            sort_by_mean(layer, [(lower, upper) for upper, lower in pairs], before)
        for after, layer in pairwise(layers[::-1]):
            sort_by_mean(layer, pairs, after)
    return layers


def sort_by_mean(layer: list[Node], pairs: Sequence[tuple[Node, Node]], other: Sequence[Node]) -> None:
    """Sorts a layer by where its neighbours in the other one are; without any, it stays in place."""
    place = {node: number for number, node in enumerate(other)}
    now = {node: float(number) for number, node in enumerate(layer)}
    for node in layer:
        if found := [place[there] for here, there in pairs if here == node and there in place]:
            now[node] = sum(found) / len(found)
    layer.sort(key=lambda node: now[node])


def size(node: Node, width: float) -> float:
    """A box is as wide as all boxes, a passing arrow is narrow."""
    return width if isinstance(node, str) else BEND


def spread(layer: Sequence[Node], width: float, gap: float) -> dict[Node, float]:
    """The middle of everything in a layer; its boxes are centred, arrows that pass beside are not."""
    middles: dict[Node, float] = {}
    x = 0.0
    for node in layer:
        middles[node] = x + size(node, width) / 2
        x += size(node, width) + gap
    boxes = [middle for node, middle in middles.items() if isinstance(node, str)]
    centre = (min(boxes) + max(boxes)) / 2
    return {node: middle - centre for node, middle in middles.items()}


def points(
    chain: Sequence[Node],
    centres: Mapping[Node, float],
    tops: Mapping[Node, float],
    left: float,
    height: float,
) -> list[tuple[float, float]]:
    """Where an arrow goes: from under its first box, straight past layers, onto its last."""
    first, *bends, last = chain
    found = [(centres[first] - left, tops[first] + height)]
    for bend in bends:
        found += [(centres[bend] - left, tops[bend]), (centres[bend] - left, tops[bend] + height)]
    return [*found, (centres[last] - left, tops[last])]
