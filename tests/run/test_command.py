"""The command line of main: what is understood, and what is refused before anything runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.project.graph import Workflow
from mlflow_workflow.project.mlproject import NEEDED, read_workflow
from mlflow_workflow.project.request import Request, make_request
from mlflow_workflow.project.settings import SETTINGS
from mlflow_workflow.run.command import main
from mlflow_workflow.run.command_line import parse
from tests.conftest import ROOT

PROJECT = """
entry_points:
  main:
    command: python main.py
    parameters:
      task: {default: fit}
      config: {default: ""}
      rerun: {default: ""}
      match: {default: commit}
      dry_run: {type: bool, default: "false"}
      plan_format: {default: table}
      keep_going: {default: ""}
      jobs: {type: int, default: 0}
      sweep: {default: ""}
      metric: {default: score}
      reuse_from: {default: ""}
  load: {command: python load.py, parameters: {rows: {type: int, default: 9}}}
  fit:
    command: python fit.py
    parameters: {load: path, text: {type: string, default: ""}, load_rows: {type: int, default: 1}}
  show: {command: python show.py, parameters: {fit: path, text: string}}
"""


@pytest.fixture
def workflow() -> Workflow:
    return read_workflow(PROJECT)


def request(workflow: Workflow, *arguments: str, project: Path = ROOT) -> Request:
    given = parse(workflow, list(arguments))
    assert given is not None
    return make_request(project, workflow, given)


def refusal(workflow: Workflow, *arguments: str, project: Path = ROOT) -> str:
    with pytest.raises(WorkflowError) as error:
        request(workflow, *arguments, project=project)
    return str(error.value)


def values(asked: Request, step: str) -> dict[str, str]:
    return dict(next(node.values for node in asked.nodes if node.step.name == step))


def test_without_arguments_the_default_task_is_asked_for(workflow: Workflow) -> None:
    asked = request(workflow)
    assert asked.task == "fit"
    assert [node.name for node in asked.nodes] == ["load", "fit"]
    assert [node.name for node in asked.nodes if node.wanted] == ["fit"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fitt"], "unknown task 'fitt'; did you mean 'fit'?"),
        (["--txt", "x"], "unknown parameter 'txt'; did you mean 'text'?"),
        (["--load.row", "1"], "unknown parameter 'load.row'; did you mean 'load.rows'?"),
        (["--job", "1"], "unknown parameter 'job'; did you mean 'jobs'?"),
        (["--rows", "x"], "load.rows must be of type int, not 'x': give -P load.rows=…"),
        (["--jobs", "many"], "jobs must be of type int, not 'many'"),
        (["--jobs", "-1"], "jobs must be 0 (one per processor) or more"),
        (["--match", "comit"], "match cannot be 'comit'; did you mean 'commit'?"),
        (["--plan_format", "yaml"], "plan_format cannot be 'yaml'"),
        (["--dry_run", "perhaps"], "dry_run must be of type bool, not 'perhaps'"),
        (["--rerun", "lod"], "rerun names the unknown step 'lod'; did you mean 'load'?"),
        (["show"], "parameter 'text' of step 'show' has no value: give -P show.text=…"),
        (["--load", "somewhere", "--rerun", "load"], "step 'load' is pinned, so it cannot run again"),
        (["--config", "none.yaml"], "cannot read the config file"),
        (["--rows"], "requires an argument. (a parameter is given as --name value, or -P name=value)"),
        (["-P", "rows"], "-P takes name=value, not 'rows'"),
        (["-P"], "-P takes name=value, not ''"),
        (["-P", "txt=x"], "unknown parameter 'txt'; did you mean 'text'?"),
        (["rows=3"], "'rows=3' is no task: a parameter is given as --name value, or -P name=value"),
        (
            ["--experiment-name", "x"],
            "'mlflow run': set the environment variable MLFLOW_EXPERIMENT_NAME",
        ),
        (["--keep_going", "perhaps"], "keep_going cannot be 'perhaps'"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_clear_sentence(
    workflow: Workflow, arguments: list[str], said: str
) -> None:
    assert said in refusal(workflow, *arguments)


@pytest.mark.parametrize(
    "value", ["-1", "--rows", "--", "-", "", " ", "a=b", "--text=x", "naïve ☃", "a\nb", "$(id)", "%s {}"]
)
def test_any_text_is_taken_as_a_value_even_if_it_looks_like_an_option(
    workflow: Workflow, value: str
) -> None:
    assert values(request(workflow, "--text", value), "fit")["text"] == value


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["--dry-run"], {"dry_run": "true"}),
        (["--dry_run", "show"], {"dry_run": "true", "task": "show"}),
        (["--dry-run", "false", "show"], {"dry_run": "false", "task": "show"}),
        (["--dry_run", "--rows", "3"], {"dry_run": "true", "rows": "3"}),
        (["--dry-run=no"], {"dry_run": "no"}),
        (["--task", "show"], {"task": "show"}),
        (["--task=show", "--rows", "3"], {"task": "show", "rows": "3"}),
        (["-P", "rows=3", "-Ptext=a=b"], {"rows": "3", "text": "a=b"}),
        (["-P", "task=load", "-P", "dry-run=true"], {"task": "load", "dry_run": "true"}),
        (["-P", "load.rows=-1", "load"], {"load.rows": "-1", "task": "load"}),
        (["--text", "-P", "load"], {"text": "-P", "task": "load"}),
    ],
)
def test_what_people_type_out_of_habit_is_understood(
    workflow: Workflow, arguments: list[str], given: dict[str, str]
) -> None:
    defaults = parse(workflow, [])
    found = parse(workflow, arguments)
    assert defaults is not None and found is not None
    assert found == {**defaults, **given}


def test_a_dotted_name_and_a_bare_one_that_look_alike_are_two_parameters(workflow: Workflow) -> None:
    asked = request(workflow, "--load.rows", "5", "--load_rows", "7")
    assert values(asked, "load")["rows"] == "5"
    assert values(asked, "fit")["load_rows"] == "7"


def test_config_files_are_read_in_the_order_given_from_the_project(
    workflow: Workflow, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text("load: {rows: 1}\nfit: {text: 0.50}\n")
    (tmp_path / "b.yaml").write_text("load: {rows: 2}\n")
    asked = request(workflow, "--config", "a.yaml, b.yaml", project=tmp_path)
    assert values(asked, "load")["rows"] == "2"
    assert values(asked, "fit")["text"] == "0.50"
    assert asked.configs == (tmp_path / "a.yaml", tmp_path / "b.yaml")
    typed = request(workflow, "--config", "a.yaml,b.yaml", "--rows", "3", project=tmp_path)
    assert values(typed, "load")["rows"] == "3"


def test_rerun_forces_what_it_names_and_everything_below(workflow: Workflow) -> None:
    asked = request(workflow, "show", "--text", "x", "--rerun", "fit")
    assert {node.name: node.forced_reason for node in asked.nodes} == {
        "load": None,
        "fit": "forced by rerun",
        "show": "forced by rerun of a step above it",
    }


def test_rerun_all_forces_all(workflow: Workflow) -> None:
    nodes = request(workflow, "--rerun", "all").nodes
    assert {node.forced_reason for node in nodes} == {"forced by rerun"}


def test_what_only_a_pinned_step_would_read_is_not_needed(workflow: Workflow) -> None:
    asked = request(workflow, "show", "--text", "x", "--fit", "a" * 32)
    assert [node.name for node in asked.nodes] == ["fit", "show"]


def test_values_of_a_pinned_step_are_not_asked_for(workflow: Workflow) -> None:
    assert request(workflow, "show", "--show", "somewhere").nodes[0].pin == "somewhere"


def project(folder: Path, text: str = PROJECT) -> Path:
    (folder / "MLproject").write_text(text)
    return folder


def test_a_refusal_is_one_line_on_stderr_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert main(project(tmp_path), ["fitt"]) == 2
    printed = capsys.readouterr()
    assert printed.err == "Error: unknown task 'fitt'; did you mean 'fit'?\n"
    assert printed.out == ""


def test_a_broken_mlproject_is_refused_like_a_broken_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert main(project(tmp_path, "entry_points: {"), []) == 2
    assert capsys.readouterr().err.startswith("Error: MLproject is not valid YAML")


def modules_after(arguments: list[str]) -> tuple[str, set[str]]:
    """What `main.py` prints, and the top-level modules it has imported by then."""
    program = (
        "import json, sys; from pathlib import Path; from mlflow_workflow.run.command import main;"
        f"code = main(Path.cwd(), {arguments!r});"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text, _, last = done.stdout.rstrip().rpartition("\n")
    code, modules = json.loads(last)
    assert code == (0 if {"--help", "-h"} & set(arguments) else 2), done.stderr
    return text, set(modules)


def test_help_lists_every_parameter_and_needs_no_mlflow() -> None:
    text, modules = modules_after(["predict", "--help"])
    assert not {"mlflow", "pandas", "sklearn"} & modules
    workflow = read_workflow((ROOT / "MLproject").read_text())
    for name in {*workflow.main.parameters} - {"task"}:
        assert f"--{name}" in text
    for step in workflow.steps.values():
        for name in step.own_parameters:
            assert f"--{name}" in text
            assert f"--{step.name}.{name}" in text
    assert all(step in text for step in workflow.steps)


def test_help_tells_of_each_parameter_what_it_does_its_type_its_choices_and_its_default() -> None:
    words = " ".join(modules_after(["-h"])[0].split())
    for name, setting in SETTINGS.items():
        assert setting.help in words or name == "task"
    assert "--match commit|code what counts" in words
    assert "one per processor [default: 0]" in words
    assert "--folds INT of train [default: 5]" in words
    assert "--train RUN use this earlier result of train: a run id" in words


def test_a_refusal_needs_no_mlflow_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert "mlflow" not in modules_after(["predcit"])[1]


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that is said of a project that cannot even be read."""
    assert main(folder, ["fit"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        ("a folder", "Is a directory"),
        (b"a: 1\nb: \xff\n", "line 2 is not UTF-8"),
    ],
)
def test_an_mlproject_that_cannot_be_read_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes | str | None,
    said: str,
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    if isinstance(content, bytes):
        (tmp_path / "MLproject").write_bytes(content)
    elif content:
        (tmp_path / "MLproject").mkdir()
    line = refused(tmp_path, capsys)
    assert line.startswith(f"Error: cannot read {tmp_path / 'MLproject'}")
    assert said in line


@pytest.mark.parametrize("name", NEEDED)
def test_a_parameter_that_the_workflow_needs_and_main_lacks_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    lines = [line for line in PROJECT.splitlines() if not line.startswith(f"      {name}: ")]
    line = refused(project(tmp_path, "\n".join(lines)), capsys)
    assert f"main in MLproject does not declare the parameter {name!r}" in line
    assert "docs/parameters.md" in line


def test_a_current_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    command = [sys.executable, str(ROOT / "main.py")]
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: the current folder is gone")


def test_help_that_nobody_can_read_is_no_error() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "main.py", "--help"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
