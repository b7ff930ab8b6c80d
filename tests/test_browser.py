"""The page in a real browser: what it says, sorts, filters and never does."""

import itertools
import json
import os
import re
import shutil
import warnings

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


def new_page(browser, width, height, scheme):
    """Return a context, a page of it, and the list of what the page complains of."""
    size = {"width": width, "height": height}
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page, wrong = context.new_page(), []
    page.set_default_timeout(1000 * moments.HANG)
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    return context, page, wrong


@pytest.fixture
def visit(browser):
    """Open a page; whatever it complains of or asks for fails the test."""
    opened = []

    def open_page(path, width=1600, scheme="light"):
        context, page, wrong = new_page(browser, width, 900, scheme)
        page.on("request", lambda request: wrong.append(request.url))
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
    heads = page.locator("#all-trials thead th").all_inner_texts()
    place = [head.split()[0] for head in heads].index(name)
    rows = page.locator("#all-trials tbody tr")
    cells = rows.evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.innerText))"
    )
    return [row[place] for row in cells]


def click(page, heading, times=1):
    """Click a heading of the table."""
    for _ in range(times):
        page.get_by_role("button", name=heading, exact=True).click()


def show_all(page):
    """Show every trial in the table."""
    more = page.get_by_role("button", name="show more")
    while more.is_visible():
        more.click()


def told(page):
    """The line that says what is chosen, shown and sorted."""
    return page.locator("#count").inner_text()


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


def test_the_first_click_shows_the_best_first_and_failures_last(visit, path, found):
    page = visit(path)
    assert (
        told(page) == "120 of 120 trials chosen, 25 shown, sorted by rank, best first"
    )
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("rank")
    show_all(page)
    failed = int((found.trials["status"] == "diverged").sum())
    assert failed > 0
    for sign, words in ((1, "best first"), (-1, "worst first")):
        click(page, "score")
        assert told(page).endswith(f"sorted by score, {words}")
        shown = column(page, "score")
        assert shown[-failed:] == ["–"] * failed
        assert (np.diff(sign * np.asarray(shown[:-failed], float)) >= 0).all()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("score")
    click(page, "kind")
    assert column(page, "kind") == sorted(found.trials["kind"])
    assert told(page).endswith("sorted by kind, A to Z")
    click(page, "b", 2)
    assert (np.diff(np.asarray(column(page, "b"), float)) <= 0).all()
    assert told(page).endswith("sorted by b, large to small")


def test_the_first_click_follows_the_mode_and_every_goal(visit, hard):
    page = visit(hard["goals"])  # good: max; cheap: min
    show_all(page)
    for name, sign in (("score", -1), ("good", -1), ("cheap", 1), ("x", 1)):
        click(page, name)
        measured = name != "x"
        shown = [v for v in column(page, name) if v != "–"]
        states = column(page, "status")
        failed = [k for k, state in enumerate(states) if state == "diverged"]
        assert failed
        if measured:
            assert failed == [*range(len(states) - len(failed), len(states))]
            shown = shown[: len(states) - len(failed)]
        assert (np.diff(sign * np.asarray(shown, float)) >= 0).all()
        assert told(page).endswith("best first" if measured else "small to large")


def drag(page, axis, low, high):
    """Brush an axis between two heights."""
    grip = page.locator(f"rect.grip[data-axis='{axis}']")
    grip.scroll_into_view_if_needed()
    area = grip.bounding_box()
    flat = grip.get_attribute("aria-orientation") == "horizontal"

    def move(height):
        across, up = (height, 0.5) if flat else (0.5, height)
        x = area["x"] + across * area["width"]
        page.mouse.move(x, area["y"] + (1 - up) * area["height"])

    move(low)
    page.mouse.down()
    move((low + high) / 2)
    move(high)
    page.mouse.up()
    # lines and table follow with the next frame
    page.evaluate("new Promise(requestAnimationFrame)")


