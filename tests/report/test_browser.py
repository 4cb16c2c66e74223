"""What people see, in a real browser and a real MLflow server."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run

from mlflow_workflow.report.links import AS_MODEL_TRAINING, run_page
from tests.browser import Browser, chromium
from tests.conftest import Project
from tests.servers import tracking_server

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def server(well_used: Project) -> Iterator[str]:
    with tracking_server(well_used.folder.parent / "uploads", well_used) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def predicted(well_used: Project) -> Run:
    """The parent of the first invocation."""
    return next(run for run in well_used.parents()[::-1] if run.info.run_name == "predict · 3 ran")


@pytest.fixture(scope="module")
def swept(well_used: Project) -> Run:
    """The parent of the sweep."""
    return next(run for run in well_used.parents() if "sweep" in run.data.params)


def page_of(run: Run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://")) / "workflow.html"


def test_the_parents_page_describes_the_run_and_links_its_children(
    browser: Browser, server: str, predicted: Run, well_used: Project
) -> None:
    browser.open(f"{server}/{run_page('0', predicted.info.run_id)}")
    text = browser.await_text("predict · 3 ran", "how *it* <began>", "Again:")
    for words in (
        "cv_accuracy_mean 0.",
        "not done yet",
        "Data (sha256): input/",
        "train.cv_accuracy",
    ):
        assert words in text
    assert "mlflow run . -P task=predict -P register=labels -P 'description=how *it* <began>'" in text
    trained = well_used.children("train")[-1]
    browser.one("button", "Show more").click()
    browser.follow(browser.one("td a", trained.info.run_id[:8]))
    text = browser.await_text("cv_accuracy_fold", "Parent run")
    assert trained.info.run_id in browser.driver.current_url
    assert "Model training" in text
    assert "Prompts" not in text


def test_the_page_shows_itself_in_the_artifacts_tab(browser: Browser, server: str, swept: Run) -> None:
    browser.open(f"{server}/{run_page('0', swept.info.run_id, 'artifacts/workflow.html')}")
    browser.enter_frame()
    text = browser.await_text("sweep of 3", "Leaderboard")
    assert "DummyClassifier" in text
    assert browser.one("#graph svg").size["height"] > 150
    link = browser.one("a[data-to]")
    assert link.get_attribute("href") == f"{server}/{run_page('0', swept.info.run_id)}"
    link.click()
    assert browser.one("#address input").get_attribute("value") == link.get_attribute("href")
    assert browser.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_from_disk_and_fits_a_phone(browser: Browser, scheme: str, swept: Run) -> None:
    browser.scheme(scheme)
    browser.size(390, 800)
    browser.open(page_of(swept).as_uri())
    browser.await_text("Leaderboard")
    shown = browser.driver.execute_script(
        "return {wide: document.documentElement.scrollWidth, "
        "back: getComputedStyle(document.body).backgroundColor}"
    )
    assert shown["wide"] <= 390
    red = int(shown["back"].removeprefix("rgb(").split(",")[0])
    assert red > 200 if scheme == "light" else red < 60
    assert browser.complaints() == []
    browser.size(1400, 1000)


def select_child(browser: Browser, rows: str, number: int) -> bool:
    """Ticks a row unless it is a parent's. The grid may draw its rows anew after every click."""
    row = browser.all(rows)[number]
    if not row.find_elements("css selector", "button"):  # a parent has one, to unfold it
        box = row.find_element("css selector", "input[type=checkbox]")
        if not box.is_selected():
            box.click()
    return True


def test_selected_runs_compare_with_what_differs(
    browser: Browser, server: str, well_used: Project
) -> None:
    query = "searchFilter=tags.workflow.step%20%3D%20'train'"
    browser.open(f"{server}/#/experiments/0/runs{AS_MODEL_TRAINING}&{query}")
    rows = ".ag-pinned-left-cols-container [role=row]"
    # Child runs are folded under their parents; one under predict has the name of the other parent.
    for parent in ("train", "predict"):
        browser.one(rows, parent).find_element("css selector", "button").click()
    browser.until(lambda: len(browser.all(rows)) == 5, "rows of two parents and three children")
    for number in range(5):
        browser.until(functools.partial(select_child, browser, rows, number), "a row")
    browser.one("[data-testid=runs-compare-button]").click()
    text = browser.await_text("Comparing 3 Runs", "cv_accuracy_mean")
    for run in well_used.children("train"):
        assert run.data.params["model"] in text
        assert f"{run.data.metrics['cv_accuracy_mean']:.3f}"[:5] in text


def test_the_models_tab_shows_the_model_with_its_run_and_version(browser: Browser, server: str) -> None:
    browser.open(f"{server}/#/experiments/0/models{AS_MODEL_TRAINING}")
    text = browser.await_text("RidgeClassifier", "LogisticRegression", "Ready", "labels\nv1")
    assert "cv_accuracy_mean" in text
