"""zoom: which box it draws, what it never does."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt
from jaxtune import ranking

REFINERS = {
    "default": jt.zoom(),
    "eight": jt.zoom(top=8),
    "naive": jt.zoom(top=4, margin=0.0, floor=0.0),
    "none": jt.zoom(floor=1.0),
    "all": jt.zoom(top=1.0),
}


@pytest.fixture
def line():
    return jt.Space(x=jt.uniform(0.0, 10.0))


def column(*values):
    return np.asarray(values, np.float32)[:, None]


@pytest.mark.parametrize("name", REFINERS)
def test_contract(name):
    jt.testing.check_refiner(REFINERS[name])


def test_the_naive_box_is_the_smallest_and_largest_of_the_top(line):
    points = column(0.1, 0.4, 0.5, 0.6, 0.9)
    scores = np.float32([0, 3, 2, 1, 0])
    box = jt.zoom(top=3, margin=0.0, floor=0.0)(line, points, scores)
    np.testing.assert_allclose(box.bounds["x"], (4.0, 6.0), rtol=1e-6)


def test_margin_is_in_mean_spacings_and_floor_in_lengths(line):
    points = column(0.1, 0.4, 0.5, 0.6, 0.9)
    scores = np.float32([0, 3, 2, 1, 0])
    box = jt.zoom(top=3, margin=1.0, floor=0.0)(line, points, scores)
    np.testing.assert_allclose(box.bounds["x"], (3.0, 7.0), rtol=1e-6)
    box = jt.zoom(top=3, margin=0.0, floor=0.5)(line, points, scores)
    np.testing.assert_allclose(box.bounds["x"], (2.5, 7.5), rtol=1e-6)


def test_a_box_at_an_edge_moves_inwards_and_keeps_its_width(line):
    box = jt.zoom(top=2, floor=0.5)(line, column(0.0, 0.02, 0.9), np.float32([2, 1, 0]))
    np.testing.assert_allclose(box.bounds["x"], (0.0, 5.0), atol=1e-6)


def test_floor_one_is_plain_search(line):
    box = jt.zoom(floor=1.0)(line, column(0.2, 0.3, 0.9), np.float32([2, 1, 0]))
    assert box.bounds == line.bounds


def test_zoom_works_on_the_dimensions_own_scale():
    space = jt.Space(rate=jt.log_uniform(1e-4, 1.0))
    box = jt.zoom(top=2, margin=0.0, floor=0.0)(
        space, column(0.25, 0.5, 0.9), np.float32([2, 1, 0])
    )
    np.testing.assert_allclose(box.bounds["rate"], (1e-3, 1e-2), rtol=1e-5)


@pytest.mark.parametrize("failure", [np.nan, np.inf, -np.inf])
def test_failures_are_never_selected(line, failure):
    scores = np.float32([3, 2, failure])
    box = jt.zoom(top=3, margin=0.0, floor=0.0)(line, column(0.4, 0.6, 0.99), scores)
    np.testing.assert_allclose(box.bounds["x"], (4.0, 6.0), rtol=1e-6)


def test_ties_go_to_the_smaller_trial(line):
    points = column(0.2, 0.3, 0.8, 0.9)
    box = jt.zoom(top=2, margin=0.0, floor=0.0)(line, points, np.zeros(4, np.float32))
    np.testing.assert_allclose(box.bounds["x"], (2.0, 3.0), rtol=1e-6)


def test_integers_keep_every_value_of_the_top():
    space = jt.Space(
        k=jt.integer(0, 9),
        p=jt.power_of_two(1, 512),
        o=jt.ordinal("abcd"[i] for i in range(4)),
    )
    hparams = {
        "k": np.int32([3, 5, 9]),
        "p": np.int32([4, 16, 512]),
        "o": np.int32([1, 2, 0]),
    }
    points = space.encode(hparams)
    box = jt.zoom(top=2, margin=0.0, floor=0.0)(space, points, np.float32([2, 1, 0]))
    assert box.bounds == {"k": (3, 5), "p": (4, 16), "o": ("b", "c")}


def test_a_choice_of_the_last_round_is_dropped_by_its_absence_from_the_top():
    space = jt.Space(c=jt.choice(["a", "b", "c"]))
    index = np.asarray([0] * 14 + [1] * 14 + [2] * 2)
    points = space.encode({"c": index})
    scores = np.where(index == 0, 1.0, 0.0).astype(np.float32)
    zoom = jt.zoom(top=8, evidence=0.05, rounds="last")
    # b was tried 14 times of 30 and none is in the top 8; c only twice
    assert zoom(space, points, scores).choices["c"] == ("a", "c")
    only = space.restrict(c=["b"])
    again = zoom(only, only.encode({"c": np.ones(30, int)}), scores)
    assert again.choices["c"] == ("b",)


@pytest.mark.parametrize("seed", range(6))
def test_a_choice_is_dropped_by_the_rank_sum_test(seed):
    """SciPy's test of each choice against the others, shared among the choices."""
    from scipy.stats import mannwhitneyu

    random = np.random.default_rng(seed)
    space = jt.Space(c=jt.choice(list("abcde")))
    index = random.integers(0, 5, 60)
    scores = random.normal(size=60).astype(np.float32) - 0.5 * index
    scores[random.random(60) < 0.1] = np.nan  # failed: worse than any
    ranked = np.where(np.isnan(scores), -1e9, scores)
    best = np.argsort(-ranked)[:4]
    chances = [
        mannwhitneyu(
            ranked[index == c],
            ranked[index != c],
            alternative="less",
            method="asymptotic",
        ).pvalue
        for c in range(5)
    ]
    points = space.encode({"c": index})
    for evidence in (0.01, 0.1, 0.5, 1.0):
        box = jt.zoom(top=4, evidence=evidence)(space, points, scores)
        kept = [c for c in range(5) if 5 * chances[c] >= evidence or c in index[best]]
        assert box.choices["c"] == tuple("abcde"[c] for c in kept), evidence