def test_brushing_an_axis_chooses_the_trials_that_pass_through(visit, path, found):
    page = visit(path)
    show_all(page)
    before = canvas(page)
    drag(page, 1, 0.0, 0.5)  # b below a half
    chosen = set(map(int, column(page, "trial")))
    values = found.trials["b"]
    assert chosen >= set(np.flatnonzero(values < 0.49).tolist())
    assert chosen <= set(np.flatnonzero(values < 0.51).tolist())
    assert told(page).startswith(f"{len(chosen)} of 120 trials chosen, ")
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
    assert told(page).startswith("120 of 120 trials chosen")


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
    assert told(page).startswith("10000 of 10000 trials chosen, 25 shown")
    assert "The best 10000 of 10080 are listed" in page.content()
    drag(page, 0, 0.0, 0.3)
    assert not told(page).startswith("10000 of")
    data = json.loads(page.locator("#data").inner_text())
    assert len(data["columns"][0]["values"]) == 10_000


# at any width, in the light and in the dark

LONG = "a_hyperparameter_whose_name_has_as_many_as_sixty_characters_"
WORDS = "a value of sixty characters, with spaces, as people write it"
BOTH = pytest.mark.parametrize("scheme", ["light", "dark"])
HARD = ("wide", "goals", "folds", "unfinished", "one", "nothing")


