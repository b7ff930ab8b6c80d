"""Numbers from results, computed a second way."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import digits
from scipy.stats import rankdata

import jaxtune as jt
from jaxtune.analysis.importance import MOST


@pytest.fixture(scope="module")
def halved(small_task, small_space):
    return jt.search(
        small_task,
        small_space,
        key=jax.random.key(0),
        trials=40,
        rounds=2,
        epochs=4,
        seeds=2,
        metric="loss",
        scheduler=jt.schedulers.successive_halving(eta=2, min_epochs=1),
        sampler="sobol",
    )


def test_rung_correlations_compare_the_same_trials(halved):
    found = jt.analysis.rung_correlations(halved)
    assert [(row.early, row.late, row.trials) for row in found] == [
        (1, 2, 20),
        (1, 4, 10),
        (2, 4, 10),
    ]
    rungs = halved.rungs
    mean = rungs.scores.mean(axis=1)
    for row in found:
        late = rungs.trial[rungs.epochs == row.late]
        pairs = [
            [mean[(rungs.trial == t) & (rungs.epochs == e)][0] for t in late]
            for e in (row.early, row.late)
        ]
        expected = np.corrcoef(*map(rankdata, pairs))[0, 1]
        assert row.correlation == pytest.approx(expected)


def test_without_a_scheduler_there_is_nothing_to_correlate(small_task, small_space):
    plain = jt.search(
        small_task, small_space, key=jax.random.key(0), trials=6, epochs=1, block=2
    )
    assert jt.analysis.rung_correlations(plain) == ()
    assert plain.cost[:3] == (6, 0, 1.0)


def test_the_page_says_what_stopping_saved(halved, tmp_path):
    page = halved.report(tmp_path / "a.html").read_text()
    cost = halved.cost
    assert "30 of 40 trials" in page
    assert f"{cost.epochs} epochs trained, {cost.saved} saved" in page
    for row in jt.analysis.rung_correlations(halved):
        assert f"<td>{row.trials}</td><td>{row.correlation:.2f}</td>" in page
    rows = page[page.index('id="data">') :]
    assert rows.index('"ok"') < rows.index('"stopped"')


def test_the_page_of_a_tiered_search_shows_what_was_not_open(tmp_path):
    space = jt.Space(
        a=jt.uniform(0, 1, tier=1), b=jt.uniform(0, 1, default=0.25, tier=2)
    )
    found = jt.search(
        lambda key, h: h["a"] + h["b"],
        jt.tiered(space, 20),
        key=jax.random.key(0),
        mode="min",
    )
    page = found.report(tmp_path / "a.html").read_text()
    assert "<td>0.25, not open yet</td>" in page
    assert "Early stopping" not in page


SPACE = jt.Space(
    big=jt.log_uniform(1e-4, 1.0, tier=1),
    small=jt.reverse_log_uniform(0.5, 0.999, tier=2),
    none=jt.integer(1, 100, tier=3),
    kind=jt.choice(["a", "b", "c"], tier=2),
    sub=jt.when(jt.uniform(0.0, 1.0, tier=1), kind="b"),
)


def known(key, hparams):
    """A bowl in two dimensions, deep in the first; the others do next to nothing."""
    others = hparams["none"] + (hparams["kind"] == "b") + hparams["sub"]
    deep = (jnp.log10(hparams["big"]) + 2) ** 2
    flat = 0.1 * (jnp.log10(1 - hparams["small"]) + 1.5) ** 2
    return deep + flat + 1e-9 * others + 0.02 * jax.random.normal(key)


def found_by(objective, space=SPACE, **changes):
    own = {
        "key": jax.random.key(0),
        "trials": 256,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(objective, space, **(own | changes))


@pytest.fixture(scope="module")
def bowl():
    return found_by(known, seeds=3)


def test_coordinates_are_those_of_the_whole_space(bowl):
    points = jt.analysis.coordinates(bowl)
    np.testing.assert_allclose(
        points[:, 0], np.log10(bowl.trials["big"]) / 4 + 1, atol=1e-5
    )
    on = np.asarray([value == "b" for value in bowl.trials["kind"]])
    assert (np.isnan(points[:, 4]) == ~on).all()
    zoomed = found_by(known, rounds=3)
    again = jt.analysis.coordinates(zoomed)
    assert not np.array_equal(again[200:, 0], zoomed.trials.points[200:, 0])
    np.testing.assert_allclose(
        again[:, 0], np.log10(zoomed.trials["big"]) / 4 + 1, atol=1e-5
    )


@pytest.mark.parametrize("few", [jt.integer(1, 2), jt.power_of_two(1, 2)])
@pytest.mark.parametrize("trials", [64, 256])
def test_a_hyperparameter_of_few_values_is_no_more_important_for_that(few, trials):
    """All of the best have one of two values, and lie in a tenth of a real range."""

    def narrow(key, h):
        return jnp.abs(h["big"] - 0.3) + (h["few"] > 1)

    space = jt.Space(big=jt.uniform(0.0, 1.0), few=few)
    own = {
        "key": jax.random.key(0),
        "trials": trials,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    found = jt.analysis.importances(jt.search(narrow, space, **own))
    shares = {row.name: row.share for row in found.rows}
    assert 0.05 < shares["few"] < 0.5


def test_importance_finds_what_an_objective_depends_on(bowl):
    found = jt.analysis.importances(bowl)
    rows = {row.name: row for row in found.rows}
    assert [row.name for row in found.rows][:2] == ["big", "small"]
    assert rows["big"].share > 0.5
    assert rows["big"].low > max(rows[n].high for n in ("none", "kind", "sub"))
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    for row in found.rows:
        assert 0 <= row.low <= row.high <= 1
        assert row.tier == SPACE[row.name].tier
    assert found.trials == 256
    # tiers 1 < 2 < 3 as given; sub has tier 1 and does nothing
    pairs = [(a, b) for a in rows.values() for b in rows.values() if a.tier < b.tier]
    assert found.order == np.mean([a.share > b.share for a, b in pairs])
    assert found.low <= found.order <= found.high


@pytest.mark.parametrize("seed", range(3))
def test_importance_depends_on_ranks_only_and_not_on_the_direction(seed):
    def upside(key, hparams):
        return jnp.exp(-known(key, hparams))

    own = {"key": jax.random.key(seed), "trials": 64, "sampler": "sobol"}
    down = jt.analysis.importances(found_by(known, **own))
    up = jt.analysis.importances(found_by(upside, **own | {"mode": "max"}))
    assert up == down


def test_zooming_is_not_importance():
    """The box shrinks around the best in all dimensions; that alone must not count."""
    found = jt.analysis.importances(found_by(known, rounds=4))
    rows = {row.name: row.share for row in found.rows}
    assert rows["big"] > 0.4
    assert rows["none"] < 0.2


def test_many_trials_are_thinned_and_tiers_that_were_closed_left_out():
    found = jt.analysis.importances(found_by(known, trials=1000), resamples=1)
    assert found.trials == MOST
    tiered = found_by(known, jt.tiered(SPACE, 120), trials=None)
    opened = ~np.isnan(tiered.trials.points).any(axis=1)
    assert jt.analysis.importances(tiered, resamples=1).trials == opened.sum() < 120


def test_best_of_is_the_mean_of_many_draws():
    with np.errstate(all="ignore"):
        result = found_by(failing, trials=40)
    scores = result.trials["score"]
    told = np.where(np.isfinite(scores), scores, np.nanmax(scores))
    random = np.random.default_rng(0)
    rows = jt.analysis.best_of(result, [1, 3, 10, 40])
    for row in rows:
        draws = told[random.integers(0, 40, (20_000, row.trials))].min(axis=1)
        error = 5 * draws.std() / np.sqrt(20_000)
        assert row.score == pytest.approx(draws.mean(), abs=error)
        assert row.low <= row.score <= row.high
    assert [row.score for row in rows] == sorted((r.score for r in rows), reverse=True)
    usual = jt.analysis.best_of(result)
    assert [row.trials for row in usual] == [1, 2, 4, 8, 16, 32, 40]


def failing(key, hparams):
    return jnp.where(hparams["big"] > 0.3, jnp.nan, known(key, hparams))


def test_best_of_is_of_one_round_and_of_trials_that_trained_to_the_end(halved):
    (row,) = jt.analysis.best_of(halved, [1], round=1)
    own = (halved.trials["round"] == 1) & (halved.trials["epochs"] == 4)
    scores = halved.trials["score"][halved.trials["round"] == 1]
    worst = halved.trials["score"][own].max()  # a loss; the stopped ones count so
    full = np.where(own[halved.trials["round"] == 1], scores, worst)
    assert row.score == pytest.approx(full.mean())


def test_luck_is_taken_off_the_best_score():
    """All trials are alike: the best score is luck."""
    draws = []
    for number in range(30):
        result = found_by(
            lambda key, h: 3 + jax.random.normal(key) + 0 * h["big"],
            SPACE.keep("big"),
            key=jax.random.key(number),
            trials=40,
            seeds=4,
        )
        found = jt.analysis.noise(result)
        assert found.score == pytest.approx(result.best.score, abs=1e-6)
        assert found.optimism == pytest.approx(found.expected - found.score)
        draws.append((found.expected, found.optimism))
        assert found.seeds == 4
        assert 0.5 < found.spread < 1.5
    expected, optimism = np.mean(draws, axis=0)
    error = np.std(draws, axis=0)[0] / np.sqrt(30)
    assert expected == pytest.approx(3, abs=3 * error)
    assert optimism > 0.7  # of forty means with a deviation of a half


def test_fresh_seeds_are_those_that_a_search_with_more_would_have_had(
    small_task, small_space
):
    def search(subject, seeds, **own):
        own |= {"key": jax.random.key(3), "trials": 6, "seeds": seeds}
        own["sampler"] = "sobol"  # the same points whatever is scored
        return jt.search(subject, small_space, **own)

    def objective(key, hparams):
        return hparams["learning_rate"] + jax.random.normal(key) * hparams["momentum"]

    for subject, own in (
        (small_task, {"epochs": 2}),
        (objective, {"mode": "min"}),
    ):
        few, more = search(subject, 2, **own), search(subject, 5, **own)
        rows = jt.analysis.reevaluate(few, top=2, seeds=3)
        sign = 1 if few.setup.mode == "max" else -1
        best = np.argsort(-sign * few.trials["score"], stable=True)[:2]
        assert [row.trial for row in rows] == best.tolist()
        for row in rows:
            fresh = more.trials.scores[row.trial, 2:].astype(np.float64)
            assert row.again == pytest.approx(fresh.mean())
            assert row.error == pytest.approx(fresh.std(ddof=1) / np.sqrt(3))
            assert row.optimism == pytest.approx(sign * (row.score - row.again))


@pytest.mark.filterwarnings("ignore:this space has")
def test_edges_that_the_best_crowd_are_named_with_a_range_to_try():
    space = jt.Space(
        rate=jt.log_uniform(1e-4, 1.0),
        momentum=jt.reverse_log_uniform(0.5, 0.99),
        units=jt.integer(4, 20),
        batch=jt.power_of_two(16, 64),
        decay=jt.ordinal([0.0, 0.5, 1.0, 2.0]),
        inner=jt.uniform(0.0, 1.0),
        width=jt.integer(1, 20, scale="log"),
    )

    def outside(key, h):
        return (
            -jnp.log10(h["rate"])
            - jnp.log10(1 - h["momentum"])
            + h["units"] / 4
            + jnp.log2(h["batch"])
            + h["decay"]
            - (h["inner"] - 0.5) ** 2
            - jnp.log(h["width"])
        )

    found = {}
    for name in space.names:
        # apart from the others, which would share the best trials with it
        result = found_by(outside, space.keep(name, "inner"), mode="max")
        found |= {edge.name: edge for edge in jt.analysis.edges(result, top=0.05)}
    assert {name: (edge.side, edge.suggestion) for name, edge in found.items()} == {
        "rate": ("low", 1e-5),
        "momentum": ("high", 0.9962),  # 1 - 0.01 * 50 ** -0.25
        "units": ("high", 24),
        "batch": ("high", 128),
        "decay": ("high", None),
        "width": ("low", None),
    }
    assert found["rate"].bound == 1e-4
    low = jt.Space(
        drop=jt.uniform(0.0, 0.5),
        momentum=jt.reverse_log_uniform(0.3, 0.99),
        batch=jt.power_of_two(1, 8),
        units=jt.integer(40, 80),
    )
    told = {}
    for name in low.names:
        result = found_by(lambda key, h, name=name: 1.0 * h[name], low.keep(name))
        told |= {edge.name: edge.suggestion for edge in jt.analysis.edges(result)}
    assert told == {"drop": None, "momentum": 0.0, "batch": None, "units": 30}
    assert found["rate"].share > 0.5
    assert jt.analysis.edges(found_by(known, SPACE.keep("big"))) == ()


SEARCHES = {
    "sobol": {"sampler": "sobol"},
    "gp": {"sampler": "gp"},
    "zoom": {"sampler": "sobol", "rounds": 3},
}


@pytest.mark.parametrize("sampler", SEARCHES)
def test_an_optimum_inside_is_no_edge_however_close_the_trials(sampler):
    space = jt.Space(x=jt.uniform(0.0, 1.0))
    told = {}
    for optimum in (-0.3, 0.0, 0.15, 0.25, 1.0):
        result = found_by(
            lambda key, h, at=optimum: (h["x"] - at) ** 2,
            space,
            trials=64,
            mode="min",
            **SEARCHES[sampler],
        )
        told[optimum] = [edge.side for edge in jt.analysis.edges(result)]
    assert told == {-0.3: ["low"], 0.0: ["low"], 0.15: [], 0.25: [], 1.0: ["high"]}


def test_four_trials_show_no_edge():
    space = jt.Space(x=jt.uniform(0.0, 1.0))
    result = found_by(lambda key, h: h["x"] * 0.0, space, trials=4)
    assert jt.analysis.edges(result) == ()


@pytest.mark.filterwarnings("ignore:this space has")
@pytest.mark.parametrize(
    ("dim", "suggestion"),
    [
        (jt.integer(2, 32), 1),
        (jt.integer(1, 8), None),
        (jt.integer(0, 8), None),
        (jt.integer(-4, 8), -7),
        (jt.integer(40, 80), 30),
        (jt.uniform(0.1, 1.0), 0.05),
        (jt.uniform(-1.0, 1.0), -1.5),
    ],
)
def test_a_range_of_positive_numbers_is_not_extended_to_zero(dim, suggestion):
    result = found_by(
        lambda key, h: -1.0 * h["x"], jt.Space(x=dim), trials=256, mode="max"
    )
    (edge,) = jt.analysis.edges(result)
    assert (edge.side, edge.suggestion) == ("low", suggestion)


def test_operations_are_counted_as_by_hand(small_space):
    x, y = digits(64)
    task = jt.classification(
        jt.models.MLP(classes=10, max_units=32, max_layers=1),
        train=(x, y),
        valid=(x, y),
        batch_size=16,
    )
    own = {"key": jax.random.key(0), "trials": 3, "seeds": 2}
    result = jt.search(task, small_space, epochs=4, **own)
    products = 2 * (64 * 32 + 32 * 10)  # two for each weight and example
    least = 3 * products * 64 * 4 * 6  # thrice, examples, epochs, lanes
    assert least < jt.analysis.operations(result) < 1.15 * least
    twice = jt.search(task, small_space, epochs=8, **own)
    assert jt.analysis.operations(twice) == 2 * jt.analysis.operations(result)


def test_a_stopped_search_does_less(halved, small_task, small_space):
    own = {
        "key": jax.random.key(0),
        "trials": 40,
        "rounds": 2,
        "epochs": 4,
        "sampler": "sobol",
    }
    whole = jt.search(small_task, small_space, seeds=2, metric="loss", **own)
    share = jt.analysis.operations(halved) / jt.analysis.operations(whole)
    assert share == pytest.approx(halved.cost.epochs / whole.cost.epochs)


def test_a_search_says_how_long_it_took():
    begin = time.perf_counter()
    own = {"key": jax.random.key(0), "trials": 4, "mode": "min"}
    found = jt.search(lambda key, h: h["x"], jt.Space(x=jt.uniform(0, 1)), **own)
    assert 0 < found.cost.seconds <= time.perf_counter() - begin
