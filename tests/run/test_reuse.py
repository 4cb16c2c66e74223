"""When a step is reused and when it runs, on a real repository and a real store."""

from tests import in_process
from tests.conftest import Project

STEPS = ("gather", "left", "right", "join", "shout")


def test_second_run_reuses_everything_and_a_changed_parameter_runs_what_it_reaches(
    example: Project,
) -> None:
    first = in_process.run(example)
    assert first.code == 0, first.text
    assert first.states() == dict.fromkeys(STEPS, "ran")
    second = in_process.run(example)
    assert second.states() == dict.fromkeys(STEPS, "reused")
    changed = in_process.run(example, "--factor", "3")
    assert changed.states() == {
        **dict.fromkeys(STEPS, "reused"),
        "left": "ran",
        "join": "ran",
        "shout": "ran",
    }
    assert "factor 2.0 → 3.0" in changed.line("left")
    back = in_process.run(example, "--factor", "2e0")
    assert back.states() == dict.fromkeys(STEPS, "reused")
