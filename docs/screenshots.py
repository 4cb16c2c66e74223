"""Makes the README's pictures: `python -m docs.screenshots`, with Chromium and the dev packages.

In a clone in a temporary folder, so that nothing of this machine is on them.
"""

import io
import tempfile
from pathlib import Path

from mlflow.entities import Run
from PIL import Image

from mlflow_workflow.report.links import run_page
from tests.browser import Browser, chromium
from tests.conftest import Project, begin_repository, copy_own_files
from tests.servers import tracking_server

HERE = Path(__file__).parent
SWEEP = "{train.model: [RidgeClassifier, LogisticRegression, DecisionTreeClassifier], seed: [0, 1]}"
COLOURS = 96


def main() -> None:
    """Runs the workflow three times and looks at it."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "titanic")
        copy_own_files(clone)
        begin_repository(clone)
        store = Project(clone, f"sqlite:///{folder}/mlflow.db")
        with tracking_server(Path(folder, "artifacts"), store) as url:
            project = Project(clone, url, {"LOGNAME": "ann"})
            first = ran(project, "evaluate", "--description", "How good is a plain classifier?")
            reused = ran(project, "evaluate", "--seed", "1", "--description", "Another seed")
            swept = ran(project, "train", "--sweep", SWEEP)
            with chromium(1280, 900) as browser:
                browser.scheme("light")
                browser.size(640, 800)
                page(browser, project, first, "timeline", "first.png")
                browser.size(900, 800)
                page(browser, project, swept, "sweep", "sweep.png")
                in_the_ui(browser, url, reused)
                plots(browser, project, Path(folder))


def ran(project: Project, *arguments: str) -> Run:
    """The parent run of an invocation."""
    done = project.main(*arguments)
    assert done.code == 0, done.text
    return project.parents()[0]


def page(browser: Browser, project: Project, run: Run, section: str, name: str) -> None:
    """workflow.html down to the end of a section."""
    file = Path(project.client.download_artifacts(run.info.run_id, "workflow.html"))
    browser.open(file.as_uri())
    bottom = f"document.getElementById('{section}').getBoundingClientRect().bottom"
    shoot_to(browser, bottom, name)


def shoot_to(browser: Browser, bottom: str, name: str) -> None:
    """The page as far down as a JavaScript expression says."""
    width, height = browser.driver.execute_script(f"return [innerWidth, {bottom}]")
    browser.size(int(width), int(height) + 16)
    shoot(browser, name)


def in_the_ui(browser: Browser, url: str, run: Run) -> None:
    """The parent's page in MLflow, its description unfolded."""
    browser.size(1360, 860)
    browser.open(f"{url}/{run_page('0', run.info.run_id)}")
    browser.await_text("Again:")
    browser.one("button", "Show more").click()
    browser.one("button", "Show less")
    shoot(browser, "reused.png")


def plots(browser: Browser, project: Project, folder: Path) -> None:
    """The plots of evaluate, side by side."""
    run = project.children("evaluate")[-1]
    found = Path(project.client.download_artifacts(run.info.run_id, "evaluate", str(folder)))
    images = "".join(
        f"<img src='{file.as_uri()}' style='width: 49%'>" for file in sorted(found.glob("*.svg"))
    )
    board = folder / "plots.html"
    board.write_text(f"<body style='margin: 8px; background: white'>{images}")
    browser.size(900, 700)
    browser.open(board.as_uri())
    shoot_to(browser, "document.body.scrollHeight", "evaluate.png")


def shoot(browser: Browser, name: str) -> None:
    """A small PNG of what the browser shows."""
    picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS).save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
