"""Pictures and the page: for any result, with user strings escaped."""

import dataclasses
import itertools
import warnings
from xml.etree import ElementTree

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from looks import check_colours, check_layout
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

import jaxtune as jt
from jaxtune.goals.order import Goal
from jaxtune.report import points, sections
from jaxtune.report._history import running_best
from jaxtune.report._parallel import ticks_of
from jaxtune.report.axes import mark_beyond, positions, set_score
from jaxtune.report.cells import tick
from jaxtune.training.ledger import Rungs

SPACES = {
    "two": jt.Space(a=jt.log_uniform(1e-3, 1), b=jt.reverse_log_uniform(0.5, 0.999)),
    "one": jt.Space(a=jt.uniform(-1, 1)),
    "listed": jt.Space(
        a=jt.power_of_two(1, 64, tier=1), b=jt.choice(["<b>x</b>", "y"], tier=1)
    ),
    "whole": jt.Space(a=jt.integer(1, 9), b=jt.ordinal(["s", "m", "l"])),
}


def place(value):
    """A number itself, and of a choice of names its place in the list."""
    return getattr(value, "index", value)


def result(space, objective=None, **changes):
    def total(key, hparams):
        parts = [place(hparams[name]) * 1.0 for name in space.searched]
        return sum(parts[1:], parts[0])

    arguments = {
        "trials": 24,
        "rounds": 3,
        "mode": "min",
        "key": jax.random.key(0),
        "sampler": "sobol",
    }
    space = changes.pop("schedule", space)
    if isinstance(space, jt.Schedule):
        arguments |= {"trials": None, "rounds": 1, "sampler": "sobol"}
    return jt.search(objective or total, space, **(arguments | changes))


@pytest.mark.filterwarnings("ignore:this space has")
@pytest.mark.parametrize("name", SPACES)
def test_the_zoom_shows_every_round_of_any_space(name):
    found = result(SPACES[name])
    figure = jt.report.zoom(found)
    axes = figure.axes[0]
    points = sum(len(c.get_offsets()) for c in axes.collections)
    points += sum(len(line.get_xdata()) for line in axes.lines)  # beyond the axis
    assert points == 24 + 1  # every trial, and the star
    labels = axes.get_legend_handles_labels()[1]
    words = [label.split(":")[0] for label in labels]
    if name == "one":
        assert set(words) == {"best", "beyond this axis"}
        boxes = [line.get_linewidth() for line in figure.axes[1].lines]
        assert boxes == sorted(set(boxes))
    else:
        assert words == ["round 1", "round 2", "round 3", "best"]
        boxes = [patch for patch in axes.patches if patch.get_width()]
        assert len(boxes) == 3
    figure.canvas.draw()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for collection in axes.collections:
        x, y = collection.get_offsets().T
        assert ((left <= x) & (x <= right) & (low <= y) & (y <= high)).all()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ranks_rounds_and_the_best_have_colours_of_their_own(theme):
    found = result(SPACES["two"])
    with jt.report.theme(theme):
        axes = jt.report.zoom(found).axes[0]
    trials, star = axes.collections
    trials.update_scalarmappable()  # as when it is drawn
    boxes = [to_hex(patch.get_edgecolor()) for patch in axes.patches]
    ranks = set(map(to_hex, trials.get_facecolor()))
    (best,) = map(to_hex, star.get_facecolor())
    assert len(set(boxes)) == len(boxes) == 3
    assert len(ranks) > 8
    assert not ranks & {*boxes, best}
    widths = [patch.get_linewidth() for patch in axes.patches]
    assert widths == sorted(set(widths))  # the last box is the boldest


def test_a_map_says_where_nothing_is_known_and_marks_the_best():
    found = result(SPACES["two"], rounds=1)
    axes = jt.report.contour(found).axes[0]
    words = axes.get_legend_handles_labels()[1]
    assert "too far from any trial" in words
    (star,) = [c for c in axes.collections if str(c.get_label()).startswith("best")]
    best = found.best.hparams
    np.testing.assert_allclose(star.get_offsets(), [[best["a"], best["b"]]], rtol=1e-6)
    few = jt.report.contour(result(SPACES["two"], trials=2, rounds=1)).axes[0]
    assert "too few scores for a map" in few.get_legend_handles_labels()[1]


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


# of a result alone
NONE = {"Comparison", "StudyTable", "compare", "description", "theme"}
PICTURES = [name for name in jt.report.__all__ if name not in NONE]


def draw(name, found):
    """The figure, drawn for real: that is when axes fail."""
    figure = getattr(jt.report, name)(found)
    figure.canvas.draw()
    return figure


