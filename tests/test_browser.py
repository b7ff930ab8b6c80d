"""The page in a real browser: what it says, sorts, filters and never does."""

import json
import os
import shutil

import jax
import moments
import numpy as np
import pytest
from test_report import SPACES, many, result

import jaxtune as jt

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "JAXTUNE_BROWSER" not in os.environ,
    reason="no chromium: apt-get install chromium",
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = os.environ.get("JAXTUNE_BROWSER", CHROMIUM)
        yield driver.chromium.launch(executable_path=path, args=["--no-sandbox"])


@pytest.fixture
def visit(browser):
    """Open a page; whatever it complains of or asks for fails the test."""
    opened = []

    def open_page(path, width=1600, scheme="light"):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        page, wrong = context.new_page(), []
        page.set_default_timeout(1000 * moments.HANG)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url))
        page.on("dialog", lambda dialog: wrong.append(dialog.message))
        page.goto(f"file://{path}")
        assert wrong.pop(0) == f"file://{path}"
        opened.append((context, wrong))
        return page

    yield open_page
    for context, wrong in opened:
        context.close()
        assert wrong == []


@pytest.fixture(scope="module")
def found():
    space = jt.Space(
        a=jt.log_uniform(1e-3, 1, tier=1),
        b=jt.uniform(0, 1),
        kind=jt.choice(["x", "y"]),
        only=jt.when(jt.uniform(0, 1), kind="y"),
    )

    def objective(key, h):
        score = h["a"] + (h["b"] - 0.3) ** 2 + 0.1 * h["kind"].index * h["only"]
        return jax.numpy.where(h["a"] > 0.7, jax.numpy.nan, score)

    return result(space, objective, trials=120, rounds=2, seeds=2)


@pytest.fixture(scope="module")
def path(found, tmp_path_factory):
    return found.report(tmp_path_factory.mktemp("page") / "report.html")


def column(page, name):
    """What the table shows of a column, from the top."""
    heads = page.locator("#trials thead th").all_inner_texts()
    place = [head.split()[0] for head in heads].index(name)
    rows = page.locator("#trials tbody tr")
    cells = rows.evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.innerText))"
    )
    return [row[place] for row in cells]


def test_the_answer_comes_first_and_the_table_is_that_of_the_result(visit, path, found):
    page = visit(path)
    assert (
        page.locator("h1")
        .inner_text()
        .startswith(f"Best value: {found.best.score:.6g} ±")
    )
    order = np.argsort(np.where(np.isfinite(found.standing), -found.standing, np.inf))
    assert column(page, "trial") == [str(t) for t in order[:25]]
    for name in ("a", "b", "score"):
        shown = np.asarray(column(page, name), float)
        np.testing.assert_allclose(shown, found.trials[name][order[:25]], rtol=1e-4)
    page.get_by_role("button", name="show more").click()
    assert len(column(page, "trial")) == 50


def test_the_table_sorts_both_ways_with_failures_last(visit, path, found):
    page = visit(path)
    for _ in range(4):
        page.get_by_role("button", name="show more").click()
    assert len(column(page, "trial")) == 120
    page.get_by_role("button", name="score", exact=True).click()
    up = column(page, "score")
    page.get_by_role("button", name="score", exact=True).click()
    down = column(page, "score")
    failed = int((found.trials["status"] == "diverged").sum())
    assert failed > 0
    for shown, sign in ((up, 1), (down, -1)):
        assert shown[-failed:] == ["–"] * failed
        numbers = sign * np.asarray(shown[:-failed], float)
        assert (np.diff(numbers) >= 0).all()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("score")
    page.get_by_role("button", name="kind", exact=True).click()
    assert column(page, "kind") == sorted(found.trials["kind"])


