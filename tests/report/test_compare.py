"""The comparison of a step's best runs: is the lead real, what differs, and how much is asked."""

import math
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import pytest
import scipy.stats
import sqlalchemy
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sqlalchemy.engine import Engine

from mlflow_workflow.__main__ import cli
from mlflow_workflow.report.best_runs import comparison
from mlflow_workflow.report.lead import Folds, lead
from mlflow_workflow.report.table import as_text
from tests.conftest import Project

BEST = (0.80, 0.82, 0.79, 0.83, 0.81)
OTHER = (0.78, 0.79, 0.78, 0.80, 0.79)


def test_the_interval_is_students_corrected_for_shared_training_data() -> None:
    found = lead(Folds(BEST, "same"), Folds(OTHER, "same"), False)
    leads = [b - o for b, o in zip(BEST, OTHER, strict=True)]
    half = scipy.stats.t.ppf(0.975, 4) * stdev(leads) * math.sqrt(1 / 5 + 1 / 4)
    assert found is not None
    assert found.mean == pytest.approx(0.022)
    assert (found.low, found.high) == pytest.approx((0.022 - half, 0.022 + half))
    assert (found.paired, found.verdict) == (True, "really worse")


def test_runs_of_other_folds_are_not_taken_for_pairs_and_prove_less() -> None:
    paired = lead(Folds(BEST, "same"), Folds(OTHER, "same"), False)
    other = lead(Folds(BEST, "same"), Folds(OTHER, "other"), False)
    assert paired is not None
    assert other is not None
    assert not other.paired
    assert other.high - other.low > paired.high - paired.low
    assert other.verdict == "may be noise"


def test_where_the_lowest_is_best_a_lead_is_still_positive() -> None:
    found = lead(Folds(OTHER, "same"), Folds(BEST, "same"), True)
    assert found is not None
    assert found.mean == pytest.approx(0.022)


@pytest.mark.parametrize("folds", [(), (0.5,)])
def test_without_folds_nothing_is_said_of_the_lead(folds: tuple[float, ...]) -> None:
    assert lead(Folds(BEST), Folds(folds), False) is None


def test_only_parameters_that_differ_are_columns(example: Project) -> None:
    runs = [published(example.client, number, BEST) for number in range(2)]
    found = comparison([example.client.get_run(run) for run in runs], [None, None], "accuracy_mean")
    assert found.headings == ("run", "accuracy_mean", "seed", "commit", "behind the best (95 %)")
    assert as_text(found).splitlines()[-1].endswith("0.8100         1     ccccccc  no folds to compare")


def published(client: MlflowClient, number: int, folds: tuple[float, ...]) -> str:
    """A run as train leaves it."""
    tags = {"workflow.published": "train", "mlflow.source.git.commit": "c" * 40}
    tags["mlflow.workflow.identity"] = '{"parameters": {"seed": 0, "alpha": 1}}'
    run = client.create_run("0", tags={**tags, "pairs.accuracy_fold": "same"}).info.run_id
    client.log_batch(
        run,
        metrics=[
            Metric("accuracy_mean", mean(folds), 0, 0),
            *(Metric("accuracy_fold", value, 0, fold) for fold, value in enumerate(folds)),
        ],
        params=[
            Param("seed", str(number)),
            Param("alpha", "1"),
            Param("logged_by_autolog", str(number)),
        ],
        tags=[RunTag("x", "<script>alert(1)</script>")],
    )
    client.set_terminated(run)
    return str(run)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every SQL statement that this process sends from now on."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    sqlalchemy.event.listen(Engine, "before_cursor_execute", note)
    return sent


def test_the_best_runs_are_fetched_by_as_many_queries_whatever_the_store_holds(
    example: Project,
    statements: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", example.uri)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    file = tmp_path / "c.html"
    command = ["compare", "train", "--top", "3", "--metric", "accuracy_mean", "--html", str(file)]
    counts = []
    for many in (4, 40):
        for number in range(many):
            published(example.client, number, tuple(v - number / 1000 for v in BEST))
        statements.clear()
        shown = CliRunner().invoke(cli, command)
        counts.append(len(statements))
        assert shown.exit_code == 0, shown.output
    assert counts[0] == counts[1]
    lines = shown.output.splitlines()
    assert lines[1].split()[:3] == ["run", "accuracy_mean", "seed"]
    assert "autolog" not in shown.output
    assert [line.split()[1] for line in lines[2:5]] == ["0.8100", "0.8100", "0.8090"]
    page = file.read_text()
    assert page.count("<tr>") >= 4
    assert "may be noise" in page or "really worse" in page or "no worse" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--metric", "x"], "no run of step 'nothing' with a metric 'x' in sqlite"),
        (["nothing"], "which declares the steps"),
        (["train", "--metric", "x", "--experiment", "Defalt"], "did you mean 'Default'?"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    arguments: list[str],
    message: str,
    make_project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = make_project()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.uri)
    monkeypatch.chdir(project.folder.parent)
    shown = CliRunner().invoke(cli, ["compare", *arguments])
    assert shown.exit_code == 1
    assert message in shown.output
