"""What is told of an invocation in words: description, facts, the command that repeats it, progress."""

import json
import math
import os
import pty
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_workflow.basics.durations import duration
from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.identity.code import Code
from mlflow_workflow.project.mlproject import read_workflow
from mlflow_workflow.project.request import Request, make_request
from mlflow_workflow.project.sweep import Variant
from mlflow_workflow.report import terminal
from mlflow_workflow.report.description import LONGEST, description
from mlflow_workflow.report.ending import board, failures
from mlflow_workflow.report.facts import Facts, SweepFacts, VariantFacts, to_json
from mlflow_workflow.report.gather import finite, main_metric, sweep_facts
from mlflow_workflow.report.highlights import best_parameters, parent_metrics
from mlflow_workflow.report.links import look
from mlflow_workflow.report.names import child_name, headline, parent_name
from mlflow_workflow.report.outcome import Outcome, State
from mlflow_workflow.report.repeat import command
from mlflow_workflow.report.table import Cell, Table, as_text, state_cell
from mlflow_workflow.run.registry import chosen
from tests.conftest import EXAMPLE, Project
from tests.invented import COMMIT, facts, step, sweep

NASTY = "<script>alert(1)</script> | **bold** [x](javascript:y) `tick` \\ & #"


def outcome(name: str, state: str, seconds: float = 1.0, **metrics: float) -> Outcome:
    return Outcome(name, name, state, "", seconds=seconds, metrics=metrics)


# -- one line


def test_the_headline_counts_what_ran_and_what_was_saved() -> None:
    steps = [
        step("a", State.REUSED, seconds=11.0),
        step("b", State.REUSED, seconds=30.0),
        step("c", State.RAN),
    ]
    assert headline("predict", steps, 1, False) == "predict · 1 ran, 2 reused · saved 41 s"


def test_the_headline_begins_with_what_failed() -> None:
    steps = [step("a", State.RAN), step("b", State.FAILED), step("c", State.SKIPPED)]
    assert headline("x", steps, 1, False) == "x · 1 failed, 1 skipped, 1 ran"


# -- names of runs


@pytest.mark.parametrize(
    ("states", "state", "name"),
    [
        ([State.RAN, State.RAN], "done", "train · 2 ran"),
        ([State.REUSED, State.RAN], "done", "train · 1 of 2 ran"),
        ([State.REUSED, State.PINNED], "done", "train · all reused"),
        ([State.RAN, State.FAILED], "failed", "train · s1 failed"),
        ([State.SKIPPED, State.SKIPPED], "failed", "train · stopped"),
        ([State.RUN, State.DEPENDS], "planned", "train · plan"),
    ],
)
def test_a_parent_is_named_after_what_happened(states: list[State], state: str, name: str) -> None:
    assert parent_name(facts(*(step(f"s{i}", s) for i, s in enumerate(states)), state=state)) == name