def drag(page, axis, low, high):
    """Brush an axis between two heights."""
    grip = page.locator(f"rect.grip[data-axis='{axis}']")
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"]
    page.mouse.move(x, y - low * box["height"])
    page.mouse.down()
    page.mouse.move(x, y - (low + high) / 2 * box["height"])
    page.mouse.move(x, y - high * box["height"])
    page.mouse.up()


def test_brushing_an_axis_chooses_the_trials_that_pass_through(visit, path, found):
    page = visit(path)
    for _ in range(4):
        page.get_by_role("button", name="show more").click()
    before = canvas(page)
    drag(page, 1, 0.0, 0.5)  # b below a half
    chosen = set(map(int, column(page, "trial")))
    values = found.trials["b"]
    assert chosen >= set(np.flatnonzero(values < 0.49).tolist())
    assert chosen <= set(np.flatnonzero(values < 0.51).tolist())
    assert f"{120 - len(chosen)} filtered out" in page.locator("#count").inner_text()
    assert canvas(page) != before
    drag(page, 3, 0.5, 1.0)  # only matters for some
    again = set(map(int, column(page, "trial")))
    assert again < chosen
    assert all(found.trials["kind"][trial] == "y" for trial in again)
    page.get_by_role("button", name="choose all").click()
    assert len(column(page, "trial")) == 120
    assert canvas(page) == before


def canvas(page):
    return page.locator("#parallel canvas").evaluate("c => c.toDataURL()")


def test_a_click_on_an_axis_chooses_all_again(visit, path):
    page = visit(path)
    drag(page, 0, 0.0, 0.2)
    assert page.locator("rect.brush").count() == 1
    drag(page, 0, 0.6, 0.6)
    assert page.locator("rect.brush").count() == 0
    assert "filtered" not in page.locator("#count").inner_text()


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_at_any_width_and_in_the_dark(visit, path, width, scheme):
    page = visit(path, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    back, text = page.evaluate(
        "(() => { const s = getComputedStyle(document.body);"
        " return [s.backgroundColor, s.color] })()"
    )
    light, dark = (back, text) if scheme == "light" else (text, back)
    assert brightness(light) > 0.85
    assert brightness(dark) < 0.15
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 16
    pictures = page.locator("figure svg")
    assert pictures.count() >= 6
    for number in range(pictures.count()):
        assert pictures.nth(number).bounding_box()["width"] >= 300


def brightness(colour):
    numbers = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, numbers)) / 3 / 255


def test_strings_of_the_user_stay_strings(visit, tmp_path):
    evil = "</script><script>alert(1)</script>"
    space = jt.Space(a=jt.uniform(0, 1), kind=jt.choice([evil, "<img src=x>"]))
    path = result(space, trials=30, rounds=1).report(tmp_path / "a.html")
    page = visit(path)
    assert set(column(page, "kind")) <= {evil, "<img src=x>"}
    assert page.locator("img").count() == 0


@pytest.mark.filterwarnings("ignore:24 of 24:UserWarning")
def test_pages_of_odd_results_work_as_well(visit, tmp_path):
    nothing = result(
        SPACES["two"], lambda key, h: h["a"] * h["b"] * jax.numpy.nan, rounds=1
    )
    one = result(SPACES["one"], trials=1, rounds=1)
    for number, odd in enumerate((nothing, one)):
        page = visit(odd.report(tmp_path / f"{number}.html"))
        assert len(column(page, "trial")) == min(25, len(odd.trials))


def test_ten_thousand_trials_fit_into_five_megabytes(visit, found, tmp_path):
    path = many(found, 84).report(tmp_path / "large.html")
    assert path.stat().st_size < 5e6
    page = visit(path)
    assert "of 10000 chosen" in page.locator("#count").inner_text()
    assert "The best 10000 of 10080 are listed" in page.content()
    drag(page, 0, 0.0, 0.3)
    assert "filtered out" in page.locator("#count").inner_text()
    data = json.loads(page.locator("#data").inner_text())
    assert len(data["columns"][0]["values"]) == 10_000
