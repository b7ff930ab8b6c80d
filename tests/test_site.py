"""The site of the documentation: it builds, is searched, and shows its pictures."""

import functools
import os
import re
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import moments
import pytest
from test_browser import CHROMIUM, browser

ROOT = Path(__file__).parents[1]
API = sorted(path.stem for path in (ROOT / "docs" / "api").glob("*.md"))

__all__ = ["browser"]  # the fixture

in_a_browser = pytest.mark.skipif(
    CHROMIUM is None and "JAXTUNE_BROWSER" not in os.environ,
    reason="no chromium: apt-get install chromium",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    at = tmp_path_factory.mktemp("documentation") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(
        [*command, "--site-dir", str(at)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    return at, done


@pytest.fixture(scope="module")
def site(built):
    return built[0]


@pytest.fixture
def visit(site, browser):
    """Open a page of the site on loopback; what it complains of fails the test."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    opened, wrong = [], []
    handler = functools.partial(Quiet, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/"

        def open_page(name, width=1600, scheme="light"):
            size = {"width": width, "height": 900}
            context = browser.new_context(viewport=size, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(1000 * moments.HANG)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda request: wrong.append(request.url))
            page.goto(root + name)
            opened.append(context)
            return page

        yield open_page
        for context in opened:
            context.close()
        server.shutdown()
    assert [what for what in wrong if not what.startswith((root, "blob:"))] == []


def test_the_documentation_builds_without_a_warning(built):
    at, done = built
    told = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert (done.returncode, [line for line in told if line]) == (0, [])
    page = (at / "api" / "search" / "index.html").read_text()
    assert "coarse to fine, with many trials in one program" in page
    assert "https://" not in re.sub(r'href="https://[^"]*"', "", page)


def test_examples_are_code_and_fields_have_types(site):
    for path in site.rglob("index.html"):
        assert not re.search(r"<blockquote>\s*<blockquote>", path.read_text()), path
    text = re.sub(r"<[^>]*>", "", (site / "api" / "search" / "index.html").read_text())
    cost = re.search(r"\bCost\((.*?)\)", text, re.DOTALL)[1]
    fields = "epochs: int, saved: int, occupancy: float, seconds: float"
    assert " ".join(cost.split()).rstrip(",") == fields


def test_no_table_has_an_empty_header(site):
    for path in site.rglob("index.html"):
        for head in re.findall(r"<thead>(.*?)</thead>", path.read_text(), re.DOTALL):
            assert re.sub(r"<[^>]*>", "", head).strip(), path


@pytest.mark.parametrize("name", API)
def test_a_page_of_the_api_begins_with_all_that_it_has(name, site):
    names = re.findall(
        r"^::: (\S+)$", (ROOT / "docs" / "api" / f"{name}.md").read_text(), re.MULTILINE
    )
    page = (site / "api" / name / "index.html").read_text()
    table = page.partition("</table>")[0]
    if len(names) > 1:
        assert re.findall(r'<td><a href="#([^"]+)"><code>', table) == names
        for line in re.findall(r"<tr>\s*<td><a .*?</tr>", table, re.DOTALL):
            assert len(re.sub(r"<[^>]*>", "", line.split("<td>")[2]).strip()) > 10
    for one in names:
        assert f'id="{one}"' in page


@in_a_browser
@pytest.mark.parametrize("word", ["width", "units", "layers", "static"])
def test_the_search_box_finds_how_to_make_a_size_static(word, visit):
    page = visit("")
    page.click("input.md-search__input")
    page.get_by_text("Type to start searching").wait_for()  # the index is there
    page.keyboard.type(word)
    section = "sizes/#static-width-units-or-layers"
    page.locator(f".md-search-result__link[href*='{section}']").wait_for(
        state="attached"
    )
    found = page.locator(".md-search-result__link").evaluate_all(
        "links => links.map(link => link.href)"
    )
    assert any(section in link for link in found[:5]), found[:5]


@in_a_browser
def test_the_gallery_is_stacked_where_there_is_no_room(visit):
    shown = (ROOT / "docs" / "gallery.md").read_text().count("](pictures/")
    for width in (1600, 400):
        page = visit("gallery/", width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.locator(".gallery img").evaluate_all(
            "images => images.map(image => image.getBoundingClientRect().toJSON())"
        )
        tops = [box["top"] for box in boxes]
        columns = len({round(box["left"]) for box in boxes})
        assert len(boxes) == shown
        assert columns == (1 if width == 400 else 2)
        if width == 400:
            assert min(box["width"] for box in boxes) > 0.9 * width
            assert tops == sorted(tops)


@in_a_browser
@pytest.mark.parametrize("name", ["gallery/", "tutorial/"])
def test_a_picture_opens_in_full_by_keyboard_and_mouse(name, visit):
    page = visit(name, 400)
    at = page.url
    link = page.locator("a.picture").first
    full = page.locator("dialog.picture img")
    link.focus()
    page.keyboard.press("Enter")
    full.wait_for()
    assert full.get_attribute("alt") == link.locator("img").get_attribute("alt")
    wide = "image => [image.getBoundingClientRect().width, image.naturalWidth]"
    shown, natural = full.evaluate(wide)
    assert shown == natural > 400
    page.keyboard.press("Escape")
    full.wait_for(state="hidden")
    assert link.evaluate("link => link === document.activeElement")
    link.click()
    full.wait_for()
    page.get_by_role("button", name="Close").click()
    full.wait_for(state="hidden")
    assert page.url == at