def test_a_choice_of_which_too_few_were_tried_is_kept():
    space = jt.Space(c=jt.choice(["a", "b"]))
    index = np.asarray([0] * 30 + [1])
    scores = np.append(np.linspace(1, 2, 30), 0.0).astype(np.float32)
    box = jt.zoom(evidence=1.0)(space, space.encode({"c": index}), scores)
    assert box.choices["c"] == ("a", "b")


@pytest.mark.parametrize("seed", range(10))
def test_the_best_point_of_all_rounds_lies_in_the_box(seed):
    """Round after round, whatever the numbers, and whichever round it was of."""
    random = np.random.default_rng(seed)
    space, box = LARGE, LARGE
    numbers = {"floor": random.random() * 0.6, "margin": random.random()}
    numbers |= {"evidence": 1.0, "top": int(random.integers(2, 6))}
    zoom, hparams, scores = jt.zoom(**numbers), [], []
    for _ in range(5):
        points = random.random((20, space.dim), np.float32)
        hparams.append(jax.device_get(box.decode(points)))
        scores.append(random.normal(size=20).astype(np.float32))
        scores[-1][random.random(20) < 0.1] = np.nan
        known = {n: np.concatenate([h[n] for h in hparams]) for n in space.names}
        told = np.concatenate(scores)
        box = zoom(box, np.asarray(box.encode(known)), told)
        best = np.asarray(box.encode(known))[np.nanargmax(told)]
        assert ((best >= 0) & (best < 1)).all()  # NaN where its choice is gone


def test_points_outside_the_box_do_not_count():
    space = jt.Space(x=jt.uniform(0, 1), c=jt.choice(["a", "b", "c"]))
    random = np.random.default_rng(0)
    points = random.random((30, 2), np.float32)
    scores = random.normal(size=30).astype(np.float32)
    expected = jt.zoom()(space, points, scores)
    outside = points.copy()
    outside[:, 0] = np.where(np.arange(30) % 2, 1.5, outside[:, 0])
    outside[:, 1] = np.where(np.arange(30) % 2, outside[:, 1], np.nan)
    both = np.concatenate([outside, points]), np.concatenate([scores + 9, scores])
    # four of all 60, as of the 30
    chex.assert_trees_all_equal(jt.zoom()(space, *both), expected)