@pytest.fixture(scope="module")
def hard(small_task, tmp_path_factory):
    """Pages that are hard to lay out."""
    rest = {f"parameter_{k}": jt.uniform(0, 10.0**k) for k in range(10)}
    wide = jt.Space(
        **{LONG: jt.log_uniform(1e-5, 1, tier=1)},
        optimizer=jt.choice([WORDS, "x" * 60, "adam"]),
        **rest,
    )
    x = jt.Space(x=jt.uniform(0, 1), y=jt.uniform(0, 1))
    rates = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.5))

    def long(key, h):
        score = h[LONG] + h["parameter_0"] + 0.1 * jax.random.normal(key)
        return jax.numpy.where(h[LONG] > 0.5, jax.numpy.nan, score)

    def two(key, h):
        good = jax.numpy.where(h["x"] > 0.9, jax.numpy.nan, h["x"])
        return {"good": good, "cheap": h["x"] + h["y"]}

    goals = {"goals": [("good", "max"), ("cheap", "min")], "mode": None}
    limits = {"constraints": {"cheap": ("<=", 1.5)}}
    folds = {"folds": 3, "epochs": 1, "trials": 4, "key": jax.random.key(0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "wide": result(wide, long, trials=40, rounds=2, seeds=2),
            "goals": result(x, two, trials=40, rounds=1, **goals, **limits),
            "folds": jt.search(small_task, rates, **folds),
            "unfinished": result(x, trials=40, rounds=4, stop=jt.stop.at(1e9)),
            "one": result(SPACES["one"], trials=1, rounds=1),
            "nothing": result(x, lambda key, h: h["x"] * jax.numpy.nan, rounds=1),
        }
    assert set(found) == set(HARD)
    assert not found["unfinished"].finished
    at = tmp_path_factory.mktemp("hard")
    return {name: one.report(at / f"{name}.html") for name, one in found.items()}


# what of a page lies beyond its width, or beyond the box that hides it; a box that
# scrolls shows all
CUT_OFF = """() => {
  const wrong = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push("the page scrolls");
  for (const node of document.querySelectorAll("body *")) {
    const box = node.getBoundingClientRect(), style = getComputedStyle(node);
    if (!box.width || !box.height || node.closest(".skip, script, title")) continue;
    if (node.closest(".wide") && !node.matches(".wide")) continue;
    const name = `${node.tagName} ${node.textContent.slice(0, 40)}`;
    if (box.left < -1 || box.right > width + 1) wrong.push(`beyond the page: ${name}`);
    if (style.overflowX === "hidden" && node.scrollWidth > node.clientWidth + 1)
      wrong.push(`hidden: ${name}`);
  }
  return wrong;
}"""


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_cut_off_and_the_page_never_scrolls_sideways(
    visit, hard, name, width
):
    page = visit(hard[name], width)
    assert page.evaluate(CUT_OFF) == []
    first = page.locator("#all-trials thead th").all_inner_texts()[:3]
    assert [text.split()[0] for text in first] == ["trial", "rank", "score"]
    pictures = page.locator("figure svg")
    for number in range(pictures.count()):
        assert pictures.nth(number).bounding_box()["width"] >= 0.8 * min(width, 440)


def test_axes_that_do_not_fit_side_by_side_lie_below_each_other(visit, hard, path):
    for at, width, stacked in (
        (path, 1600, 0),
        (path, 400, 1),
        (hard["wide"], 1600, 1),
    ):
        page = visit(at, width)
        assert page.locator("#parallel.stacked").count() == stacked
        names = [box(name) for name in page.locator("#parallel .name").all()]
        ticks = [box(text) for text in page.locator("#parallel text").all()]
        for boxes in (names, ticks):  # no name lies over another one
            for a, b in itertools.combinations(boxes, 2):
                apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
                assert apart
        show_all(page)
        drag(page, 1, 0.0, 0.5)
        assert 0 < int(told(page).split()[0]) < len(column(page, "trial")) + 1
        assert told(page).split()[0] != told(page).split()[2]


def box(element):
    """Left, top, right and bottom, without the line spacing of a font."""
    place = element.bounding_box()
    left, top = place["x"], place["y"] + 2
    return left, top, left + place["width"], top + place["height"] - 4


# the text nodes of a page with too little contrast to what is behind them, by the
# formula of WCAG 2.2
FAINT = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.map((v) =>
      v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = ([r, g, b, alpha = 1], below) =>
    [r, g, b].map((v, k) => alpha * v + (1 - alpha) * below[k]);
  const behind = (node) => {
    if (!node) return [255, 255, 255];
    const style = getComputedStyle(node);
    return over(numbers(style.backgroundColor), behind(node.parentElement));
  };
  window.contrast = (front, back) => {
    const [low, high] = [light(front), light(back)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  window.painted = (node, property) =>
    over(numbers(getComputedStyle(node)[property]), behind(node));
  window.behind = behind;
  const found = [], walker = document.createTreeWalker(document.body, 4);
  let count = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, style = getComputedStyle(node);
    const text = walker.currentNode.data.trim();
    if (!text || node.closest("script, style, title, noscript")) continue;
    if (!node.getBoundingClientRect().width || style.visibility !== "visible") continue;
    const drawn = node.namespaceURI.endsWith("svg");
    const ratio = contrast(painted(node, drawn ? "fill" : "color"), behind(node));
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
    const needed = size >= 24 || (bold && size >= 18.66) ? 3 : 4.5;
    count++;
    if (ratio < needed) found.push(`${ratio.toFixed(2)} ${node.tagName} ${text}`);
  }
  return [count, found];
}"""


@BOTH
@pytest.mark.parametrize("name", ["wide", "goals"])
def test_every_text_has_enough_contrast(visit, hard, name, scheme):
    page = visit(hard[name], scheme=scheme)
    page.locator("rect.grip").first.press("ArrowUp")
    count, faint = page.evaluate(FAINT)
    assert count > 200
    assert faint == []
    # graphics: what is needed to see and to use something
    for element, property in (
        ("#parallel line", "stroke"),
        (".brush", "stroke"),
        (".grip:focus-visible", "stroke"),
        ("#clear", "borderTopColor"),
        (".note", "borderLeftColor"),
    ):
        page.locator("rect.grip").first.focus()
        shown = page.locator(element)
        assert shown.count() or element == ".note"
        ratios = shown.evaluate_all(
            f"all => all.map(n => contrast(painted(n, '{property}'), behind(n)))"
        )
        assert min(ratios, default=3) >= 3, element


@BOTH
def test_it_is_dark_in_the_dark_and_light_on_paper(visit, path, scheme):
    page = visit(path, scheme=scheme)
    assert (brightness(page) > 0.9) == (scheme == "light")
    assert (brightness(page) < 0.15) == (scheme == "dark")
    size = page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
    assert size >= 16
    filters = "all => all.map(n => getComputedStyle(n).filter)"
    assert set(page.locator("figure, figure *").evaluate_all(filters)) == {"none"}
    page.emulate_media(media="print")
    assert brightness(page) > 0.9
    for element in ("nav", "#clear", "#more", ".copy button"):
        assert not page.locator(element).first.is_visible()
    inside = "all => all.map(n => getComputedStyle(n).breakInside)"
    assert set(page.locator("figure").evaluate_all(inside)) == {"avoid"}


def brightness(page):
    """Of the background, from 0 to 1."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3 / 255


# the strongest contrast to the background of the pixels around a place of the canvas
PIXELS = """(places) => {
  const canvas = document.querySelector("#parallel canvas");
  const line = document.querySelector("#parallel line");
  const [y0, y1] = ["y1", "y2"].map((name) => Number(line.getAttribute(name)));
  const x = Math.round(Number(line.getAttribute("x1")));
  const { data } = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height);
  const back = behind(document.body);
  const ratios = Array.from({ length: canvas.height }, (_, y) => {
    const [r, g, b, a] = data.slice(4 * y, 4 * y + 4), alpha = a / 255;
    return contrast([r, g, b].map((v, c) => alpha * v + (1 - alpha) * back[c]), back);
  });
  return places.map((at) => {
    const y = Math.round(y0 + at * (y1 - y0));
    return Math.max(...ratios.slice(y - 3, y + 4));
  });
}"""


@BOTH
def test_the_best_lines_are_the_most_visible_ones(visit, tmp_path, scheme):
    found = result(SPACES["one"], trials=6, rounds=1, mode="max")
    page = visit(found.report(tmp_path / "a.html"), scheme=scheme)
    page.evaluate(FAINT)  # for its functions
    order = np.argsort(found.trials["score"])  # the score is a itself
    contrasts = page.evaluate(PIXELS, found.trials.points[order, 0].tolist())
    assert (np.diff(contrasts) > 0).all(), contrasts
    assert contrasts[-1] > 7
    assert contrasts[-1] > 3 * contrasts[0]


# with a keyboard, a screen reader, or without JavaScript


def test_a_keyboard_sorts(visit, path, found):
    page = visit(path)
    page.get_by_role("button", name="score", exact=True).focus()
    page.keyboard.press("Enter")
    assert column(page, "score")[0] == f"{np.nanmin(found.trials['score']):.5g}"
    page.keyboard.press("Space")
    assert column(page, "score")[0] == f"{np.nanmax(found.trials['score']):.5g}"


def test_a_keyboard_moves_and_stretches_a_brush(visit, path, found):
    page = visit(path)
    slider = page.get_by_role("slider", name="b", exact=True)
    assert slider.get_attribute("aria-valuetext") == "all values"
    values = found.trials["b"]

    def chosen(low, high):
        inside = (values >= low) & (values <= high)
        near = np.isclose(values, low, atol=1e-4) | np.isclose(values, high, atol=1e-4)
        count = int(told(page).split()[0])
        assert abs(count - inside.sum()) <= near.sum()
        said = slider.get_attribute("aria-valuetext")
        ends = (values[inside].min(), values[inside].max())
        assert said == " to ".join(f"{v:.5g}" for v in ends)
        middle = int(slider.get_attribute("aria-valuenow"))
        assert middle == pytest.approx(50 * (low + high), abs=0.6)

    slider.press("ArrowDown")
    chosen(0, 0.25)
    slider.press("ArrowUp")
    chosen(0.05, 0.3)
    slider.press("Shift+PageUp")
    chosen(0.05, 0.5)
    slider.press("Shift+ArrowLeft")
    chosen(0.05, 0.45)
    slider.press("End")
    chosen(0.6, 1)
    slider.press("Shift+ArrowRight")  # no room above
    chosen(0.55, 1)
    assert page.locator("#count").get_attribute("role") == "status"
    slider.press("Escape")
    assert slider.get_attribute("aria-valuetext") == "all values"
    assert told(page).startswith("120 of 120")
    page.get_by_role("slider", name="kind", exact=True).press("ArrowDown")
    kind = page.get_by_role("slider", name="kind", exact=True)
    assert kind.get_attribute("aria-valuetext") == "x"


def test_tab_reaches_all_that_can_be_used_and_shows_where_it_is(visit, path):
    page = visit(path, 400)
    reached = []
    for _ in range(100):
        page.keyboard.press("Tab")
        name, seen = page.evaluate(
            """() => {
              const node = document.activeElement, style = getComputedStyle(node);
              const seen = [style.outlineWidth, style.strokeWidth].includes("3px");
              return [node.ariaLabel || node.textContent, seen];
            }"""
        )
        if page.evaluate("document.activeElement === document.body"):
            break  # after the last one
        assert seen, name
        reached.append(name)
    assert reached[0] == "Skip to the sections"
    for expected in ("Trials", "b", "only", "choose all", "score", "kind", "show more"):
        assert expected in reached
    assert "Copy: Run it again" in reached
    assert "All trials, scrolls" in reached  # so that the arrow keys scroll it
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"


def test_its_structure_can_be_heard(visit, hard):
    for name in ("wide", "goals", "folds"):
        page = visit(hard[name])
        levels = page.locator("h1, h2, h3, h4").evaluate_all(
            "all => all.map(h => Number(h.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert max(np.diff(levels), default=0) <= 1
        for role in ("banner", "navigation", "main"):
            assert page.get_by_role(role).count() == 1
        for table in page.locator("table").all():
            assert table.locator("caption").inner_text()
            heads = "all => all.every(th => ['row', 'col'].includes(th.scope))"
            assert table.locator("th").evaluate_all(heads)
        for picture in page.locator("figure svg").all():
            assert picture.get_attribute("role") == "img"
            assert len(picture.get_attribute("aria-label")) > 40
        ids = page.locator("[id]").evaluate_all("all => all.map(n => n.id)")
        assert len(ids) == len(set(ids))
        assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("clipboard", ["there", "missing", "forbidden"])
def test_a_button_copies_a_text(visit, path, clipboard):
    page = visit(path)
    refused = "() => Promise.reject(new Error('refused'))"
    change = {
        "there": "",
        "missing": "Object.defineProperty(navigator, 'clipboard', {value: undefined});",
        "forbidden": f"navigator.clipboard.writeText = {refused};",
    }
    page.context.grant_permissions(["clipboard-write"] * (clipboard == "there"))
    page.evaluate(f"() => {{ {change[clipboard]} }}")
    for closed in page.locator("summary").all():  # a text in it cannot be reached
        closed.click()
    text = page.locator("pre").first
    button = page.locator(".copy button").first
    button.press("Enter")
    told = page.locator(".copy [role=status]").first
    told.filter(has_text="Copied").wait_for()
    page.evaluate("document.body.prepend(document.createElement('textarea'))")
    page.locator("textarea").press("Control+v")
    assert page.locator("textarea").input_value() == text.evaluate("n => n.textContent")


def test_without_javascript_all_texts_are_there(browser, path, found):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{path}")
    assert "jt.search(" in page.locator("pre:visible").last.inner_text()
    assert page.locator("button:visible").count() == 0
    assert "needs JavaScript" in page.locator("main").inner_text()
    context.close()


def test_nothing_moves_for_those_who_asked_for_that(visit, path):
    page = visit(path)
    for motion, behaviour in (("no-preference", "smooth"), ("reduce", "auto")):
        page.emulate_media(reduced_motion=motion)
        style = page.evaluate("getComputedStyle(document.documentElement)")
        assert style["scrollBehavior"] == behaviour
        moving = page.locator("*").evaluate_all(
            "all => all.some(n => getComputedStyle(n).transitionDuration !== '0s')"
        )
        assert not moving
