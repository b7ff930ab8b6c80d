"""Pictures and the page: for any result, with user strings escaped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt

SPACES = {
    "two": jt.Space(a=jt.log_uniform(1e-3, 1), b=jt.reverse_log_uniform(0.5, 0.999)),
    "one": jt.Space(a=jt.uniform(-1, 1)),
    "listed": jt.Space(
        a=jt.power_of_two(1, 64, tier=1), b=jt.choice(["<b>x</b>", "y"], tier=1)
    ),
    "whole": jt.Space(a=jt.integer(1, 9), b=jt.ordinal(["s", "m", "l"])),
}


def result(space, objective=None, **changes):
    def total(key, hparams):
        parts = [hparams[name] * 1.0 for name in space.searched]
        return sum(parts[1:], parts[0])

    arguments = {"trials": 24, "rounds": 3, "mode": "min", "key": jax.random.key(0)}
    return jt.search(objective or total, space, **(arguments | changes))


@pytest.mark.filterwarnings("ignore:this space has")
@pytest.mark.parametrize("name", SPACES)
def test_the_zoom_shows_every_round_of_any_space(name):
    found = result(SPACES[name])
    figure = jt.report.zoom(found)
    axes = figure.axes[0]
    points = sum(len(c.get_offsets()) for c in axes.collections)
    assert points == 24 + 1  # every trial, and the star
    labels = axes.get_legend_handles_labels()[1]
    assert [label.split(":")[0] for label in labels] == [
        "round 1",
        "round 2",
        "round 3",
        "best",
    ]
    if name != "one":
        boxes = [patch for patch in axes.patches if patch.get_width()]
        assert len(boxes) == 3
    figure.canvas.draw()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for collection in axes.collections:
        x, y = collection.get_offsets().T
        assert ((left <= x) & (x <= right) & (low <= y) & (y <= high)).all()


def test_failures_are_drawn_and_everything_may_fail():
    def half(key, h):
        return jnp.where(h["a"] > 0.1, jnp.nan, h["b"])

    found = result(SPACES["two"], half)
    labels = jt.report.zoom(found).axes[0].get_legend_handles_labels()[1]
    failed = int((found.trials["status"] == "diverged").sum())
    assert failed > 0
    assert f"failed: {failed} trials" in labels
    with pytest.warns(UserWarning, match="failed"):
        nothing = result(SPACES["two"], lambda key, h: h["a"] * h["b"] * jnp.nan)
    jt.report.zoom(nothing).canvas.draw()


def test_an_unknown_dimension_is_named():
    with pytest.raises(ValueError, match=r"'c' is not searched\. Use a, b"):
        jt.report.zoom(result(SPACES["two"]), "c")


@pytest.mark.filterwarnings("ignore:this space has")
def test_the_page_is_complete_escaped_and_repeatable(tmp_path):
    found = result(SPACES["listed"], seeds=2)
    page = found.report(tmp_path / "a.html").read_text()
    assert f"Best value: {found.best.score:.6g}" in page
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert page.count("<tr>") >= 24
    for fetched in ("<script src", "<link", "@import", "<img"):
        assert fetched not in page
    assert found.report(tmp_path / "b.html").read_text() == page


def test_the_page_of_a_search_in_which_everything_failed(tmp_path):
    with pytest.warns(UserWarning, match="failed"):
        nothing = result(SPACES["two"], lambda key, h: h["a"] * h["b"] * jnp.nan)
    assert "All 24 trials failed" in nothing.report(tmp_path / "a.html").read_text()


def test_numbers_of_the_picture_are_the_numbers_of_the_table():
    found = result(SPACES["two"])
    offsets = jt.report.zoom(found).axes[0].collections[1].get_offsets()
    rows = found.trials["round"] == 1
    np.testing.assert_allclose(offsets[:, 0], found.trials["a"][rows])
    np.testing.assert_allclose(offsets[:, 1], found.trials["b"][rows])