def test_a_refiner_gets_the_trials_of_all_rounds_if_it_says_so():
    """Of the last round alone otherwise, as the user's own ones always did."""
    space = jt.Space(x=jt.uniform(0, 1), y=jt.uniform(0, 1))
    seen = []

    def half(space, points, scores):
        seen.append((np.asarray(points), np.asarray(scores)))
        return jt.zoom()(space, points, scores)

    def search(**own):
        seen.clear()
        return jt.search(
            lambda key, h: (h["x"] - 0.3) ** 2 + h["y"],
            space,
            key=jax.random.key(0),
            trials=24,
            rounds=3,
            mode="min",
            sampler="sobol",
            **own,
        )

    search(refine=half)
    assert [len(points) for points, _ in seen] == [8, 8]
    half.rounds = "all"
    found = search(refine=half)
    assert [len(points) for points, _ in seen] == [8, 16]
    points, scores = seen[1]
    np.testing.assert_array_equal(scores, -found.trials["score"][:16])
    first = found.spaces[1].encode({n: found.trials[n][:8] for n in space.names})
    np.testing.assert_array_equal(points[:8], first)
    assert ((points < 0) | (points >= 1)).any()
    # what zoom makes of it, the search makes of zoom
    again = search(refine=jt.zoom())
    np.testing.assert_array_equal(again.trials.points, found.trials.points)


def test_too_few_finite_scores_are_said(line):
    with pytest.raises(ValueError, match="at least two finite scores, got 1 among 3"):
        jt.zoom()(line, column(0.1, 0.2, 0.3), np.float32([np.nan, 1, np.inf]))
    with pytest.raises(ValueError, match="do not match"):
        jt.zoom()(line, column(0.1, 0.2, 0.3), np.float32([1, 2]))


@pytest.mark.parametrize(
    "bad",
    [
        {"top": 1},
        {"top": 0.0},
        {"top": 1.5},
        {"top": True},
        {"margin": -1.0},
        {"margin": np.nan},
        {"floor": 1.1},
        {"evidence": -0.1},
    ],
)
def test_bad_arguments_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        jt.zoom(**bad)


@pytest.mark.search
def test_zoom_finds_a_shifted_optimum_better_than_plain_search():
    """Four rounds on a quadratic with unequal weights, over 40 keys (Wilcoxon)."""
    from scipy.stats import wilcoxon

    space = jt.Space(**{f"x{i}": jt.uniform(0, 1) for i in range(4)})
    target, weights = jnp.asarray([0.2, 0.7, 0.4, 0.9]), jnp.asarray([4.0, 2, 1, 0.5])

    def objective(key, hparams):
        x = jnp.stack([hparams[f"x{i}"] for i in range(4)])
        return (weights * (x - target) ** 2).sum()

    def regret(refine, seed):
        found = jt.search(
            objective,
            space,
            key=jax.random.key(seed),
            trials=64,
            rounds=4,
            mode="min",
            refine=refine,
            sampler=jt.samplers.uniform(),
        )
        return found.best.score

    zoomed = [regret(REFINERS["default"], seed) for seed in range(40)]
    plain = [regret(REFINERS["none"], seed) for seed in range(40)]
    assert wilcoxon(zoomed, plain, alternative="less").pvalue < 0.01


def test_ranking_puts_failures_last_in_both_directions():
    scores = np.float32([1.0, np.nan, 3.0, np.inf, 2.0, -np.inf])
    for mode, best in (("max", [2, 4, 0]), ("min", [0, 4, 2])):
        order = ranking.order(ranking.orient(scores, mode))
        assert order.tolist() == [*best, 1, 3, 5]
        failed = np.isnan(np.asarray(ranking.orient(scores, mode)))
        assert failed.tolist() == [False, True, False, True, False, True]
    with pytest.raises(ValueError, match="'maximise'"):
        ranking.orient(scores, "maximise")


