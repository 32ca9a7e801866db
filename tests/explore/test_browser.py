"""The page in a browser, clicked through as a user does."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from explore_session import serve
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from rrsis_geo.explore.session import Session

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--force-prefers-reduced-motion",
    "--window-size=1400,900",
)
SECONDS = 60  # the machine may be busy
TILE_TO_COME = ".leaflet-tile:not(.leaflet-tile-loaded)"
OpenSession = Callable[..., Session]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]


class Page:
    """What a user sees and does."""

    def __init__(self, browser: Chrome, session: Session) -> None:
        self.browser, self.session = browser, session

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Read at once, since rows may be replaced meanwhile."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        found: list[str] = self.browser.execute_script(script, selector)
        return found

    def wait(self, is_true: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, SECONDS, 0.1).until(lambda browser: is_true())

    def wait_for_rows(self) -> list[str]:
        """The numbers of the objects in the list, when the search has ended."""
        self.wait(lambda: not self.one("#work").is_displayed() and self.texts(".objects .id"))
        return self.texts(".objects .id")

    def ask(self, text: str, *keys: str) -> None:
        box = self.one("#text")
        box.clear()
        box.send_keys(text, *keys)

    def press(self, *keys: str) -> None:
        self.browser.switch_to.active_element.send_keys(*keys)


@pytest.fixture
def open_page(open_scene: OpenSession) -> Iterator[Callable[[Path], Page]]:
    """A factory of pages of a scene. There must be no errors on them."""
    with ExitStack() as stack:

        def open_page(scene: Path) -> Page:
            options = ChromeOptions()
            options.binary_location = str(CHROMIUM)
            for option in OPTIONS:
                options.add_argument(option)
            options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
            session = open_scene(scene)
            root = stack.enter_context(serve(session, "a-token"))
            browser = Chrome(options=options, service=Service(DRIVER))
            stack.callback(browser.quit)
            browser.get(f"{root}/a-token/")
            pages.append(Page(browser, session))
            return pages[-1]

        pages: list[Page] = []
        yield open_page
        logs = [each for page in pages for each in page.browser.get_log("browser")]
        assert [each for each in logs if "api/" not in each["message"]] == []


@pytest.fixture
def page(open_page: Callable[[Path], Page], discs: Path) -> Page:
    return open_page(discs)


def test_from_a_sentence_to_a_file(page: Page, tmp_path: Path) -> None:
    page.wait(lambda: page.one("#scene-facts").text)
    assert "700 × 600 pixels of 50 cm" in page.one("#scene-facts").text
    page.wait(lambda: page.all("img.leaflet-tile-loaded"))

    page.press("red discs", Keys.ENTER)  # the box has the keyboard
    numbers = page.wait_for_rows()
    n_objects = n_shown(page)
    assert len(numbers) == 200
    assert page.texts(".objects .note") == [f"and {n_objects - 200} with lower scores"]
    scores = [float(text) for text in page.texts(".objects .score")]
    assert scores == sorted(scores, reverse=True)

    page.one(".objects .row").click()  # flies there
    page.wait(lambda: page.texts(".objects li.chosen .id") == numbers[:1])
    page.wait(lambda: "windows" in page.one("#in-view small").text)
    page.press(Keys.ARROW_DOWN)
    page.wait(lambda: page.texts(".objects li.chosen .id") == numbers[1:2])
    page.press("x")
    page.wait(lambda: page.texts(".objects li.is-dropped .id") == numbers[1:2])

    threshold = page.one(".threshold")
    threshold.send_keys(Keys.END)
    page.wait(lambda: page.texts(".threshold-value") == ["0.95"])
    sentence = page.session.sentences[0]
    page.wait(lambda: sentence.known_plan().options.threshold == 0.95)
    page.wait(lambda: len(page.texts(".objects li.is-dropped")) == 1)
    page.one(".smallest").send_keys(Keys.END)
    page.wait(lambda: page.texts(".smallest-value") == ["10,000 m²"])
    page.wait(lambda: page.texts(".sum") == ["0 objects"])
    page.one(".smallest").send_keys(Keys.HOME)
    page.wait(lambda: n_shown(page) > 0)

    file = page.one("#file")
    file.clear()
    file.send_keys(str(tmp_path / "page.gpkg"), Keys.ENTER)
    page.wait(lambda: "saved in" in page.one("#saved").text)
    assert len(gpd.read_file(tmp_path / "page.gpkg", layer="red_discs")) == n_shown(page) - 1
    file.send_keys(Keys.ENTER)
    page.wait(lambda: page.one("#replace").is_displayed())
    page.one("#replace").click()
    page.wait(lambda: "saved in" in page.one("#saved").text)


def n_shown(page: Page) -> int:
    """The number of objects that the page tells."""
    return int(page.texts(".sum")[0].split()[0])


def test_several_sentences_and_their_errors(page: Page) -> None:
    page.wait(lambda: page.one("#scene-facts").text)
    page.press("the largset house", Keys.ENTER)
    page.wait(lambda: "largset" in page.one("#alert").text)
    page.ask("the largest building", Keys.SHIFT, Keys.ENTER)
    assert len(page.wait_for_rows()) == 1
    assert not page.one("#alert").is_displayed()
    assert page.texts(".reading") == ["Understood as: buildings ; the largest"]
    assert page.texts(".objects .facts") == ["rank 1"]

    page.ask("cars", Keys.ENTER)
    page.wait(lambda: page.texts(".sentence .title") == ["cars", "the largest building"])
    page.wait_for_rows()
    page.one(".sentence .swatch").click()
    assert page.one(".sentence .swatch").get_attribute("aria-pressed") == "false"
    page.one(".sentence .remove").click()
    page.wait(lambda: page.texts(".sentence .title") == ["the largest building"])


def test_a_narrow_window_has_no_sideways_scrolling(page: Page) -> None:
    page.browser.set_window_size(500, 900)
    page.wait(lambda: page.one("#scene-facts").text)
    page.press("red discs", Keys.ENTER)
    page.wait_for_rows()
    script = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert page.browser.execute_script(script)


@pytest.mark.parametrize("size", [(1400, 900), (1000, 760)])
def test_tiles_leave_no_gaps(
    open_page: Callable[[Path], Page], make_scene: Callable[..., Path], size: tuple[int, int]
) -> None:
    """In a scene of one colour, at zooms that are no whole numbers."""
    page = open_page(make_scene(1100, 1500, content=lambda row, col, band: 0 * row + 200))
    page.browser.set_window_size(*size)
    page.browser.refresh()
    page.wait(lambda: page.one("#scene-facts").text)
    page.wait(lambda: page.all(".leaflet-tile") and not page.all(TILE_TO_COME))
    picture = np.asarray(Image.open(io.BytesIO(page.one("#map").screenshot_as_png)).convert("RGB"))
    is_scene = picture[..., 1] > 100
    rows, cols = np.flatnonzero(is_scene.mean(1) > 0.5), np.flatnonzero(is_scene.mean(0) > 0.5)
    scene = picture[rows[2] : rows[-2], cols[2] + 100 : cols[-2]]  # without the buttons
    assert min(scene.shape[:2]) > 300
    assert np.abs(scene.astype(int) - 200).max() <= 4
