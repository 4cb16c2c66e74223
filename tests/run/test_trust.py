"""What a user relies on: the first A after B, bans, match=code, dirty trees, other experiments.

Real git, real store; the steps run in this process.
"""

import re
import sys
from pathlib import Path

import pytest

from tests.conftest import Project, git
from tests.in_process import quick_project, run

STEPS = ("gather", "left", "right", "join", "shout")
ALL_REUSED = dict.fromkeys(STEPS, "reused")


@pytest.fixture
def project(tmp_path: Path, empty_store: Path) -> Project:
    """The example, with everything done once."""
    project = quick_project(tmp_path / "project", empty_store)
    assert run(project).code == 0
    return project


def newest(project: Project, step: str) -> str:
    return str(project.children(step)[0].info.run_id)


# -- reuse


def test_a_then_b_then_a_reuses_the_first_a(project: Project) -> None:
    first = newest(project, "shout")
    project.edit("steps/left.py", "number * factor", "number + factor")
    assert run(project).states() == {**ALL_REUSED, "left": "ran", "join": "ran", "shout": "ran"}
    project.git("checkout", "--quiet", ".")
    back = run(project)
    assert back.states() == ALL_REUSED
    assert first[:8] in back.line("shout")


def test_an_upstream_that_gives_the_same_bytes_again_leaves_the_rest_reused(project: Project) -> None:
    project.edit("data/b.txt", "4\n5\n", "4\n5")
    assert run(project).states() == {**ALL_REUSED, "gather": "ran"}


def test_a_step_that_gives_other_bytes_for_the_same_is_tagged_and_the_user_warned(
    project: Project,
) -> None:
    clock = "import time; (outputs / 'clock.txt').write_text(str(time.time_ns()))"
    project.edit("steps/gather.py", "        numbers.write(", f"        {clock}\n        numbers.write(")
    run(project, "gather")
    one = newest(project, "gather")
    done = run(project, "gather", "--rerun", "gather")
    other = newest(project, "gather")
    assert f"not deterministic: run {one[:8]}" in done.text
    for here, there in ((one, other), (other, one)):
        assert there in project.client.get_run(here).data.tags["workflow.not_deterministic"]


def test_a_deterministic_step_that_is_forced_is_not_tagged(project: Project) -> None:
    done = run(project, "--rerun", "all")
    assert done.states() == dict.fromkeys(STEPS, "ran")
    assert "not deterministic" not in done.text
    assert not project.runs("tags.workflow.not_deterministic LIKE '%'")


@pytest.mark.slow
def test_a_banned_run_is_never_reused_until_it_is_unbanned(project: Project) -> None:
    left = newest(project, "left")
    maintain = (sys.executable, "-m", "mlflow_workflow")
    assert project.command(*maintain, "ban", left, "--why", "wrong units").code == 0
    assert f"run {left[:8]} is banned: wrong units" in run(project, "--dry_run", "true").line("left")
    assert run(project).states() == {**ALL_REUSED, "left": "ran"}
    assert project.command(*maintain, "ban", newest(project, "left"), "--why", "too").code == 0
    assert project.command(*maintain, "unban", left[:8]).code == 0
    assert "no runs begin with '0000000'" in project.command(*maintain, "unban", "0000000").text
    done = run(project)
    assert done.states() == ALL_REUSED and left[:8] in done.line("left")


def test_results_of_another_experiment_are_reused_when_asked_and_named(project: Project) -> None:
    here = project.client.create_experiment("mine", str(project.folder.parent / "mine"))
    project.variables["MLFLOW_EXPERIMENT_NAME"] = "mine"
    done = run(project, "left", "--reuse_from", "Default")
    commit = project.git("rev-parse", "HEAD")[:7]
    assert done.states() == {"gather": "reused", "left": "reused"}
    user = project.children("left")[0].data.tags["mlflow.user"]
    assert re.search(
        f"made by {user} .* ago: the same in experiment 'Default', commit {commit}$", done.line("left")
    )
    assert run(project, "left", "--factor", "7", "--reuse_from", "Default").states()["left"] == "ran"
    again = run(project, "left", "--factor", "7", "--reuse_from", "Default")
    assert again.states() == {"gather": "reused", "left": "reused"}
    assert len(project.client.search_runs([here], "tags.workflow.step = 'left'")) == 1
    assert run(project, "left").states() == {"gather": "ran", "left": "ran"}
    wrong = run(project, "left", "--reuse_from", "Defolt")
    assert wrong.code == 2 and "did you mean 'Default'?" in wrong.text


# -- match=code


def test_with_match_code_a_commit_elsewhere_reuses_and_a_helper_reruns(project: Project) -> None:
    project.write("README.md", "new")
    project.commit()
    project.edit("steps/shout.sh", "Reads", "It reads")
    assert run(project, "--match", "code").states() == {**ALL_REUSED, "shout": "ran"}
    project.edit("steps/numbers.py", "float(line)", "float(line) + 1")
    states = run(project, "--match", "code").states()
    assert states == {**dict.fromkeys(STEPS, "ran"), "right": "ran"}


def test_a_run_made_under_one_mode_is_found_under_the_other(project: Project) -> None:
    assert run(project, "--match", "code").states() == ALL_REUSED
    run(project, "--match", "code", "--factor", "5")
    assert run(project, "--factor", "5").states() == ALL_REUSED