LARGE = jt.Space(
    x=jt.uniform(0.0, 10.0),
    rate=jt.log_uniform(1e-6, 1.0),
    momentum=jt.reverse_log_uniform(0.5, 0.999),
    units=jt.integer(1, 256, scale="log"),
    batch=jt.power_of_two(4, 512),
    decay=jt.ordinal([0.0, 0.1, 0.5, 1.0, 2.0]),
    kind=jt.choice(["a", "b", "c"]),
)
SMALL = LARGE.restrict(
    x=(4.0, 6.0),
    rate=(1e-3, 1e-2),
    momentum=(0.9, 0.99),
    units=(16, 64),
    batch=(32, 64),
    decay=(0.1, 0.5),
    kind=["a", "b"],
)


def test_a_box_may_grow_past_the_edge_that_its_best_points_crowd():
    points = np.full((5, LARGE.dim), 0.5, np.float32)
    points[:3, :5] = np.float32([0.0, 0.05, 0.1])[:, None]
    points[:3, 0] = 1 - points[:3, 0] - 1e-3
    scores = np.float32([3, 2, 1, 0, 0])
    shrunk = jt.zoom(top=3)(SMALL, points, scores)
    grown = jt.zoom(top=3, within=LARGE)(SMALL, points, scores)
    # a side's length past the mean of the best, which lies at 0.05, and 0.949 for x,
    # or the larger space's edge
    expected = {
        "x": (shrunk.bounds["x"][0], 4 + 2 * 1.949),
        "rate": (10**-3.95, shrunk.bounds["rate"][1]),
        "momentum": (0.5, shrunk.bounds["momentum"][1]),
        "units": (np.floor(16 * (65 / 16) ** -0.95), shrunk.bounds["units"][1]),
        "batch": (8, 32),
        "decay": shrunk.bounds["decay"],
    }
    for name, bounds in expected.items():
        np.testing.assert_allclose(grown.bounds[name], bounds, rtol=1e-4, err_msg=name)
    assert grown.choices["kind"] == ("a", "b")  # a dropped value does not come back


@pytest.mark.parametrize("seed", range(20))
def test_a_box_grows_outwards_only_and_never_past_the_larger_space(seed):
    random = np.random.default_rng(seed)
    points = random.random((12, LARGE.dim), np.float32)
    scores = random.normal(size=12).astype(np.float32)
    own = {"top": int(random.integers(2, 6)), "floor": float(random.random())}
    for box in (SMALL, LARGE, jt.zoom(**own)(LARGE, points, scores)):
        shrunk = jt.zoom(**own)(box, points, scores)
        grown = jt.zoom(**own, within=LARGE)(box, points, scores)
        again = jt.zoom(**own, within=box)(box, points, scores)
        assert again.bounds == shrunk.bounds  # nowhere to grow: to the bit
        best = points[ranking.order(scores)[: own["top"]]]
        for column, name in enumerate(LARGE.searched[:-1]):
            (low, high), (left, right) = shrunk.bounds[name], grown.bounds[name]
            assert LARGE.bounds[name][0] <= left <= low
            assert high <= right <= LARGE.bounds[name][1]
            if (best[:, column] >= 0.25).mean() >= 0.5:
                assert left == low
            if (best[:, column] < 0.75).mean() >= 0.5:
                assert right == high


def test_best_points_at_an_edge_without_room_shrink_the_box_as_ever():
    points = np.full((6, LARGE.dim), 0.9, np.float32)
    points[:3] = np.float32([0.1, 0.12, 0.14])[:, None]
    scores = np.float32([3, 2, 1, 0, 0, 0])
    for within in (None, LARGE):
        box = jt.zoom(top=3, floor=0.2, within=within)(LARGE, points, scores)
        np.testing.assert_allclose(box.bounds["x"], (0.2, 2.2), rtol=1e-5)
        assert box.bounds["rate"][0] > 1.1e-6


def test_growing_over_the_whole_range_of_integers_does_not_overflow():
    wide = jt.Space(units=jt.integer(1, 2**16, scale="log"))
    box = wide.restrict(units=(1, 2**16 - 1))
    points = np.float32([0.99, 0.98, 0.97, 0.1])[:, None]
    grown = jt.zoom(top=3, within=wide)(box, points, np.float32([3, 2, 1, 0]))
    assert grown.bounds["units"][1] == 2**16


