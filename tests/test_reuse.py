"""When a step is reused and when it runs, on real processes, a real repository and a real store."""

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.slow
STEPS = ("gather", "left", "right", "join", "shout")


def test_second_run_reuses_everything_and_a_changed_parameter_runs_what_it_reaches(
    example: Project,
) -> None:
    first = example.main()
    assert first.code == 0, first.text
    assert first.states() == dict.fromkeys(STEPS, "ran")
    second = example.main()
    assert second.states() == dict.fromkeys(STEPS, "reused")
    changed = example.main("--factor", "3")
    assert changed.states() == {
        **dict.fromkeys(STEPS, "reused"),
        "left": "ran",
        "join": "ran",
        "shout": "ran",
    }
    assert "factor 2.0 → 3.0" in changed.line("left")
    back = example.main("--factor", "2e0")
    assert back.states() == dict.fromkeys(STEPS, "reused")
