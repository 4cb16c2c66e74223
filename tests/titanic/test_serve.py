"""The trained model in use: registered, loaded from Python, served over http, as docs/ shows it."""

import contextlib
import csv
import json
import re
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT, Project
from tests.servers import free_port, serving

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Use the model")[2].partition("\n## ")[0]


def test_reused_runs_register_the_same_version(well_used: Project) -> None:
    client, (trained,) = well_used.client, well_used.children("train")[2:]
    # Two invocations registered: `predict`, and a sweep in which this very run was the best.
    (version,) = client.search_model_versions("name = 'titanic'")
    assert version.run_id == trained.info.run_id
    assert client.get_model_version_by_alias("titanic", "candidate").version == version.version


def test_another_model_becomes_the_next_version_and_the_candidate(well_used: Project) -> None:
    done = well_used.main("train", "--model", "DummyClassifier", "--register", "dummies")
    assert done.code == 0, done.text
    assert "model of train is now version 1 of dummies: models:/dummies@candidate" in done.text
    done = well_used.main("train", "--register", "dummies")
    assert "version 2 of dummies" in done.text
    assert int(well_used.client.get_model_version_by_alias("dummies", "candidate").version) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["preprocess", "--register", "titanic"],
            "there is no model to register, since no step",
        ),
        (["train", "--register", "a/b"], "cannot register the model as 'a/b'"),
    ],
)
def test_what_cannot_be_registered_is_one_sentence_and_fails_the_run(
    arguments: list[str], message: str, well_used: Project
) -> None:
    done = well_used.main(*arguments)
    assert done.code == 1
    assert message in done.text
    assert well_used.parents()[0].info.status == "FAILED"
    assert "reused" in well_used.parents()[0].data.tags["mlflow.note.content"]


def test_the_pages_python_predicts_as_the_step_does(well_used: Project) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    done = well_used.command(sys.executable, "-c", block)
    assert done.code == 0, done.text
    outputs = well_used.outputs(well_used.children("predict")[0], "predict")
    with (outputs / "test_prediction.csv").open() as file:
        expected = [row["Survived"] for row in csv.DictReader(file)]
    assert re.findall(r"\d", done.text.splitlines()[-1]) == expected[:5]


def test_the_pages_request_is_answered_by_mlflows_server(well_used: Project) -> None:
    command = re.findall(r"mlflow models serve .*", SECTION)[0].split()
    (body,) = re.findall(r"-d '(.*?)'", SECTION, re.DOTALL)
    with model_server(well_used, command) as url:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/invocations", body.encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.load(answer) == {"predictions": [1, 0]}


@contextlib.contextmanager
def model_server(project: Project, command: list[str]) -> Iterator[str]:
    """The command, on a free port."""
    port = free_port()
    command[command.index("--port") + 1] = str(port)
    python = [sys.executable, "-m", *command]
    with serving(python, port, project):
        yield f"http://127.0.0.1:{port}"