def test_without_git_everything_works_and_says_so_once(project: Project) -> None:
    (project.folder / ".git").rename(project.folder.parent / "git of before")
    assert run(project, "--match", "code").states() == ALL_REUSED
    first = run(project)
    assert first.states() == dict.fromkeys(STEPS, "ran")
    assert first.text.count("this is no git repository: the code is what the project's files hold") == 1
    assert run(project).states() == ALL_REUSED


def test_a_step_that_cannot_be_seen_is_told_once_with_the_cure(project: Project) -> None:
    done = run(project, "shout", "--match", "code", "--mark", "?", "--dry_run", "true")
    told = [line for line in done.text.splitlines() if "'sources:' in MLproject" in line]
    assert told == []
    project.edit("MLproject", "    sources: [steps/shout.sh]\n", "")
    done = run(project, "shout", "--match", "code", "--dry_run", "true")
    told = [line for line in done.text.splitlines() if "'sources:' in MLproject" in line]
    assert len(told) == 1
    assert told[0].startswith("shout: ")


# -- dirty trees


def test_uncommitted_work_is_kept_apart_tagged_and_can_be_restored(project: Project) -> None:
    commit = project.git("rev-parse", "HEAD").strip()
    project.edit("steps/left.py", "number * factor", "number + factor")
    project.write("new ü.txt", "new\n")
    done = run(project)
    assert done.states() == {**dict.fromkeys(STEPS, "ran"), "gather": "reused", "right": "reused"}
    told = [
        line for line in done.text.splitlines() if "uncommitted change" in line and "run" not in line
    ]
    assert told == ["2 uncommitted changes: kept as code.patch, matched by content"]

    clone = project.folder.parent / "clone"
    git(project.folder.parent, "clone", "--quiet", str(project.folder), str(clone))
    for which in (project.parents()[0], project.children("left")[0]):
        assert which.data.tags["mlflow.source.git.dirty"] == "true"
        assert which.data.tags["mlflow.source.git.commit"] == commit
        patch = project.outputs(which, "code.patch")
        git(clone, "checkout", "--quiet", "--force", commit)
        git(clone, "clean", "--quiet", "-fd")
        git(clone, "apply", str(patch))
        for name in ("steps/left.py", "new ü.txt"):
            assert (clone / name).read_bytes() == (project.folder / name).read_bytes()

    assert run(project).states() == ALL_REUSED
    project.edit("steps/left.py", "number + factor", "number - factor")
    assert run(project, "left").states() == {"gather": "reused", "left": "ran"}


def test_committing_exactly_what_was_run_runs_nothing_again(project: Project) -> None:
    project.edit("steps/left.py", "number * factor", "number + factor")
    project.write("notes.txt", "read by nobody\n")
    run(project, "join")
    project.commit()
    done = run(project, "join")
    assert done.states() == dict.fromkeys(("gather", "left", "right", "join"), "reused"), done.text
    project.write("more.txt", "read by nobody")
    done = run(project, "join")
    assert done.states() == dict.fromkeys(("gather", "left", "right", "join"), "reused"), done.text
    project.edit("notes.txt", "nobody", "somebody")
    project.commit()
    states = run(project, "join").states()
    assert states == dict.fromkeys(("gather", "left", "right", "join"), "ran"), (
        "another commit is another"
    )


def test_committing_only_a_part_of_what_was_run_is_another_commit(project: Project) -> None:
    project.edit("steps/left.py", "number * factor", "number + factor")
    right = project.folder / "steps/right.py"
    right.write_text(f"{right.read_text()}\n# said differently\n")
    assert run(project, "join").code == 0
    project.git("commit", "--quiet", "--message", "a part", "steps/left.py")
    done = run(project, "left")
    assert done.states() == {"gather": "reused", "left": "reused"}, done.text
    project.git("checkout", "--quiet", "steps/right.py")
    assert run(project, "left").states() == {"gather": "ran", "left": "ran"}


def test_what_a_step_reads_by_name_counts_though_no_parameter_names_it(project: Project) -> None:
    project.write("steps/settings.json", "1")
    project.edit(
        "steps/left.py",
        "    with step()",
        '    Path("steps/settings.json").read_text()\n    with step()',
    )
    project.commit()
    run(project, "join")
    project.write("steps/settings.json", "2")
    for mode in ("commit", "code"):
        plan = run(project, "join", "--match", mode, "--dry_run", "true")
        assert plan.states()["left"] == "run"
        assert "steps/settings.json, which it read, changed (run " in plan.line("left")
        assert plan.states()["right"] == "reused"


def test_a_clean_run_is_not_tagged_dirty_and_has_no_patch(project: Project) -> None:
    for which in (project.parents()[0], project.children("left")[0]):
        assert "mlflow.source.git.dirty" not in which.data.tags
        assert not project.outputs(which, "code.patch").exists()


def test_require_clean_refuses_uncommitted_work_and_nothing_else(project: Project) -> None:
    assert run(project, "--require_clean", "true").code == 0
    project.write("data/c.txt", "6\n")
    assert run(project, "gather", "--require_clean", "true").code == 0
    children = len(project.children("left"))
    project.edit("steps/left.py", "number * factor", "number + factor")
    done = run(project, "--require_clean", "true")
    assert done.code == 2
    assert "require_clean: the code is not as committed: steps/left.py" in done.text
    assert project.parents()[0].info.status == "FAILED"
    assert len(project.children("left")) == children
