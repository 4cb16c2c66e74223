"""Text of others, fit to be shown: what a server or a step says must not steer the terminal."""

import re

ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~]?)", re.DOTALL)
"""A whole sequence for a terminal: colours, movements, titles, links."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Other control characters but tab and line feed, and those that turn the direction of writing."""


def shown(text: str) -> str:
    """The text without anything that a terminal obeys; tabs and line feeds stay."""
    return CONTROL.sub("", ESCAPE.sub("", text))
