"""YAML that people type: read safely, bounded in size, and with every scalar kept as it was typed."""

from typing import Any

import yaml

from workflow.errors import WorkflowError

LONGEST = 1_000_000
DEEPEST = 40


def compose(text: str, where: str) -> yaml.Node | None:
    """The node tree of a document; None if it is empty.

    Nothing is constructed, so no tag can run code. Aliases are refused: a few lines of them can
    expand to gigabytes.

    Raises:
        WorkflowError: not YAML, too long, too deep, or with an alias. Names `where`.
    """
    if len(text) > LONGEST:
        raise WorkflowError(f"{where} is longer than {LONGEST:,} characters")
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise WorkflowError(f"{where} has a YAML alias (*{event.anchor}): write it out")
            if depth > DEEPEST:
                raise WorkflowError(f"{where} is nested deeper than {DEEPEST} levels")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise WorkflowError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from None


def load(text: str, where: str) -> Any:
    """The value of a document. Raises WorkflowError as `compose`, and for tags such as !!python."""
    compose(text, where)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise WorkflowError(f"{where} is not plain YAML: {' '.join(str(error).split())}") from None


def mapping(node: yaml.Node | None, where: str) -> dict[str, yaml.Node]:
    """A mapping node as a dict. Raises WorkflowError if it is none, or if a key stands twice."""
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise WorkflowError(f"{where} must be a YAML mapping (name: value)")
    found: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value in found:
            raise WorkflowError(f"{where} names {key.value!r} twice")
        found[str(key.value)] = value
    return found


def text_of(node: yaml.Node) -> str:
    """A scalar as it was typed; anything else as YAML on one line."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    in_one_line(node)
    text: str = yaml.serialize(node, Dumper=yaml.SafeDumper, width=float("inf"))
    return text.strip()


def in_one_line(node: yaml.Node) -> None:
    """Makes every mapping and list of a node tree be written in flow style."""
    for each in node.value if isinstance(node, yaml.CollectionNode) else ():
        for inner in each if isinstance(each, tuple) else (each,):
            in_one_line(inner)
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = True
