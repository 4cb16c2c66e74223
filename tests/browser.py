"""A real Chromium without a window, driven by selenium."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

WANTED = "these tests look at pages in Chromium: apt-get install chromium chromium-driver"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# MLflow opens a panel for its assistant, once.
NO_PANEL = """try {
  localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
  localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
} catch (error) { /* a sandboxed frame has no storage */ }"""
OF_MLFLOW_ITSELF = ("/ajax-api/2.0/mlflow/users/current", "AG Grid", "WebGL")
PATIENCE = 90.0


def installed() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


@dataclass
class Browser:
    """A browser and what tests ask of it."""

    driver: webdriver.Chrome

    def open(self, url: str) -> None:
        """Loads a page anew, even if only what is behind the # differs."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")  # forgets what was logged so far
        self.driver.get(url)

    def text(self) -> str:
        """What the page shows; a space that keeps a line together is a space."""
        return str(self.driver.execute_script("return document.body.innerText")).replace("\xa0", " ")

    def await_text(self, *words: str) -> str:
        """The page's text as soon as it has all these words."""
        self.until(lambda: all(word in self.text() for word in words), " and ".join(words))
        return self.text()

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """What `found` gives once it is something; elements may come and go meanwhile."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if answer := found():
                    return answer
            except Exception as error:
                what = f"{what} ({error!r})" if time.monotonic() > end - 1 else what
            time.sleep(0.2)
        raise AssertionError(f"no {what} in:\n{self.text()[:3000]}")

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str, words: str = "") -> WebElement:
        """The first element that has these words, as soon as there is one."""
        found = self.until(lambda: [e for e in self.all(css) if words in e.text][:1], f"{css} {words}")
        return found[0]  # type: ignore[no-any-return]

    def follow(self, link: WebElement) -> None:
        """Clicks a link that opens a window of its own, as those in a description do."""
        before = self.driver.window_handles
        link.click()
        self.until(lambda: len(self.driver.window_handles) > len(before), "new window")
        self.driver.close()
        (new,) = set(self.driver.window_handles) - set(before)
        self.driver.switch_to.window(new)

    def enter_frame(self) -> None:
        """Looks into the frame in which MLflow shows an HTML artifact."""
        self.driver.switch_to.frame(self.one("iframe"))

    def size(self, width: int, height: int) -> None:
        """The size of the page, as of a device."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """`light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def complaints(self) -> list[str]:
        """What the console holds since the page was opened, but for what MLflow's own pages cause."""
        logged = [str(entry["message"]) for entry in self.driver.get_log("browser")]
        return [line for line in logged if not any(known in line for known in OF_MLFLOW_ITSELF)]


@contextmanager
def chromium(width: int = 1400, height: int = 1000) -> Iterator[Browser]:
    """A browser with a fresh profile."""
    assert installed(), WANTED
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_PANEL})
        try:
            yield Browser(driver)
        finally:
            driver.quit()
