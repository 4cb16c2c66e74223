"""What others say reaches the terminal as text alone."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_workflow.basics.shown import shown


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://host\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[1;1Hon top", "on top"),
        ("50 %\r100 %", "50 %100 %"),
        ("\x9b31mred", "31mred"),
        ("name\u202etxt.exe", "nametxt.exe"),
        ("a\tb\nü → 3 %", "a\tb\nü → 3 %"),
        ("cut off \x1b", "cut off "),
    ],
)
def test_what_a_terminal_would_obey_is_taken_out(text: str, left: str) -> None:
    assert shown(text) == left


@given(st.text())
def test_no_control_character_is_ever_left(text: str) -> None:
    assert not [c for c in shown(text) if unicodedata.category(c) == "Cc" and c not in "\t\n"]