def texts(figure):
    """All that is written on a figure."""
    return " | ".join(t.get_text() for t in figure.findobj(mpl.text.Text))


NINE = jt.presets.standard()


@pytest.fixture(scope="module")
def results(small_task):
    """Any result: shapes of spaces, failures, schedulers, seeds."""

    def half(key, h):
        return jnp.where(h["a"] > 0.1, jnp.nan, h["b"])

    def nine(key, h):
        return sum(place(h[name]) * 1.0 for name in NINE.searched)

    trained = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.5, tier=1))
    own = {"key": jax.random.key(0), "epochs": 4}
    halving = jt.schedulers.successive_halving(eta=2, min_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: result(space) for name, space in SPACES.items()}
        found |= {
            "failures": result(SPACES["two"], half, trials=60),
            "all failed": result(SPACES["two"], lambda key, h: h["a"] * jnp.nan),
            "one trial": result(SPACES["two"], trials=1, rounds=1),
            "equal": result(SPACES["two"], lambda key, h: 0 * h["a"] + 0 * h["b"]),
            "nine": result(NINE, nine, trials=80, seeds=2, mode="max"),
            "tiered": result(NINE, nine, schedule=jt.tiered(NINE, 90)),
            "halving": jt.search(
                small_task, trained, trials=30, scheduler=halving, rounds=2, **own
            ),
            "pbt": jt.search(
                small_task,
                trained,
                trials=12,
                scheduler=jt.schedulers.pbt(interval=1),
                **own,
            ),
        }
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_can_be_drawn_of_any_result(name, results):
    for found in results.values():
        figure = draw(name, found)
        assert figure.axes
        words = texts(figure) + jt.report.description(figure)
        assert "nan" not in words.replace("tenant", "")
        assert jt.report.description(figure)
        check_layout(figure)
        check_colours(figure)
        for axes in figure.axes:
            assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


def many(found, copies):
    """The same trials again and again, as one record."""
    rows = np.tile(np.arange(len(found.trials)), copies)

    def taken(columns):
        return {name: np.asarray(values)[rows] for name, values in columns.items()}

    trials = jt.Trials(
        taken(found.trials.columns),
        found.trials.scores[rows],
        found.trials.points[rows],
        taken(found.trials.decoded),
    )
    return dataclasses.replace(found, trials=trials)


@pytest.mark.parametrize("name", PICTURES)
def test_a_hundred_thousand_trials_are_thinned_and_it_is_said(name, results):
    found = many(results["failures"], 1700)
    figure = draw(name, found)
    if name in ("zoom", "history", "slices", "parallel", "ranks", "contour"):
        assert "of 102,000 trials drawn" in texts(figure)
    drawn = sum(len(c.get_offsets()) for axes in figure.axes for c in axes.collections)
    assert drawn <= 6 * 2500  # six panels at most


def test_thinning_keeps_the_best(results):
    found = results["nine"]
    rows = points.drawn(found, most=20)
    assert len(rows) <= 20
    assert found.best.trial in rows
    assert np.array_equal(points.drawn(found), np.arange(80))


def test_scores_are_drawn_where_the_table_has_them(results):
    found = results["nine"]
    found_in = draw("history", found).axes[0].findobj(mpl.collections.PathCollection)
    (star,) = [c for c in found_in if c.get_label().startswith("best")]
    (best,) = star.get_offsets()
    assert tuple(best) == (found.best.trial, pytest.approx(found.best.score))
    drawn = np.concatenate([c.get_offsets() for c in found_in if c is not star])
    drawn = drawn[np.argsort(drawn[:, 0])]
    np.testing.assert_allclose(drawn[:, 1], found.trials["score"], rtol=1e-6)
    panels = draw("slices", found).axes
    for name, axes in zip(NINE.searched, panels, strict=False):
        assert axes.get_xlabel().startswith(name)
        *of_rounds, _ = axes.collections
        drawn = np.concatenate([c.get_offsets() for c in of_rounds])
        if not NINE[name].by_index and not NINE[name].condition:
            np.testing.assert_allclose(
                np.sort(drawn[:, 0]), np.sort(found.trials[name]), rtol=1e-5
            )


def test_the_best_so_far_never_gets_worse(results):
    for name in ("nine", "two", "failures", "halving"):
        found = results[name]
        (line,) = [
            line
            for line in draw("history", found).axes[0].lines
            if line.get_label() == "best so far"
        ]
        values = line.get_ydata()
        steps = np.diff(values[np.isfinite(values)])
        assert (steps * {"max": 1, "min": -1}[found.setup.mode] >= 0).all()
        assert values[-1] == pytest.approx(found.best.score)


