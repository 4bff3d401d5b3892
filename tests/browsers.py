"""A real browser for the tests: headless Chromium, with no network but loopback."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from .servers import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webelement import WebElement

_SECONDS = 20
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which root can't have
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--window-size=1200,2000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True)
class Browser:
    """A browser, and what it has to complain about."""

    driver: webdriver.Chrome

    def open(self, address: str) -> None:
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(address)

    def wait_for(self, selector: str, text: str = "") -> WebElement:
        """Return the first element of a CSS selector that shows a text, once there is one."""

        def find(driver: webdriver.Chrome) -> WebElement | bool:
            elements = driver.find_elements("css selector", selector)
            return next((each for each in elements if text in each.text), False)

        return WebDriverWait(self.driver, _SECONDS, poll_frequency=0.05).until(
            find, f"no {selector} shows {text!r}"
        )

    def complaints(self) -> list[str]:
        """Return the errors in the console, refusals by the policy included."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def requested(self) -> list[str]:
        """Return the URLs that were asked for since the page was opened."""
        messages = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = webdriver.Chrome(options, Service(program("chromedriver")))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