def valley(key, hparams):
    return (jnp.log10(hparams["rate"]) + 5) ** 2 + (hparams["x"] - 9) ** 2


@pytest.mark.search
def test_a_search_that_began_in_the_wrong_box_finds_its_way_out():
    space = LARGE.keep("rate", "x")
    start = space.restrict(rate=(1e-2, 1.0), x=(0.0, 4.0))
    found = {}
    for name, within in (("shrinks", None), ("grows", space)):
        result = jt.search(
            valley,
            space,
            key=jax.random.key(0),
            trials=160,
            rounds=5,
            mode="min",
            start=start,
            refine=jt.zoom(within=within),
            sampler="sobol",
        )
        assert result.spaces[0].bounds == start.bounds
        found[name] = result.best.score
    assert found["shrinks"] > 25  # the corner of the first box is at 3 ** 2 + 5 ** 2
    assert found["grows"] < 4


@pytest.mark.search
def test_a_box_far_from_the_optimum_moves_there_whatever_the_key():
    """In two dimensions, 64 trials; the best four would leave it behind (0.05)."""
    space = jt.Space(x=jt.uniform(0, 1), y=jt.uniform(0, 1))
    found = [
        jt.search(
            lambda key, h: (h["x"] - 0.15) ** 2 + (h["y"] - 0.9) ** 2,
            space,
            key=jax.random.key(seed),
            trials=64,
            rounds=5,
            mode="min",
            sampler="sobol",
            start=space.restrict(x=(0.4, 0.7), y=(0.4, 0.7)),
            refine=jt.zoom(within=space),
        ).best.score
        for seed in range(5)
    ]
    assert np.median(found) < 0.01, found


@pytest.mark.search
def test_tiers_open_in_the_box_that_the_search_begins_in():
    space = jt.Space(
        rate=jt.log_uniform(1e-6, 1.0, tier=1, default=1e-3),
        x=jt.uniform(0.0, 10.0, tier=2, default=9.5),
    )
    start = space.restrict(rate=(1e-2, 1.0), x=(1.0, 4.0))
    result = jt.search(
        valley,
        jt.tiered(space, 40)._replace(start=start),
        key=jax.random.key(0),
        mode="min",
        refine=jt.zoom(floor=1.0, within=space),
    )
    first, second = result.spaces
    assert first.bounds == {"rate": (1e-2, 1.0), "x": (9.5, 9.5)}
    assert second.bounds["x"] == (1.0, 4.0)
    assert second.bounds["rate"][0] < 1e-2


NOISY = LARGE.keep("x", "rate", "kind")
SEARCHES = {
    "sobol": {"sampler": "sobol"},
    "uniform": {"sampler": "uniform"},
    "model": {},
    "seeds": {"sampler": "sobol", "seeds": 3},
    "naive": {"sampler": "sobol", "refine": REFINERS["naive"]},
    "grows": {"sampler": "sobol", "refine": jt.zoom(within=NOISY)},
}


@pytest.mark.search
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_never_leaves_its_best_trial_behind(name, seed):
    """The best one of all rounds until then lies in the next box."""

    def objective(key, h):
        far = (jnp.log10(h["rate"]) + 3) ** 2 + 0.1 * (h["x"] - 7) ** 2
        return far + jax.random.normal(key) + 0.3 * h["kind"].index

    found = jt.search(
        objective,
        NOISY,
        key=jax.random.key(seed),
        trials=60,
        rounds=5,
        mode="min",
        verbose=0,
        **SEARCHES[name],
    )
    rounds, hparams = found.trials["round"], found.trials.decoded
    for number, box in enumerate(found.spaces[1:], 1):
        best = np.nanargmax(np.where(rounds < number, found.standing, np.nan))
        row = {n: hparams[n][best : best + 1] for n in NOISY.names}
        point = np.asarray(box.encode(row))
        assert ((point >= 0) & (point < 1)).all()  # NaN where its choice is gone
