"""Colours of the pictures: contrast in both themes, and one table for both."""

import re

import numpy as np
import pytest
from looks import contrast
from matplotlib.figure import Figure

import jaxtune as jt
from jaxtune.report import svg
from jaxtune.report._contour import levels_of
from jaxtune.report.axes import span_of
from jaxtune.report.describe import described
from jaxtune.report.palette import DECORATION, PALETTE, SERIES, STEPS, Shades, colour
from jaxtune.report.panels import ACROSS, panel_rows

THEMES = Shades._fields
INFORMING = [name for name in PALETTE if name not in DECORATION]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", INFORMING)
def test_what_informs_can_be_seen(name, theme):
    back = getattr(PALETTE["back"], theme)
    least = 4.5 if name in ("text", "soft") else 3
    assert contrast(getattr(PALETTE[name], theme), back) >= least


@pytest.mark.parametrize("theme", THEMES)
def test_the_better_a_score_is_the_more_visible_is_its_colour(theme):
    back = getattr(PALETTE["back"], theme)
    steps = [
        contrast(getattr(PALETTE[f"score-{k}"], theme), back) for k in range(STEPS)
    ]
    assert (np.diff(steps) > -0.05).all()
    assert steps[-1] > 3 * steps[0]


@pytest.mark.parametrize("theme", THEMES)
def test_every_colour_is_another_one(theme):
    shades = [getattr(row, theme) for row in PALETTE.values()]
    assert len(set(shades)) == len(shades)  # else a page could not tell them apart
    assert len(set(SERIES)) == len(SERIES)


def test_a_theme_ends_with_its_block():
    assert colour("back") == PALETTE["back"].light
    with jt.report.theme("dark"):
        assert colour("back") == PALETTE["back"].dark
        with jt.report.theme("light"):
            assert colour("back") == PALETTE["back"].light
        assert colour("back") == PALETTE["back"].dark
    assert colour("back") == PALETTE["back"].light
    with pytest.raises(ValueError, match=r"'light' or 'dark', got 'blue'"):
        jt.report.theme("blue")


def test_a_style_sheet_has_both_themes():
    light, dark = svg.css().split("@media screen and (prefers-color-scheme: dark)")
    for name, shades in PALETTE.items():
        assert f"--plot-{name}:{shades.light};" in light.replace("}", ";")
        assert f"--plot-{name}:{shades.dark};" in dark.replace("}", ";")


def test_words_of_a_user_stay_in_a_page_as_they_are():
    evil = 'fill: #0068a8" <b> 1.2345678'
    figure = Figure(figsize=(4, 1))
    figure.text(0.1, 0.5, evil, color=PALETTE["blue"].light, parse_math=False)
    text = svg.inline(described(figure, evil))
    assert "fill: var(--plot-blue)" in text
    label = re.search(r'aria-label="([^"]*)"', text)[1]
    assert label == "fill: #0068a8&quot; &lt;b&gt; 1.2345678"
    assert (
        re.search(r">([^<>]*)</text>", text)[1] == 'fill: #0068a8" &lt;b&gt; 1.2345678'
    )
    assert svg.inline(described(figure, evil)) == text


@pytest.mark.parametrize("count", range(1, 30))
def test_a_grid_of_panels_has_no_odd_one_in_its_last_row(count):
    rows = panel_rows(count)
    assert sum(rows) == count
    assert max(rows) <= ACROSS
    assert max(rows) - min(rows) <= 1
    assert rows == sorted(rows, reverse=True)


def test_an_axis_shows_the_good_scores():
    scores = np.append(np.linspace(0.1, 0.3, 60), 5.9)
    span = span_of(scores, "min")
    assert (span.low, span.log) == (0.1, False)
    assert 0.3 <= span.high < 1
    mirrored = span_of(-scores, "max")
    assert (mirrored.low, mirrored.high) == (-span.high, -span.low)
    assert span_of(np.geomspace(1e-4, 1, 50), "min") == (1e-4, 1.0, True)
    assert not span_of(np.linspace(0.001, 1, 50), "max").log  # as of accuracies
    assert span_of(np.asarray([np.nan]), "min") is None


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("scale", [1e-3, 0.37, 1.0, 5e4])
def test_a_map_has_round_levels_around_its_scores(mode, scale):
    known = scale * (2 + np.sin(np.arange(100)))
    levels, beyond = levels_of(known, mode)
    assert not beyond
    assert 4 <= len(levels) <= 12
    assert levels[0] <= known.min() < levels[1]
    assert levels[-2] < known.max() <= levels[-1]
    step = levels[1] - levels[0]
    assert f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")
    assert np.allclose(levels / step, np.round(levels / step))


def test_a_map_of_mostly_bad_scores_has_levels_for_the_good_ones():
    known = np.append(np.linspace(0.13, 0.2, 10), np.linspace(0.5, 2.5, 90))
    levels, beyond = levels_of(known, "min")
    assert not beyond
    assert len([level for level in levels if level <= 0.3]) >= 3
    assert levels[0] <= 0.13 < levels[1]
    assert levels[-1] >= 2.5