def test_the_best_so_far_of_several_goals_is_the_best_score(results):
    found = results["two"]
    goals = (Goal("score", "min"), Goal("b", "max"))
    several = dataclasses.replace(found, setup=found.setup._replace(goals=goals))
    best = running_best(several)
    np.testing.assert_array_equal(best, np.minimum.accumulate(found.trials["score"]))
    assert best[-1] == several.best.score


def test_the_best_so_far_is_among_those_that_trained_to_the_end(results):
    found = many(results["halving"], 1)
    known = {"score": [0.9, 0.5, 0.95, 0.6], "epochs": [1, 4, 1, 4]}
    known |= {"status": ["stopped", "ok", "stopped", "ok"]}
    changed = {name: np.asarray(v)[:4] for name, v in found.trials.columns.items()}
    changed |= {name: np.asarray(values) for name, values in known.items()}
    rows = (found.trials.scores[:4], found.trials.points[:4], found.trials.decoded)
    four = dataclasses.replace(found, trials=jt.Trials(changed, *rows))
    np.testing.assert_array_equal(running_best(four), [np.nan, 0.5, 0.5, 0.6])


def test_an_axis_of_scores_says_what_it_leaves_out():
    axes = Figure().add_subplot()
    scores = np.asarray([0.0, 0.1, 0.2, 0.3, 1000.0, np.nan])
    span = set_score(axes, "y", scores, "loss", "min")
    mark_beyond(axes, np.arange(6), scores, span)
    assert axes.get_legend_handles_labels()[1] == ["beyond this axis: 1"]
    assert axes.get_ylim()[1] < 1
    set_score(axes, "y", scores[:4], "loss", "min")
    assert axes.get_ylabel() == "loss (lower is better)"
    set_score(axes, "x", np.asarray([1e-4, 1.0, 0.1]), "loss", "min")
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("name", ["two", "listed", "whole", "one"])
def test_positions_are_where_values_are_plotted(name):
    space = SPACES[name]
    u = np.linspace(0.001, 0.999, 41).astype(np.float32)
    for dim in (space[n] for n in space.searched):
        at = positions(dim, u)
        assert (np.diff(at) > 0).all()
        values = np.asarray(dim.decode(u), np.float64)
        if dim.kind == "continuous":
            np.testing.assert_allclose(at, values, rtol=1e-3)  # steps of a float32
        elif dim.kind in ("integer", "choice", "named_ordinal"):
            assert (np.abs(at - values) <= 0.5 + 1e-4).all()
        else:
            assert (np.abs(np.log2(at) - np.log2(values)) <= 0.5 + 1e-4).all()


@pytest.mark.parametrize("name", [*SPACES, "nine"])
def test_ticks_of_parallel_axes_are_where_their_values_are_drawn(name):
    space = {**SPACES, "nine": NINE}[name]
    for dim in (space[n] for n in space.searched):
        ticks = ticks_of(dim)
        places = jnp.asarray([place for place, _ in ticks], jnp.float32)
        values = [dim.value(v) for v in np.asarray(dim.decode(places))]
        assert [tick(value) for value in values] == [words for _, words in ticks]
        assert len({words for _, words in ticks}) == len(ticks)
        again = np.asarray(dim.encode(jnp.asarray([dim.decoded(v) for v in values])))
        np.testing.assert_allclose(again, places, atol=1e-4)


def test_a_surface_is_the_score_where_that_depends_on_two_numbers():
    def plane(key, h):
        return jnp.log10(h["a"]) + 2 * jnp.log10(1 - h["b"])

    found = result(SPACES["two"], plane, trials=200, rounds=1)
    surface = jt.analysis.surface(found, "a", "b", size=21)
    a = -3 + 3 * surface.x[None]
    b = np.log10(0.5) + surface.y[:, None] * np.log10(0.001 / 0.5)
    inner = np.isfinite(surface.score)
    assert inner.mean() > 0.9
    error = np.abs(surface.score - (a + 2 * b))[inner]
    assert np.median(error) < 0.1 < np.ptp(a + 2 * b) / 50
    few = result(SPACES["two"], trials=3, rounds=1)
    assert np.isnan(jt.analysis.surface(few, "a", "b").score).all()


def test_rungs_show_the_area_that_was_trained(results):
    found = results["halving"]
    patches = draw("rungs", found).axes[0].patches
    columns = [patch for patch in patches if isinstance(patch, StepPatch)]
    area = sum(patch.get_data().values.sum() for patch in columns)
    assert area == found.trials.epochs.sum() == found.cost.epochs


