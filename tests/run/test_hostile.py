"""Input that nobody sends by accident, and some that people do: it arrives as typed, or is refused."""

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click import ClickException
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlflow_workflow.basics.errors import WorkflowError
from mlflow_workflow.for_steps.model import load_model
from mlflow_workflow.project.parameters import read_config, read_yaml
from mlflow_workflow.project.sweep import read_sweep
from tests import in_process
from tests.conftest import Project, new_project

SLOTS = 16
NASTY = [
    "",
    " ",
    "two words, and a trailing space ",
    "it's",
    'a "quoted" word',
    "$(touch /tmp/never) `touch /tmp/never` ${HOME} $HOME",
    "; touch /tmp/never; #",
    "one\ntwo\r\nthree\n",
    "a=b=c",
    "{t0} {} {{x}} %s %(x)s %",
    "-x",
    "--t1=other",
    "é ß 漢字 🚢 \u202e\ufeff\u0301",
    "\\ \\n * ? ~ ! [a-z] | & < >",
    "\x01\x1b[31m\x7f\t",
    "long " * 2_000,
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Project:
    return new_project(tmp_path_factory.mktemp("hostile") / "a project", empty_store, "relay")


@pytest.mark.slow
def test_nasty_text_arrives_at_a_step_as_it_was_typed_for_mlflow_run(relay: Project) -> None:
    check_arrival(relay, NASTY)


@pytest.mark.slow
@pytest.mark.long
@settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(texts=st.lists(TEXTS, min_size=SLOTS, max_size=SLOTS))
def test_any_text_arrives_at_a_step_as_it_was_typed_for_mlflow_run(
    relay: Project, texts: list[str]
) -> None:
    check_arrival(relay, texts)


def check_arrival(relay: Project, texts: list[str]) -> None:
    typed = [f"t{number}={text}" for number, text in enumerate(texts)]
    done = relay.mlflow_run("task=odd step", "description=<img src=x> **b** | `c`", *typed)
    assert done.code == 0, done.text
    parent = relay.parents()[0]
    run = relay.client.get_run(parent.data.tags["workflow.run.odd step"])
    made = relay.outputs(run, "odd step")
    arrived = [(made / f"{number}.txt").read_bytes() for number in range(SLOTS)]
    assert arrived == [os.fsencode(text) for text in texts]
    assert not Path("/tmp/never").exists()
    shown = re.sub(r"(`+)(.*?)\1", "", parent.data.tags["mlflow.note.content"])
    assert "<img" not in shown
    assert "**b**" not in shown
    page = Path(parent.info.artifact_uri.removeprefix("file://"), "workflow.html")
    assert "<img src=x" not in page.read_text()


@pytest.mark.slow
def test_no_secret_of_a_url_or_the_environment_is_kept_anywhere(
    make_project: Callable[..., Project],
) -> None:
    project = make_project("relay")
    project.git("remote", "add", "origin", "https://me:secret-of-git@host.example/a/b.git")
    project.variables |= {
        "MLFLOW_TRACKING_TOKEN": "secret-of-tracking",
        "AWS_SECRET_ACCESS_KEY": "secret-of-cloud",
    }
    project.write("steps/base.py", (project.folder / "steps/base.py").read_text() + "\n")
    done = project.mlflow_run("task=base")
    assert done.code == 0, done.text
    assert project.parents()[0].data.tags["mlflow.source.git.repoURL"] == "https://host.example/a/b.git"
    kept = [
        project.folder.with_name("project.db"),
        *project.folder.with_name("project-artifacts").rglob("*"),
    ]
    for file in filter(Path.is_file, kept):
        assert b"secret-of" not in file.read_bytes(), file
    assert "secret-of" not in done.text


@pytest.mark.slow
def test_a_password_that_is_typed_into_a_parameter_or_a_config_file_reaches_no_run(
    make_project: Callable[..., Project],
) -> None:
    project = make_project("relay")
    secret = "https://me:secret-of-mine@host.example/base"
    project.write("c.yaml", f"odd step:\n  t0: {secret}\n")
    for arguments in (
        ("hold", "--base", secret),
        ("odd step", "--t1", secret),
        ("base", "--config", "c.yaml"),
    ):
        done = project.main(*arguments)
        assert done.code == 2, done.text
        assert "holds credentials in a URL" in done.text
        assert "secret-of" not in done.text
    assert project.runs() == []
    done = project.mlflow_run("task=hold", f"base={secret}")
    assert done.code == 1
    # MLflow itself has logged it before anything of ours is started: so we say where.
    assert f"logged them on run {project.runs()[0].info.run_id}" in done.text


# -- what is refused, in this process


@pytest.fixture(scope="module")
def done(relay: Project) -> Project:
    """The same project with its steps done once."""
    assert in_process.run(relay, "hold").code == 0
    return relay


@pytest.mark.parametrize(
    "pin",
    [
        "0" * 32,
        f"runs:/{'0' * 32}/base",
        "runs:/nonsense/base",
        "models:/none/1",
        "/no/such/folder",
        "../../no such folder",
        "nonsense://host/path",
        "",
    ],
)
def test_a_pin_that_names_nothing_is_one_clear_sentence(done: Project, pin: str) -> None:
    refused = in_process.run(done, "hold", "--base", pin)
    assert refused.code == 2, refused.text
    last = refused.text.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert (pin.split("/")[1] if pin.startswith("runs:/") else pin or "pin of step 'base'") in last
    assert "Traceback" not in refused.text


def test_a_pin_leads_to_nothing_outside_its_run(done: Project) -> None:
    run = done.children("base")[0].info.run_id
    outside = done.folder.parent / "secret"
    outside.mkdir(exist_ok=True)
    (outside / "base.txt").write_text("secret")
    for path in (f"runs:/{run}/base/../../../secret", f"runs:/{run}/../../secret"):
        refused = in_process.run(done, "hold", "--base", path)
        assert refused.code == 2, refused.text


def test_a_manifest_that_names_a_file_outside_makes_its_run_unusable(done: Project) -> None:
    run = done.children("base")[0]
    file = done.outputs(run, "manifest.json")
    rows = json.loads(file.read_text())
    file.write_text(json.dumps({**rows, "../../../secret/base.txt": {"size": 6, "sha256": "0" * 64}}))
    ran = in_process.run(done, "base")
    assert ran.code == 0, ran.text
    assert "unreadable: the manifest names '../../../secret/base.txt'" in ran.line("base")
    assert ran.states()["base"] == "ran"


def test_outputs_that_are_links_to_elsewhere_are_not_followed(done: Project) -> None:
    run = done.children("base")[0]
    made = done.outputs(run, "base")
    outside = done.folder.parent / "copy"
    shutil.move(made / "base.txt", outside)
    (made / "base.txt").symlink_to(outside)
    outside.write_text("evil\n")
    ran = in_process.run(done, "base")
    assert ran.states()["base"] == "ran", ran.text


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
TAG = "!!python/object/apply:os.system ['touch /tmp/never']"


@pytest.mark.parametrize("text", [BOMB, "[" * 50 + "]" * 50, "x" * 1_000_001, TAG, f"x: {TAG}"])
def test_yaml_that_grows_or_builds_objects_is_refused_wherever_it_is_typed(text: str) -> None:
    for read in (read_yaml, lambda text: read_config(text, "a.yaml"), read_sweep):
        with pytest.raises((WorkflowError, ValueError)):
            read(text)
    assert not Path("/tmp/never").exists()


@pytest.mark.slow
def test_a_value_that_no_process_can_get_fails_its_step_and_says_why(done: Project) -> None:
    done.write("huge.yaml", "odd step:\n  t0: " + "x" * 200_000)
    failed = done.main("odd step", "--config", "huge.yaml")
    assert failed.code == 1, failed.text
    assert "could not be started" in failed.text
    assert "too long" in failed.text
    assert "Traceback" not in failed.text


class Trap:
    """What a pickle may do when it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, ("trapped",)


@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_a_model_file_that_is_a_pickle_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model"
    model.mkdir()
    columns = '[{"type": "long", "name": "Pclass", "required": true}]'
    description = {
        "flavors": {"sklearn": {"serialization_format": form, "pickled_model": "model.skops"}},
        "signature": {"inputs": columns, "outputs": None},
    }
    (model / "MLmodel").write_text(json.dumps(description))
    (model / "model.skops").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ClickException):
        load_model(model)
    assert not (tmp_path / "trapped").exists()
