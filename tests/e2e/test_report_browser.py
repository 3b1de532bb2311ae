"""The spend report in a real browser: light, dark, on a phone, on paper."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.e2e.test_report import Report

pytestmark = [pytest.mark.long, pytest.mark.measured]

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
CUSTOMERS = ("mixed", "console", "new", "hostile")
DESK, PHONE = {"width": 1000, "height": 900}, {"width": 390, "height": 844}
PAPER = {"width": 695, "height": 1000}
"""Content of an A4 page, in CSS pixels: 210 mm less two margins of 13 mm."""

# Of the elements that are shown: text that leaves its picture or the page, and text on text.
PROBLEMS = """
() => {
  const found = [];
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > wide) found.push("the page scrolls sideways");
  const name = (it) => `${it.tagName} ${(it.textContent || "").trim().slice(0, 40)}`;
  const boxes = new Map();
  const box = (it) => boxes.get(it) || boxes.set(it, it.getBoundingClientRect()).get(it);
  const shown = (it) => box(it).width > 0 && box(it).height > 0;
  const leaves = "h1,h2,p,li,figcaption,summary,strong,b,span";
  for (const it of document.querySelectorAll(leaves)) {
    if (!shown(it) || it.closest(".scroll,.hidden,svg")) continue;
    if (box(it).left < -0.5 || box(it).right > wide + 0.5) found.push(`outside: ${name(it)}`);
    if (it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).display !== "inline")
      found.push(`clipped: ${name(it)}`);
  }
  const meet = (a, b, by) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > by &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > by;
  for (const svg of document.querySelectorAll("figure > svg")) {
    if (!shown(svg)) continue;
    const texts = [...svg.querySelectorAll("text")].filter(shown);
    for (const [index, it] of texts.entries()) {
      const own = box(it), around = box(svg);
      if (own.left < around.left - 1 || own.right > around.right + 1 ||
          own.top < around.top - 1 || own.bottom > around.bottom + 1)
        found.push(`outside its picture: ${name(it)}`);
      for (const other of texts.slice(index + 1))
        if (meet(own, box(other), 1.5)) found.push(`${name(it)} is on ${name(other)}`);
    }
  }
  const blocks = [...document.querySelectorAll(
    "header > *, main > figure, main > section, section > *, figure > *, .cards > li, .legend > li"
  )].filter((it) => shown(it) && !it.matches(".patterns"));
  for (const [index, it] of blocks.entries())
    for (const other of blocks.slice(index + 1))
      if (meet(box(it), box(other), 1) && !it.contains(other) && !other.contains(it))
        found.push(`${name(it)} overlaps ${name(other)}`);
  return found;
}
"""
WIDE_TABLES = """
() => [...document.querySelectorAll(".scroll")]
  .filter((it) => it.scrollWidth > it.clientWidth + 1)
  .map((it) => it.getAttribute("aria-label"))
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, or skip the tests where there is none."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium: install it with apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        # Root, as which containers often run, has no sandbox.
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(
    report: Report, spend_marts: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Make the page of each customer."""
    folder = tmp_path_factory.mktemp("pages")
    made = {name: folder / f"{name}.html" for name in CUSTOMERS}
    for name, path in made.items():
        done = report(f"duckdb:///{spend_marts}", path, "--schema", name)
        assert done.returncode == 0, done.stderr
    return made


def opened(browser: Browser, path: Path, noise: list[str], **options: Any) -> Page:
    """Open a page; what it asks the network for, and what it says in the console, is noise."""
    page = browser.new_context(**options).new_page()
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: noise.append(request.url))
    page.goto(path.as_uri())
    assert noise.pop(0) == path.as_uri()
    return page


def serious(page: Page) -> list[str]:
    response = Axe().run(page).response
    return [
        f"{it['id']}: {it['nodes'][0]['html'][:200]}"
        for it in response["violations"]
        if it["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_the_page_is_readable_on_every_screen(
    browser: Browser, pages: dict[str, Path], customer: str
) -> None:
    """Colours move nothing, so each theme is opened on one screen."""
    for theme, viewport in (("light", DESK), ("dark", PHONE)):
        noise: list[str] = []
        page = opened(browser, pages[customer], noise, viewport=viewport, color_scheme=theme)
        assert page.evaluate(PROBLEMS) == [], viewport
        page.evaluate("document.querySelectorAll('details').forEach((it) => it.open = true)")
        assert page.evaluate(PROBLEMS) == [], (viewport, "open")
        assert noise == []
        page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("customer", ["mixed", "new"])  # the other pages have the same elements
def test_nothing_keeps_anybody_from_reading_the_page(
    browser: Browser, pages: dict[str, Path], customer: str, theme: str
) -> None:
    noise: list[str] = []
    page = opened(browser, pages[customer], noise, viewport=DESK, color_scheme=theme)
    page.evaluate("document.querySelectorAll('details').forEach((it) => it.open = true)")
    assert serious(page) == []
    assert noise == []
    page.context.close()


@pytest.mark.parametrize("customer", CUSTOMERS)
def test_the_page_is_complete_on_paper(
    browser: Browser, pages: dict[str, Path], customer: str, tmp_path: Path
) -> None:
    noise: list[str] = []
    page = opened(browser, pages[customer], noise, viewport=PAPER, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate(PROBLEMS) == []
    assert page.evaluate(WIDE_TABLES) == []
    tables = page.locator("table")
    assert tables.count() > 5
    assert all(table.is_visible() for table in tables.all())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = tmp_path / "claude.pdf"
    page.pdf(path=paper, prefer_css_page_size=True, print_background=True)
    assert paper.read_bytes().startswith(b"%PDF")
    assert noise == []
    page.context.close()


def test_the_dark_theme_has_its_own_colours(browser: Browser, pages: dict[str, Path]) -> None:
    colours = {}
    for theme in ("light", "dark"):
        page = opened(browser, pages["mixed"], [], viewport=DESK, color_scheme=theme)
        colours[theme] = page.evaluate(
            "[...document.querySelectorAll('svg.wide [fill^=\"#\"]')]"
            ".map((it) => getComputedStyle(it).fill)"
        )
        page.context.close()
    assert len(colours["light"]) > 100
    assert not set(colours["light"]) & set(colours["dark"])


def test_the_page_works_without_a_mouse(browser: Browser, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["console"], [], viewport=DESK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    assert page.locator("#days-table-1").is_visible()
    picture = page.get_by_role("img", name="Cost per day")
    assert picture.first.is_visible()
    page.context.close()