def test_a_failure_between_rungs_draws_no_rung(results):
    found = results["halving"]

    def heights(found):
        return [line.get_ydata()[0] for line in draw("rungs", found).axes[0].lines]

    assert heights(found) == [1, 2, 4]
    *before, last = found.rounds
    lost = Rungs(np.int32([0]), np.int32([3]), np.float32([[np.nan]]))
    rungs = Rungs(*map(np.concatenate, zip(last.rungs, lost, strict=True)))
    rounds = (*before, last._replace(rungs=rungs))
    assert heights(dataclasses.replace(found, rounds=rounds)) == [1, 2, 4]


def test_a_trial_that_waits_has_not_failed(tmp_path):
    def fails(key, h):
        return jnp.where(h["a"] > 0.1, jnp.nan, h["b"])

    class Stop(jt.Callback):
        def on_block(self, round, block):
            raise KeyboardInterrupt

    own = {
        "trials": 24,
        "rounds": 1,
        "block": 8,
        "callbacks": [Stop()],
        "sampler": "sobol",
    }
    with pytest.raises(KeyboardInterrupt):
        result(SPACES["two"], fails, directory=tmp_path / "run", **own)
    found = jt.load(tmp_path / "run", fails)
    status = found.trials["status"]
    assert set(status) == {"ok", "diverged", "waiting"}
    labels = jt.report.zoom(found).axes[0].get_legend_handles_labels()[1]
    assert f"failed: {(status == 'diverged').sum()} trials" in labels
    assert f"round 1: {(status == 'ok').sum()} trials" in labels


def test_curves_join_the_scores_of_the_rungs(results):
    found = results["halving"]
    figure = draw("curves", found)
    lines = figure.axes[0].collections[0].get_segments()
    known = [len(points) for points in found.rungs.by_trial().values()]
    # one point is no line
    assert sorted(map(len, lines)) == sorted(count for count in known if count > 1)
    assert "stopped" in texts(figure)
    nothing = draw("curves", results["two"])
    assert "Nothing was trained" in texts(nothing)


def test_the_lineage_leads_from_the_beginning_to_the_best(results):
    found = results["pbt"]
    lines = draw("lineage", found).axes[0].lines
    bold = [line for line in lines if line.get_linewidth() > 2]
    spans = sorted(tuple(line.get_xdata()) for line in bold)
    assert spans[0][0] == 0
    assert spans[-1][1] == 4
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    last = max(bold, key=lambda line: line.get_xdata()[1])
    assert last.get_ydata()[0] == pytest.approx(found.best.hparams["learning_rate"])


@pytest.mark.filterwarnings("ignore:this space has")
def test_the_page_is_complete_escaped_and_repeatable(tmp_path):
    found = result(SPACES["listed"], seeds=2)
    page = found.report(tmp_path / "a.html").read_text()
    assert f"Best value: {found.best.score:.6g}" in page
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    for heading in sections.ALL:
        absent = ("Early stopping", "Ensemble", "Every epoch", "Failed trials")
        absent += ("Constraints", "Folds", "Front", "Values compared")
        there = heading not in absent
        assert (f">{heading}</h2>" in page) == there
    for fetched in ("<script src", "<link", "@import", "<img"):
        assert fetched not in page
    assert found.report(tmp_path / "b.html").read_text() == page


FORMULA = "$a^{$ \ud800 $\\frac{$"  # no formula, and half a pair of surrogates


@pytest.mark.filterwarnings("ignore:this space has")
def test_what_a_user_wrote_is_no_formula(tmp_path):
    space = jt.Space(
        a=jt.log_uniform(1e-6, 1), b=jt.choice(["$x$ and $y$", FORMULA, "a\x1b[31m"])
    )
    found = result(space, lambda key, h: h["a"] + h["b"].index)
    found = dataclasses.replace(found, setup=found.setup._replace(metric=FORMULA))
    shown = "$a^{$ \\ud800 $\\frac{$"
    assert shown in found.report(tmp_path / "a.html").read_text()
    for name in ("zoom", "slices", "history", "best_of", "parallel", "contour"):
        figure = getattr(jt.report, name)(found)
        figure.canvas.draw()
        assert "$a^{$ \\ud800" in texts(figure)
        assert "\x1b" not in texts(figure)
    axes = jt.report.slices(found).axes
    axes[0].figure.canvas.draw()
    labels = axes[0].get_xticklabels()  # powers of ten are formulas of matplotlib's
    assert any("10^" in label.get_text() for label in labels)
    assert all(label.get_parse_math() for label in labels)
    assert [label.get_text() for label in axes[1].get_xticklabels()] == [
        "$x$ and $y$",
        "$a^{$ \\ud800 $…",
        "a\\x1b[31m",
    ]


