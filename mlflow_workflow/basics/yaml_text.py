"""YAML that people type: read safely, bounded in size, and with every scalar kept as it was typed."""

from pathlib import Path
from typing import Any

import yaml

from mlflow_workflow.basics.errors import WorkflowError

LONGEST = 1_000_000
DEEPEST = 40
PLAIN_TAGS = ("str", "int", "float", "bool", "null", "timestamp", "seq", "map")
NOTHING = "tag:yaml.org,2002:null"


def read(file: Path, what: str) -> str:
    """The text of a file. Raises WorkflowError saying `what` it is that cannot be read, and why."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise WorkflowError(f"cannot read {what}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = file.read_bytes().count(b"\n", 0, error.start) + 1
        raise WorkflowError(f"cannot read {what}: line {line} is not UTF-8, save it as that") from None


def compose(text: str, where: str) -> yaml.Node | None:
    """The node tree of a document; None if it is empty.

    Nothing is constructed, so no tag can run code. Aliases are refused: a few lines of them can
    expand to gigabytes.

    Raises:
        WorkflowError: not YAML, too long, too deep, with an alias, or with a name twice in one
            mapping, of which YAML would silently drop the first. Names `where`.
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
            if tag := unusual_tag(event):
                raise WorkflowError(f"{where} has the tag {tag}, which is no plain YAML")
            if depth > DEEPEST:
                raise WorkflowError(f"{where} is nested deeper than {DEEPEST} levels")
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise WorkflowError(f"{where} is not valid YAML: {in_words(error)}") from None
    refuse_twice(document, where)
    return document


def refuse_twice(node: yaml.Node | None, where: str) -> None:
    """Raises WorkflowError for a name that stands twice in one mapping."""
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                line = node.start_mark.line + 1
                raise WorkflowError(f"{where} names {name!r} twice in the mapping of line {line}")
    for each in node.value if isinstance(node, yaml.CollectionNode) else ():
        for inner in each if isinstance(each, tuple) else (each,):
            refuse_twice(inner, where)


def unusual_tag(event: yaml.Event) -> str | None:
    """The explicit tag, if it asks for anything but YAML's own types."""
    tag = str(getattr(event, "tag", None) or "!")
    return None if tag == "!" or tag.removeprefix("tag:yaml.org,2002:") in PLAIN_TAGS else tag


def load(text: str, where: str) -> Any:
    """The value of a document. Raises WorkflowError as `compose`, and for tags such as !!python."""
    compose(text, where)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise WorkflowError(f"{where} is not plain YAML: {in_words(error)}") from None


def in_words(error: Exception) -> str:
    """What is wrong with a document, and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    place, began = error.problem_mark, error.context_mark
    words = f"{error.problem} in line {place.line + 1}, column {place.column + 1}"
    if error.context and began and began.line != place.line:
        words += f", {error.context} of line {began.line + 1}"
    return words


def mapping(node: yaml.Node | None, where: str) -> dict[str, yaml.Node]:
    """A mapping node as a dict; nothing at all is an empty one. Raises WorkflowError if it is none."""
    if node is None or node.tag == NOTHING:
        return {}
    keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else [None]
    if not all(isinstance(key, yaml.ScalarNode) for key in keys):
        raise WorkflowError(f"{where} must be a YAML mapping (name: value)")
    return {str(key.value): value for key, value in node.value}


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