def test_a_sweeps_parent_says_so_and_whether_all_went_well() -> None:
    found = sweep(3)
    assert parent_name(found) == "train · sweep of 3"
    failed = replace(found, steps=[*found.steps[:2], step("z", State.FAILED)], state="failed")
    assert parent_name(failed) == "train · sweep of 3, 1 failed"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["left"]),
        ({"factor": "3"}, ["left · factor 3"]),
        ({"sweep": "{factor: [2, 3]}"}, ["left · factor 2", "left · factor 3"]),
    ],
)
def test_a_child_is_named_after_what_was_chosen_for_it(given: dict[str, str], names: list[str]) -> None:
    assert [child_name(node) for node in request(task="left", **given).nodes[1:]] == names


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.6, "1 min 40 s"), (7800, "2 h 10 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# -- the description


def test_what_users_type_is_shown_as_typed() -> None:
    text = description(facts(step("train", reason=NASTY), description=NASTY))
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| train")]
    # No more columns than the table has: every other pipe is an entity.
    assert [line.count("|") for line in rows] == [7]
    assert "\\[x\\](javascript:y)" in text


def test_the_description_links_runs_relative_to_the_server() -> None:
    found = step("train", models=("m-1",))
    text = description(facts(found))
    page = f"#/experiments/7/runs/{found.run_id}?workflowType=machine_learning"
    assert f"| [{found.run_id[:8]}]({page})&emsp; |" in text  # type: ignore[index]
    assert "(#/experiments/7/models/m-1?" in text
    assert "http" not in text


def test_the_description_names_commit_changes_data_and_command() -> None:
    data = step("train", identity={"data": {"input/a.csv": "0123456789ab"}}, parameters={"input": "in"})
    found = facts(data, command="mlflow run . -P 'description=`x`'")
    text = description(found)
    assert f"` {COMMIT[:12]} `, clean" in text
    assert "in/a.csv ` 0123456789ab `" in text
    assert "`` mlflow run . -P 'description=`x`' ``" in text


def test_a_long_sweep_leaves_whole_rows_and_the_command() -> None:
    text = description(sweep(400))
    assert len(text) <= LONGEST
    assert re.search(r"… and \d+ more: see workflow.html", text)
    assert "Again: ` mlflow run . -P task=train `" in text


def test_the_first_lines_of_the_description_are_what_ran_the_metric_and_the_time() -> None:
    counted = step("predict", metrics={"a_count": 9.0}, main_metric="a_count")
    settings = {"metric": "-accuracy"}
    found = facts(step("train"), counted, headline="predict · 2 ran", seconds=12.0, settings=settings)
    lines = [line for line in description(found).splitlines() if line][:2]
    assert lines == ["**predict · 2 ran**", "train: **accuracy 0.75** · took 12 s"]


def test_a_reused_row_says_who_made_it_and_when() -> None:
    text = description(facts(step("train", State.REUSED, user="ann", started=86_400.0, reason="same")))
    assert "| made by ann on 1970-01-02 00:00 UTC: same |" in text


# -- facts


def test_numbers_that_json_does_not_know_are_null() -> None:
    found = step("train", metrics={"loss": finite(math.nan), "gain": finite(math.inf)})
    assert json.loads(to_json(facts(found)))["steps"][0]["metrics"] == {"loss": None, "gain": None}


def test_the_main_metric_is_the_one_asked_for_else_the_first_by_name() -> None:
    assert main_metric({"a": 1, "b": 2}, "-b") == "b"
    assert main_metric({"b": 2, "a": 1}, "c") == "a"
    assert main_metric({}, "c") is None


def test_metrics_of_the_steps_are_on_the_parent() -> None:
    found = parent_metrics(facts(step("train"), step("predict", state="reused", metrics={"n": 4.0})))
    assert found["train.accuracy"] == 0.75
    assert found["predict.n"] == 4
    assert found["workflow.saved_seconds"] == 41


def test_a_sweep_gives_the_parent_the_metrics_and_values_of_its_best() -> None:
    found = sweep(4)
    assert parent_metrics(found)["train.accuracy"] == 0.75
    assert best_parameters(found) == {"best.seed": "3"}


def test_a_sweep_of_which_nothing_tells_the_best_has_none_on_the_parent_and_none_to_register() -> None:
    ranked = sweep(4)
    assert ranked.sweep is not None
    unknown = [replace(variant, value=None) for variant in ranked.sweep.variants]
    found = replace(ranked, sweep=replace(ranked.sweep, variants=unknown))
    assert not [name for name in parent_metrics(found) if name.startswith("train.")]
    assert best_parameters(found) == {}
    with pytest.raises(WorkflowError, match="no model to register"):
        chosen(found)


@pytest.mark.parametrize(("metric", "best_first"), [("m", ["2", "1", "0"]), ("-m", ["1", "2", "0"])])
def test_a_leaderboard_puts_combinations_without_the_metric_last(
    metric: str, best_first: list[str]
) -> None:
    outcomes = {
        "0": outcome("0", State.FAILED),
        "1": outcome("1", State.RAN, m=1),
        "2": outcome("2", State.RAN, m=2),
    }
    variants = [Variant({"seed": name}, {"train": name}) for name in outcomes]
    found = sweep_facts(variants, outcomes, metric)
    assert found is not None
    assert [b.combination["seed"] for b in found.variants] == best_first
    assert board(swept(found), found).splitlines()[-1].split() == ["-", "0", "-", "failed"]


def test_a_leaderboard_says_when_no_step_logs_the_metric() -> None:
    outcomes = {"0": outcome("0", State.RAN), "1": outcome("1", State.RAN)}
    variants = [Variant({"seed": name}, {"train": name}) for name in outcomes]
    found = sweep_facts(variants, outcomes, "acuracy")
    assert found is not None
    assert "no step logs a metric 'acuracy'" in board(swept(found), found)


def swept(found: SweepFacts) -> Facts:
    nodes = [node for variant in found.variants for node in variant.nodes.values()]
    return facts(*(step(node, run_id=None) for node in nodes), sweep=found)


# -- where to look


def test_the_ui_is_a_link_or_a_command() -> None:
    assert look("http://host:1/", "7", "r").startswith("http://host:1/#/experiments/7/runs/r")
    assert shlex.split(look("sqlite:////a b.db", "7", "r"))[-1] == "sqlite:////a b.db"


# -- again


def request(**given: str) -> Request:
    workflow = read_workflow((EXAMPLE / "MLproject").read_text())
    return make_request(EXAMPLE, workflow, given)


def code(dirty: bool = False) -> Code:
    return Code(EXAMPLE, COMMIT, "sub", {"a": "b"} if dirty else {})


def test_the_command_gives_every_value_as_it_was_given() -> None:
    odd = "a 'b' $(c)\nd\t\\"
    line = command(request(task="right", text=odd), code(dirty=True), "")
    assert line.startswith(f"git checkout {COMMIT} && git apply code.patch && mlflow run sub -P")
    run = line.partition("mlflow run sub ")[2]
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {run}"], capture_output=True, check=True)
    assert said.stdout.decode().split("\0")[:-1] == ["-P", "task=right", "-P", f"text={odd}"]


def test_a_project_run_from_its_url_is_run_from_there_again_without_the_password() -> None:
    line = command(request(task="right"), code(), "https://me:secret@host/repo.git#sub")
    assert line.startswith(f"mlflow run 'https://host/repo.git#sub' -v {COMMIT} ")


def test_values_of_a_config_file_stand_for_it(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("left: {factor: 4}\nmain: {jobs: 1}\n")
    words = shlex.split(command(request(task="left", config=str(file)), code(), ""))
    assert words[-6:] == ["-P", "task=left", "-P", "jobs=1", "-P", "left.factor=4"]


# -- the terminal


def long_table() -> Table:
    rows = [[Cell("train"), state_cell("ran"), Cell(f"begin {'word ' * 40}end")]]
    return Table(("step", "state", "reason"), rows)


@pytest.mark.parametrize("columns", [60, 100])
def test_a_row_is_one_line_of_the_terminal(columns: int) -> None:
    lines = as_text(long_table(), columns).splitlines()[1:]
    assert lines[1].startswith("train  ran    begin word")
    assert len(lines) == 2
    assert max(map(len, lines)) == columns


def test_a_row_is_never_cut_where_there_is_no_terminal() -> None:
    assert as_text(long_table()).endswith("word end")
    values = VariantFacts({"text": "long " * 40}, 0.5, "done", {"train": "train"})
    swept = SweepFacts("accuracy", False, [values])
    assert "long " * 40 in board(facts(step("train"), sweep=swept), swept)


def test_a_step_that_failed_before_it_had_a_run_says_why() -> None:
    found = facts(step("train", State.FAILED, run_id=None, failure="there is no folder x"))
    assert failures(found)[1] == "train failed: there is no folder x"


def test_progress_tells_elapsed_and_expected_time() -> None:
    running = [terminal.Running("train", 12, 15, Path("log")), terminal.Running("x", 1, 0, Path("log"))]
    assert terminal.lines(terminal.Progress(6, 24, running), 80) == [
        "  train  12 s of about 15 s",
        "  x  1.0 s",
        "  [######------------------] 6 of 24 steps",
    ]


def on_a_terminal(project: Project, *arguments: str, **variables: str) -> str:
    """What `main.py` writes when its output is a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "main.py", *arguments],
        cwd=project.folder,
        env={**project.environment(), "TERM": "xterm", **variables},
        stdout=slave,
        stderr=subprocess.DEVNULL,
    )
    os.close(slave)
    parts = []
    try:
        while part := os.read(master, 4096):
            parts.append(part)
    except OSError:  # how Linux tells that the other end is closed
        pass
    assert process.wait(60) == 0
    os.close(master)
    return b"".join(parts).decode()


@pytest.mark.slow
@pytest.mark.long
def test_colour_and_progress_only_on_a_terminal_and_quiet_gives_the_result_alone(
    example: Project,
) -> None:
    example.edit(
        "steps/left.py", "    with step()", "    __import__('time').sleep(1.5)\n    with step()"
    )
    drawn = on_a_terminal(example, "left")
    assert "\x1b[32m" in drawn  # green: ran
    assert "\x1b[J" in drawn  # progress that was taken away again
    again = on_a_terminal(example, "left", NO_COLOR="1")
    assert "\x1b[" not in again
    assert "reused" in again
    quiet = example.main("left", "--quiet", "true")
    (path,) = quiet.text.split()
    assert (Path(path) / "left.txt").exists()
    plain = example.main("left", "--rerun", "left", "--verbose", "true")
    assert "\x1b" not in plain.text


def test_what_steps_and_servers_say_does_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "a\x1b[2J\x1b]0;title\x07b"
    screen = terminal.Terminal()
    screen.say(evil)
    screen.tell(f"train: {evil}")
    screen.write(as_text(Table(("reason",), [[Cell(evil)]])))
    terminal.say(evil)
    assert capsys.readouterr().out.splitlines() == ["ab", "train: ab", "", "reason", "ab", "ab"]


def test_verbose_shows_what_steps_print_in_whole_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "run.log"
    shown = terminal.Terminal(verbose=True)
    now = terminal.Progress(0, 1, [terminal.Running("train", 1, 0, log)])
    log.write_text("one\ntw")
    with shown.watching(lambda: now):
        deadline = time.monotonic() + 10
        while not shown.read and time.monotonic() < deadline:
            time.sleep(0.05)
        log.write_text("one\ntwo\n")
    assert capsys.readouterr().out.splitlines() == ["train | one", "train | two"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "output",
    [
        pytest.param("a full disk", marks=pytest.mark.long),
        "a pipe that nobody reads",
        pytest.param("closed", marks=pytest.mark.long),
    ],
)
def test_a_workflow_whose_output_nobody_can_read_does_its_work(example: Project, output: str) -> None:
    if output == "a full disk":
        stream = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, stream = os.pipe()
        os.close(reader)
    command = [sys.executable, "main.py", "gather"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command] if output == "closed" else command,
        cwd=example.folder,
        env=example.environment(),
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(stream)
    assert (done.returncode, done.stderr) == (0, "")
    assert [run.info.status for run in example.runs()] == ["FINISHED", "FINISHED"]