def cells(html):
    """The words of a table, row by row."""
    rows = ElementTree.fromstring(f"<div>{html}</div>").iter("tr")
    return [[cell.text for cell in row] for row in rows]


def test_notebooks_show_spaces_trials_and_results_short_and_escaped(results):
    found = results["listed"]
    space, trials, whole = (
        thing._repr_html_() for thing in (found.setup.space, found.trials, found)
    )
    for shown in (space, trials, whole):
        assert "<b>x</b>" not in shown
        assert len(shown) < 4000
    head, *rows = cells(trials)
    assert head == list(found.trials.names)
    shown = [*map(str, range(5)), "…", *map(str, range(19, 24))]
    assert [row[0] for row in rows] == shown
    assert [row[0] for row in cells(space)[1:]] == list(found.setup.space.names)
    expected = {name: str(value) for name, value in found.best.hparams.items()}
    assert dict(cells(whole)[1:]) == expected
    assert f"Best value {found.best.score:.6g}, trial {found.best.trial}." in whole
    assert "24 failed" in results["all failed"]._repr_html_()


def test_the_page_of_a_search_in_which_everything_failed(tmp_path):
    with pytest.warns(UserWarning, match="failed"):
        nothing = result(SPACES["two"], lambda key, h: h["a"] * h["b"] * jnp.nan)
    page = nothing.report(tmp_path / "a.html").read_text()
    assert "All 24 trials failed" in page
    assert ">Coarse to fine</h2>" not in page
    assert "importances:" not in page
    with pytest.raises(ValueError, match="search other ranges"):
        _ = nothing.best  # a function of a and b has no learning rate


@pytest.mark.filterwarnings("ignore:no trial has size")
def test_the_head_says_that_no_trial_meets_the_limits(tmp_path):
    found = result(
        SPACES["two"],
        lambda key, h: {"value": h["a"], "size": h["b"] + 2},
        constraints={"size": ("<=", 1)},
    )
    said = "0 of 24 trials have size <= 1; the best one violates least"
    assert said in repr(found)
    head = found.report(tmp_path / "a.html").read_text().split("</header>")[0]
    assert said.replace("<", "&lt;") in head


@pytest.mark.parametrize("lost", [1, 5])
def test_one_failure_has_no_range(tmp_path, lost):
    found = result(
        SPACES["one"],
        lambda key, h: jnp.where(h["a"] < 2 * lost / 24 - 1, jnp.nan, h["a"]),
        rounds=1,
    )
    page = found.report(tmp_path / "a.html").read_text()
    words = "1 trial failed, with 1 failed training in all"
    assert (words in page) == (found.divergence.trials == 1)
    assert ("Where trials failed" in page) == (found.divergence.trials > 2)


def test_numbers_of_the_picture_are_the_numbers_of_the_table():
    found = result(SPACES["two"])
    points = jt.report.zoom(found).axes[0].collections[0]
    order = np.argsort(-found.trials["score"], kind="stable")  # the best is on top
    at = np.stack([found.trials["a"], found.trials["b"]], axis=1)[order]
    np.testing.assert_allclose(points.get_offsets(), at)
    assert (np.diff(points.get_array()) > 0).all()


def test_the_star_of_a_trial_measured_again_is_at_the_score_it_is_the_best_by():
    def noisy(key, h):
        return h["x"] + jax.random.normal(key)

    found = jt.search(
        noisy,
        jt.Space(x=jt.uniform(0.0, 1.0)),
        key=jax.random.key(0),
        trials=48,
        mode="max",
        confirm=4,
        verbose=0,
    )
    best = found.best
    assert found.trials["score"][best.trial] != best.score
    for figure in (jt.report.history(found), jt.report.slices(found)):
        axes = figure.axes[0]
        (star,) = (c for c in axes.collections if c.get_label().startswith("best"))
        assert star.get_label() == f"best mean: value {best.score:.4g}"
        assert star.get_offsets()[0, 1] == pytest.approx(best.score)
    # the line never gets worse: it is of the search, before any was measured again
    (line,) = jt.report.history(found).axes[0].lines[:1]
    heights = np.asarray(line.get_ydata(), float)
    assert (np.diff(heights[np.isfinite(heights)]) >= 0).all()
