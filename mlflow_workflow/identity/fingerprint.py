"""What decides whether two executions are the same, and how two of them differ, in words.

An identity has kinds (`parameters`, `code`, …), each with named ingredients whose values are JSON.
Two executions are the same exactly when the canonical JSON of their identities is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_workflow.basics.canonical import canonical, digest

FORMAT = 2
"""Counts up when the canonical form changes; then nothing of before is reused."""


KINDS = ("command", "parameters", "code", "data", "upstream", "environment")
LONGEST_SUMMARY = 6_500
NEAR_DIGITS = 16
SHORT = 12
"""Hex digits of a digest that are enough for people."""

Ingredients = Mapping[str, Any]


@dataclass(frozen=True)
class Identity:
    """Everything that decides what a step's execution gives.

    `parameters` are typed JSON values; `code` and `environment` map names to digests or versions;
    `data` maps a parameter to {file: sha256}; `upstream` maps a step to the digest of its outputs.
    """

    step: str
    command: Ingredients
    parameters: Ingredients
    code: Ingredients
    data: Ingredients
    upstream: Ingredients
    environment: Ingredients

    def kinds(self) -> dict[str, Ingredients]:
        """The ingredients by kind."""
        return {kind: getattr(self, kind) for kind in KINDS}


def fingerprint(identity: Identity) -> str:
    """The identity in 64 hex digits."""
    return digest({"format": FORMAT, "step": identity.step, **identity.kinds()})


def near_keys(identity: Identity) -> dict[str, str]:
    """For every kind, 16 digits of the digest of the identity without it.

    Two executions that differ in just this kind have the digits in common: by them, the nearest earlier
    run is found with one indexed look-up, however old it is.
    """
    return {kind: fingerprint(without(identity, kind))[:NEAR_DIGITS] for kind in KINDS}


def without(identity: Identity, kind: str) -> Identity:
    """The identity with one kind left empty."""
    return Identity(identity.step, **{k: {} if k == kind else i for k, i in identity.kinds().items()})


Summary = dict[str, dict[str, Any]]


def summary(identity: Identity) -> Summary:
    """The identity, cut to fit a tag: digests to 12 digits, long values and long lists to digests."""
    kinds = {kind: {n: short(v) for n, v in flat(i).items()} for kind, i in identity.kinds().items()}
    while len(canonical(kinds)) > LONGEST_SUMMARY:
        longest = max(kinds, key=lambda kind: len(canonical(kinds[kind])))
        kinds[longest] = {"*": digest(getattr(identity, longest))[:SHORT]}
    return kinds


def flat(ingredients: Ingredients) -> dict[str, Any]:
    """{input: {train.csv: …}} as {input/train.csv: …}; a single file's own name is left out."""
    found: dict[str, Any] = {}
    for name, value in ingredients.items():
        if isinstance(value, Mapping) and value and all(is_digest(v) for v in value.values()):
            found.update({f"{name}/{file}" if file else name: v for file, v in value.items()})
        else:
            found[name] = value
    return found


def is_digest(value: Any) -> bool:
    """64 hex digits?"""
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def short(value: Any) -> Any:
    """A value for people: a digest's first digits, the beginning of a long text."""
    if is_digest(value):
        return value[:SHORT]
    text = canonical(value)
    return value if len(text) <= 100 else f"{text[:60]}… sha256 {digest(value)[:SHORT]}"


def equal_ingredients(one: Summary, other: Summary) -> int:
    """How many ingredients two summaries have in common."""
    return sum(
        name in other.get(kind, {}) and other[kind][name] == value
        for kind, ingredients in one.items()
        for name, value in ingredients.items()
    )


def differences(new: Summary, old: Summary) -> list[str]:
    """What differs, each in a few words, parameters first: `alpha 0.5 → 0.7`."""
    found = []
    for kind in ("parameters", "data", "code", "upstream", "environment", "command"):
        before, after = old.get(kind, {}), new.get(kind, {})
        if "*" in before or "*" in after:
            found += [f"{kind} changed"] if before != after else []
            continue
        for name in sorted({*before, *after}):
            if kind == "code" and was_committed(name, before, after):
                continue
            if kind == "upstream" and after.get(name, ABSENT) is None:
                continue  # in a plan: nobody knows yet what that step will give
            if before.get(name, ABSENT) != after.get(name, ABSENT):
                found.append(difference(kind, name, before.get(name, ABSENT), after.get(name, ABSENT)))
    return found


def was_committed(name: str, before: Ingredients, after: Ingredients) -> bool:
    """Is it a change that is no longer uncommitted, since another commit? Then the commit says it."""
    gone = name.startswith(CHANGE) and name not in after
    return gone and before.get("commit") != after.get("commit")


ABSENT = object()
CHANGE = "change "


def difference(kind: str, name: str, before: Any, after: Any) -> str:
    """One differing ingredient in words."""
    if kind == "code":
        return code_difference(name, before, after)
    if kind in ("command", "upstream"):
        return "command changed" if kind == "command" else f"outputs of {name} changed"
    if name.startswith("$"):
        return f"{name} changed"  # by digests, which tell people nothing
    if before is ABSENT or after is ABSENT:
        value = f" ({shown(after)})" if kind == "parameters" and before is ABSENT else ""
        return f"{name} is {'new' if before is ABSENT else 'gone'}{value}"
    return f"{name} changed" if kind == "data" else f"{name} {shown(before)} → {shown(after)}"


def code_difference(name: str, before: Any, after: Any) -> str:
    """A commit is named with its old and new value; a file just changed."""
    if name == "commit" and ABSENT not in (before, after):
        return f"commit {str(before)[:7]} → {str(after)[:7]}"
    file = name.removeprefix(CHANGE)
    if before is ABSENT:
        return f"{file} changed (uncommitted)" if file != name else f"{file} is new"
    if after is ABSENT:
        return f"{file} is as committed again" if file != name else f"{file} is no longer part of it"
    return f"{file} changed"


def shown(value: Any) -> str:
    """A value in a sentence: text without quotes if it reads as one word."""
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(" '\"→"):
        return value
    return json.dumps(value, ensure_ascii=False)
