"""The Gaussian process and its batches against float64, SciPy and scikit-learn."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compilations
from scipy.integrate import quad
from scipy.stats import norm, rankdata
from sklearn.gaussian_process.kernels import Matern

import jaxtune as jt
from jaxtune.samplers import geometry, history
from jaxtune.samplers.gp import (
    acquisition,
    candidates,
    model,
    paths,
    suggest,
)
from jaxtune.samplers.warp import warped
from jaxtune.threads import blas, one_thread

LENGTHS, SIGNAL, NOISE = [0.2, 0.5, 1.5], 1.3, 0.01
HYPERS = model.Hypers(*map(jnp.log, map(jnp.asarray, (LENGTHS, SIGNAL, NOISE))))
OWNERS = np.arange(3)


def data(rows=20, size=32, seed=0, noise=0.0):
    """Some points of a smooth function in a buffer of ``size`` rows."""
    rng = np.random.default_rng(seed)
    x = np.zeros((size, 3), np.float32)
    x[:rows] = rng.random((rows, 3))
    y = np.where(np.arange(size) < rows, np.sin(5 * x[:, 0]) + x[:, 1], 0.0)
    variance = np.full(size, noise, np.float32) * (np.arange(size) < rows)
    known = np.arange(size) < rows
    return model.Data(*map(jnp.asarray, (x, y.astype(np.float32), variance, known)))


def exact(told, z=None):
    """Covariance of the known rows, mean and covariance at ``z``, in float64."""
    kernel = SIGNAL * Matern(LENGTHS, nu=2.5)
    known = np.asarray(told.known)
    x, y = (np.asarray(part, np.float64)[known] for part in (told.x, told.y))
    own = NOISE + SIGNAL * model.JITTER + np.asarray(told.variance)[known]
    inner = kernel(x) + np.diag(own)
    if z is None:
        return inner, y
    z = np.asarray(z, np.float64)
    cross = kernel(x, z)
    mean = cross.T @ np.linalg.solve(inner, y)
    return mean, kernel(z) - cross.T @ np.linalg.solve(inner, cross)


def test_the_kernel_is_scikit_learns():
    x, z = np.random.default_rng(0).random((2, 9, 3))
    ours = model.matern(*map(jnp.float32, (x, z, np.array([0.2, 0.5, 1.5]))))
    np.testing.assert_allclose(ours, Matern([0.2, 0.5, 1.5], nu=2.5)(x, z), atol=1e-6)


def test_the_kernel_of_choices_counts_those_that_differ():
    """Against loops over pairs; and a covariance of all configurations exists."""
    space = jt.Space(c=jt.choice(list("abc")), d=jt.choice([1, 2]), k=jt.integer(1, 4))
    grid = jt.samplers.grid(4)
    points = grid.ask(grid.init(jax.random.key(0), space), 24)[1]
    x = geometry.features(space, geometry.snapped(space, points))
    lengths = np.array([0.6, 2.0, 0.3])
    scales = jnp.float32(lengths[geometry.owners(space)])
    found = np.asarray(model.matern(x, x, scales))
    values = jax.device_get(space.decode(points))
    for i, row in enumerate(found):
        for j, correlation in enumerate(row):
            apart = [float(values[n][i] != values[n][j]) for n in "cd"]
            apart.append((values["k"][i] - values["k"][j]) / 4)
            r = np.sqrt(5 * ((np.array(apart) / lengths) ** 2).sum())
            assert correlation == pytest.approx(
                (1 + r + r**2 / 3) * np.exp(-r), abs=1e-5
            )
    assert np.linalg.eigvalsh(found.astype(np.float64)).min() > 1e-4


def test_what_does_not_matter_is_nothing_to_the_process():
    space = jt.Space(
        kind=jt.choice(["a", "b", "c"]),
        rate=jt.when(jt.uniform(0.0, 1.0), kind="b"),
        part=jt.when(jt.choice(["x", "y"]), kind=["b", "c"]),
    )
    points = np.random.default_rng(0).random((24, 3), dtype=np.float32)
    active = space.active(space.decode(points))
    others = points.copy()
    for column, name in enumerate(space.searched):
        others[~np.asarray(active[name]), column] = 0.013
    assert (others != points).any(axis=1).sum() > 8
    rows = np.arange(24)
    y, known = jnp.float32(np.sin(rows)), jnp.ones(24, bool)

    def means(told, at):
        x = geometry.features(space, geometry.snapped(space, jnp.asarray(told)))
        data = model.Data(x, y, jnp.zeros(24), known)
        process = model.posterior(data, HYPERS, geometry.owners(space))
        z = geometry.features(space, geometry.snapped(space, jnp.asarray(at)))
        return np.asarray(model.predicted(process, z)[0])

    np.testing.assert_array_equal(means(points, points), means(others, points))
    np.testing.assert_array_equal(means(points, points), means(points, others))


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_predictions_are_those_of_float64_whatever_the_padding(size, noise):
    told = data(size=size, noise=noise)
    z = np.random.default_rng(1).random((40, 3)).astype(np.float32)
    mean, variance, _ = model.predicted(model.posterior(told, HYPERS, OWNERS), z)
    expected, covariance = exact(told, z)
    np.testing.assert_allclose(mean, expected, atol=2e-4)
    np.testing.assert_allclose(variance, np.diag(covariance), atol=2e-4)


def test_the_gradient_is_that_of_float64():
    told = data()
    inner, y = exact(told)
    padded = np.eye(32)
    padded[:20, :20] = inner
    slope = jax.grad(model._misfit)(jnp.float32(padded), told.y)
    weights = np.linalg.solve(inner, y)
    expected = (np.linalg.inv(inner) - np.outer(weights, weights)) / 2
    np.testing.assert_allclose(slope[:20, :20], expected, rtol=2e-3, atol=2e-2)
    value = model._misfit(jnp.float32(padded), told.y)
    plain = y @ weights / 2 + np.linalg.slogdet(inner)[1] / 2
    assert float(value) == pytest.approx(plain, rel=1e-3)


def test_fitting_finds_length_scales_and_noise():
    """Of functions drawn from a process with known ones, over several draws."""
    rng, lengths, noises = np.random.default_rng(0), [], []
    for _ in range(6):
        x = rng.random((64, 2))
        kernel = Matern([0.3, 2.0], nu=2.5)(x) + 0.05 * np.eye(64)
        y = np.linalg.cholesky(kernel) @ rng.normal(size=64)
        told = map(jnp.float32, (x, (y - y.mean()) / y.std(), np.zeros(64)))
        found = model.fitted(model.Data(*told, jnp.ones(64, bool)), np.arange(2))
        lengths.append(np.exp(found.hypers.lengths))
        noises.append(float(np.exp(found.hypers.noise)))
    first, second = np.median(lengths, axis=0)
    assert 0.15 < first < 0.6
    assert second > 2 * first
    assert 0.005 < np.median(noises) < 0.15


def test_padding_changes_no_fit():
    short, long = (model.fitted(data(size=size), OWNERS) for size in (32, 64))
    for one, other in zip(short.hypers, long.hypers, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


def test_equal_points_do_not_break_a_factorisation():
    """Sixty observations of one point without noise, and what they are worth."""
    told = data(rows=60, size=64)
    told = told._replace(x=jnp.full((64, 3), 0.5), y=jnp.where(told.known, 1.0, 0.0))
    silent = HYPERS._replace(noise=jnp.float32(-11.0))
    process = model.posterior(told, silent, OWNERS)
    assert np.isfinite(process.factor).all()
    mean = model.predicted(process, jnp.full((1, 3), 0.5))[0]
    assert float(mean[0]) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("u", [-30.0, -8.0, -4.1, -3.9, -1.0, 0.0, 2.0, 9.0])
def test_log_improvement_is_the_logarithm_of_the_integral(u):
    """At one fantasy, mean ``u`` deviations above the best; far below by the series."""
    deviation = 0.7
    found = acquisition.log_improvement(
        jnp.full((1, 1), u * deviation), jnp.full(1, deviation**2), jnp.zeros(1)
    )[0]
    if u > -6:
        expected = np.log(u * norm.cdf(u) + norm.pdf(u))
    else:  # by substitution, since the two terms cancel in float64 as well
        scale = quad(lambda t: t / abs(u) * np.exp(-t - t**2 / (2 * u**2)), 0, 60)[0]
        expected = norm.logpdf(u) + np.log(scale / abs(u))
    assert float(found) == pytest.approx(expected + np.log(deviation), abs=2e-3)


def test_a_batch_is_that_of_a_process_told_its_fantasies():
    """Every pick against a new float64 process with the earlier picks in its data."""
    told, n = data(), 5
    process = model.posterior(told, HYPERS, OWNERS)
    x = np.random.default_rng(2).random((60, 3)).astype(np.float32)
    x = jnp.asarray(x)
    prediction = model.predicted(process, x)
    key, best = jax.random.key(3), jnp.float32(0.8)
    none = jnp.zeros(60)
    picked = np.asarray(
        acquisition.greedy(process, x, prediction, best, none, 0, key, n, n)
    )
    mean, covariance = exact(told, x)
    means = np.tile(mean, (acquisition.FANTASIES, 1))
    top, left = np.full(acquisition.FANTASIES, 0.8), np.ones(60, bool)
    for j in range(n):
        deviation = np.sqrt(np.diag(covariance))
        u = (means - top[:, None]) / deviation
        gain = (deviation * (u * norm.cdf(u) + norm.pdf(u))).mean(0)
        assert gain[picked[j]] > 0.98 * gain[left].max()
        draws = np.asarray(
            jax.random.normal(jax.random.fold_in(key, j), (acquisition.FANTASIES,))
        )
        column = covariance[picked[j]]
        total = column[picked[j]] + 0.01
        means = means + draws[:, None] * column / np.sqrt(total)
        covariance = covariance - np.outer(column, column) / total
        top = np.maximum(top, means[:, picked[j]])
        left[picked[j]] = False
    assert len(set(picked.tolist())) == n


def test_thompson_picks_as_often_as_a_candidate_is_the_best():
    told = data()
    process = model.posterior(told, HYPERS, OWNERS)
    x = np.random.default_rng(2).random((6, 3)).astype(np.float32)
    x = jnp.asarray(x)
    mean, _, explained = model.predicted(process, x)
    draw = jax.vmap(
        lambda k: acquisition.thompson(
            process, x, (mean, explained), jnp.zeros(6), k[None]
        )[0]
    )
    picked = np.bincount(draw(jax.random.split(jax.random.key(0), 4000)), minlength=6)
    expected, covariance = exact(told, x)
    draws = np.random.default_rng(0).multivariate_normal(expected, covariance, 20_000)
    shares = np.bincount(draws.argmax(1), minlength=6) / 20_000
    np.testing.assert_allclose(picked / 4000, shares, atol=0.03)


def test_the_reluctant_are_picked_last():
    told = data()
    process = model.posterior(told, HYPERS, OWNERS)
    x = np.random.default_rng(2).random((8, 3)).astype(np.float32)
    x = jnp.asarray(x)
    prediction = model.predicted(process, x)
    reluctance = jnp.asarray([2.0, 2, 2, 1, 1, 0, 0, 0])
    # however little they promise
    told = told._replace(y=told.y + 100 * (told.x[:, 0] > 0.5))
    process = model.posterior(told, HYPERS, OWNERS)
    prediction = model.predicted(process, x)
    own = (jnp.float32(0), reluctance, 0, jax.random.key(0), 8, 8)
    picked = np.asarray(acquisition.greedy(process, x, prediction, *own))
    assert [set(picked[:3]), set(picked[3:5])] == [{5, 6, 7}, {3, 4}]


def test_repeated_rows_are_marked_once():
    rows = jnp.asarray([[1.0, 2], [2, 1], [1, 2], [0, 0], [2, 1], [1, 2]])
    expected = [False, False, True, False, True, True]
    assert suggest._repeated(rows).tolist() == expected


def test_a_long_history_is_seen_by_its_better_half_and_its_end():
    y = jnp.asarray([9.0, 0, 0, 8, 0, 0, 7, 1, 2, 0, 0, 0])
    known = jnp.arange(12) < 10
    kept = suggest._kept(known, y, 6).tolist()
    assert kept == [0, 3, 6, 7, 8, 9]


SPACE = jt.Space(c=jt.choice(["a", "b", "c"]), k=jt.integer(1, 4), x=jt.uniform(0, 1))


def test_equal_configurations_are_one_point():
    points = np.random.default_rng(0).random((200, 3)).astype(np.float32)
    hparams = SPACE.decode(points)
    cells = np.asarray(geometry.features(SPACE, geometry.snapped(SPACE, points)))
    distance = ((cells[:, None] - cells[None]) ** 2).sum(-1)
    c, k, x = (np.asarray(hparams[name]) for name in ("c", "k", "x"))
    expected = (
        (c[:, None] != c[None]) * 1.0
        + ((k[:, None] - k[None]) / 4) ** 2
        + (x[:, None] - x[None]) ** 2
    )
    np.testing.assert_allclose(distance, expected, atol=1e-5)


def test_cells_are_those_of_decoding_and_encoding():
    """Dimensions of one kind are snapped together, and each lies where it did."""
    act = jt.choice(["a", "b", "c"])
    space = jt.Space(
        rate=jt.log_uniform(1e-4, 1.0),
        momentum=jt.reverse_log_uniform(0.0, 0.999),
        x=jt.uniform(-3.0, 0.99),
        size=jt.power_of_two(16, 256),
        units=jt.integer(8, 256, scale="log"),
        layers=jt.integer(1, 4),
        act=act,
        ordinal=jt.ordinal([1, 2, 5, 10]),
        named=jt.ordinal(["x", "y"]),
        own=jt.when(jt.uniform(0.0, 1.0), act="b"),
        below=jt.when(jt.integer(1, 9), act=["a", "b"], named="y"),
        fixed=jt.fixed(3),
    )
    below_one = np.nextafter(np.float32(1), np.float32(0))
    points = np.random.default_rng(0).random((4000, space.dim)).astype(np.float32)
    points[:2] = [[0.0], [below_one]]
    smaller = space.restrict(act=["a", "c"], rate=(1e-3, 1e-2), units=(9, 30))
    for box in (space, smaller, space.restrict(act=["b"])):
        found = jax.jit(geometry.snapped)(box, jnp.asarray(points))
        np.testing.assert_array_equal(found, box.encode(box.decode(points)))


def test_what_is_outside_stays_and_a_lost_choice_is_equally_far_from_all():
    points = jnp.asarray([[jnp.nan, 0.1, 1.7], [0.1, -0.3, 0.5], [0.5, 0.1, 0.5]])
    cells = geometry.snapped(SPACE, points)
    assert np.isnan(cells[0, 0])
    assert cells[0, 2] == pytest.approx(1.7)
    assert cells[1, 1] == pytest.approx(-0.3)
    known = geometry.features(
        SPACE, jnp.asarray([[u, 0.1, 1.7] for u in (0.1, 0.5, 0.9)])
    )
    lost = geometry.features(SPACE, cells[:1])
    distance = ((known - lost)[:, :3] ** 2).sum(1)
    np.testing.assert_allclose(distance, 0.5)
    assert np.isfinite(lost).all()


def test_cells_are_as_wide_as_there_are_values():
    np.testing.assert_allclose(geometry.cell_widths(SPACE), [1 / 3, 1 / 4, 0])
    fewer = SPACE.restrict(c=["a", "b"], k=(2, 3))
    np.testing.assert_allclose(geometry.cell_widths(fewer), [1 / 2, 1 / 2, 0])


@pytest.mark.parametrize("widest", [0.3, 0.02])
def test_clouds_stay_in_their_box_and_near_their_centres(widest):
    box = candidates.Box(
        jnp.asarray([0.0, 0.25, 0.4]), jnp.asarray([0.999, 0.999, 0.6])
    )
    centres = jnp.asarray([[0.1, 0.9, 0.5], [0.9, 0.4, 0.41]])
    own = (jax.random.key(0), SPACE, box, centres, 256, widest)
    cloud = np.asarray(geometry.snapped(SPACE, candidates.clouds(*own)))
    cloud = cloud.reshape(2, 256, 3)[:, 7:].reshape(-1, 3)  # the first are neighbours
    assert ((cloud[:, 2] > 0.39999) & (cloud[:, 2] < 0.60001)).all()
    step = np.abs(cloud[:249, 2] - 0.5)
    assert step.max() <= 0.1 + 1e-5
    assert 0 < np.median(step[step > 1e-5]) < widest
    # a choice that is gone is none of the candidates
    lost = centres.at[0, 0].set(jnp.nan)
    own = (jax.random.key(0), SPACE, box, lost, 256, widest)
    assert np.isfinite(candidates.clouds(*own)).all()
    # discrete coordinates do move, and most points keep some coordinate
    assert len(np.unique(cloud[:249, 0].round(3))) == 3
    assert len(np.unique(cloud[:249, 1].round(3))) >= 2


def test_clouds_have_all_points_one_step_away():
    centre = SPACE.encode({"c": jnp.int32([1]), "k": jnp.int32([4]), "x": [0.3]})
    own = (jax.random.key(0), SPACE, candidates.unit_cube(3))
    # as many as there are, so that no other point is drawn
    found = candidates.clouds(*own, jnp.concatenate([centre, centre]), 14, 0.1)
    hparams = jax.device_get(SPACE.decode(np.asarray(found).reshape(2, 14, 3)[0, :7]))
    near = {(int(c), int(k)) for c, k in zip(hparams["c"], hparams["k"], strict=True)}
    # the steps above the largest value are reflected
    assert near == {(0, 4), (1, 4), (2, 4), (1, 2), (1, 3)}
    np.testing.assert_allclose(hparams["x"], 0.3, atol=1e-5)
    fewer = SPACE.restrict(c=["b", "c"])
    lost = centre.at[0, 0].set(jnp.nan)
    found = candidates.clouds(own[0], fewer, own[2], lost, 14, 0.1)[:3]
    assert set(np.asarray(fewer.decode(np.asarray(found))["c"]).tolist()) == {1, 2}


def told_history(scores, chunks=1):
    known = history.empty_history(2)
    for rows in np.array_split(np.arange(len(scores)), chunks):
        points = np.full((len(rows), 2), 0.5)
        known = history.extended(known, points, np.asarray(scores)[rows])
    return known


def test_history_never_drops_a_row():
    rng = np.random.default_rng(0)
    points, scores = rng.random((300, 2), dtype=np.float32), rng.random(300, np.float32)
    known, begin, sizes = history.empty_history(2), 0, set()
    for count in (1, 30, 1, 1, 7, 100, 160):
        rows = slice(begin, begin + count)
        known = history.extended(known, points[rows], scores[rows])
        begin += count
        sizes.add(known.scores.shape[0])
        np.testing.assert_array_equal(known.points[:begin], points[:begin])
        np.testing.assert_array_equal(known.scores[:begin], scores[:begin])
        assert known.known.sum() == known.trials == begin
    assert sizes == {128, 256, 512}
    assert np.bincount(known.batch[:300]).tolist() == [1, 30, 1, 1, 7, 100, 160]


def test_the_spread_of_seeds_is_drawn_towards_the_usual_one():
    scores = np.array([[1.0, 3.0], [2.0, 2.0], [0.0, 4.0], [1.0, np.nan]])
    known = told_history(scores)
    np.testing.assert_allclose(known.scores[:4], [2, 2, 2, np.nan])
    # sample variances 2, 0, 8 and their median 2: (v + 2 * 2) / 3, halved for the mean
    np.testing.assert_allclose(known.variance[:4], [1.0, 2 / 3, 2.0, 0.0], rtol=1e-6)


def test_warping_keeps_the_order_and_the_distances_of_the_better_half():
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(size=40), [np.nan, -1e30, np.inf, -5.0])
    y, _ = warped(told_history(scores, 3))
    y = np.asarray(y)
    assert (y[44:] == 0).all()
    y = y[:44]
    assert y.mean() == pytest.approx(0, abs=1e-5)
    assert y.std() == pytest.approx(1, abs=1e-5)
    fine = np.isfinite(scores)
    np.testing.assert_array_equal(rankdata(y[fine]), rankdata(scores[fine]))
    assert y[40] == y[42] == y.min()
    best = np.argsort(-np.where(fine, scores, -np.inf))[:20]
    slope = np.diff(y[best]) / np.diff(scores[best])
    np.testing.assert_allclose(slope, slope[0], rtol=1e-2)


@pytest.mark.parametrize(
    "scores", [[3.0, 3, 3, 3], [np.nan] * 4, [1.0, np.nan, np.nan, 2]]
)
def test_warping_bears_ties_and_failures(scores):
    y, variance = warped(told_history(scores))
    assert np.isfinite(y).all()
    assert np.isfinite(variance).all()
    fine = np.isfinite(scores)
    if fine.any() and not fine.all():
        assert y[:4][fine].min() > y[:4][~fine].max()


def test_candidates_are_those_of_a_loop_written_out():
    """Each cloud around the best of all before it, the first around the best trials."""
    told = data()
    process = model.posterior(told, HYPERS, OWNERS)
    space = jt.Space(**{name: jt.uniform(0.0, 1.0) for name in "abc"})
    box = candidates.Box(jnp.full(3, 0.1), jnp.full(3, 0.8))
    key, best = jax.random.key(5), jnp.float32(0.4)
    means = jnp.where(told.known, told.y, -jnp.inf)
    fit = suggest.Fit(process, told.x, told.x, means, best, box)
    out = jnp.asarray([[0.2, 0.4, 0.6], [0.5, 0.5, 0.5]])
    found = jax.jit(suggest._gathered)(fit, space, key, out)

    @jax.jit
    def promise(points):
        mean, variance, _ = model.predicted(process, points)
        return acquisition.log_improvement(mean[None], variance, best[None])

    def cloud(i, box, centres, widest, anew=False):
        own = (jax.random.fold_in(key, i), space, box, centres, suggest.CLOUD, widest)
        return geometry.snapped(space, candidates.clouds(*own, anew))

    none, cube = jnp.zeros((suggest.LEADERS, 3)), candidates.unit_cube(3)
    elsewhere = cloud(0, cube, none, 0.0, True).at[:2].set(out)
    inside = jnp.concatenate([cloud(i, box, none, 0.0, True) for i in (1, 2)])
    leaders = told.x[jnp.argsort(-means)[: suggest.LEADERS]]
    for i, widest in enumerate(suggest.CLOUDS, 3):
        inside = jnp.concatenate([inside, cloud(i, box, leaders, widest)])
        leaders = inside[jnp.argsort(-promise(inside))[: suggest.LEADERS]]
    expected = jnp.concatenate([elsewhere, inside])
    assert found.points.shape == expected.shape == (6 * suggest.GROUP, 3)
    same = (np.abs(found.points - expected) < 1e-6).all(axis=1)
    # rounding may exchange two leaders whose promise is nearly the same
    assert same[: 4 * suggest.GROUP].all()
    assert same.mean() > 0.9
    rest = np.asarray(found.reluctance)
    assert (rest[:2] == acquisition.NEVER).all()
    # where no coordinate moves, a candidate is a trial
    assert (rest[suggest.GROUP :] == 0).mean() > 0.9
    assert (rest[2 : suggest.GROUP] > 0).any()
    for one, other in zip(
        found.prediction, model.predicted(process, found.points), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("out", [0, 3])
def test_empty_rows_change_no_pick(out):
    """The same picks in programs of the exact size and of larger ones."""
    told, n = data(), 4
    process = model.posterior(told, HYPERS, OWNERS)
    x = jnp.asarray(np.random.default_rng(2).random((60, 3)).astype(np.float32))
    prediction = model.predicted(process, x)
    never = jnp.where(jnp.arange(60) < out, acquisition.NEVER, 0.0)
    own = (process, x, prediction, jnp.float32(0.8), never, out, jax.random.key(3))
    whole = acquisition.greedy(*own[:5], 0, own[6], out + n, out + n)
    exact, padded = (acquisition.greedy(*own, n, size)[:n] for size in (out + n, 32))
    np.testing.assert_array_equal(padded, exact)
    if not out:
        np.testing.assert_array_equal(padded, whole)
    assert not set(np.asarray(padded).tolist()) & set(range(out))


# the newest versions compile a copy for every shape and type that comes from the host
COPIES = 9 if jax.__version_info__ >= (0, 11) else 0


def test_a_batch_is_the_same_traced_or_in_two_programs():
    """The second program is compiled in a thread, or found compiled."""
    sampler = jt.samplers.gaussian_process(initial=4)
    state = sampler.init(jax.random.key(0), SPACE)
    state, points = sampler.ask(state, 9)
    state = sampler.tell(state, points, np.arange(9.0))
    whole = jax.jit(sampler.ask, static_argnums=1)(state, 7)[1]
    found = sampler.ask(state, 7)[1]
    np.testing.assert_allclose(found, whole, atol=1e-6)
    with compilations() as compiled:
        np.testing.assert_array_equal(sampler.ask(state, 7)[1], found)
        after, some = sampler.ask(state, 3)
        rest = sampler.ask(after, 4)[1]
    assert len(compiled) <= COPIES
    np.testing.assert_array_equal(np.concatenate([some, rest]), found)


def test_functions_drawn_are_those_of_the_process():
    """Mean and covariance of thousands, at common points and at points of their own."""
    told = data(noise=0.01)
    process = model.posterior(told, HYPERS, OWNERS)
    x = jnp.asarray(np.random.default_rng(2).random((5, 3)).astype(np.float32))
    means, covariances = [], []
    for key in range(8):  # the waves of one key approximate the kernel
        own = (process, jax.random.key(key), jnp.arange(1000), jnp.ones(1000))
        drawn = jax.jit(paths.drawn_paths)(*own)
        values = np.asarray(paths.everywhere(process, drawn, x))
        means.append(values.mean(0))
        covariances.append(np.cov(values.T))
    expected, covariance = exact(told, x)
    np.testing.assert_allclose(np.mean(means, axis=0), expected, atol=0.03)
    np.testing.assert_allclose(np.mean(covariances, axis=0), covariance, atol=0.03)
    own = jnp.broadcast_to(x[None], (1000, 5, 3))
    found = paths.each_at_its_own(process, drawn, own)
    np.testing.assert_allclose(found, values, atol=1e-4)
    # by itself, and halfway to the mean
    bold = jnp.asarray([1.0, 0.5])
    some = paths.drawn_paths(process, jax.random.key(7), jnp.asarray([3, 8]), bold)
    mean = np.asarray(model.predicted(process, x)[0])
    np.testing.assert_allclose(
        paths.everywhere(process, some, x),
        [values[3], (values[8] + mean) / 2],
        atol=1e-3,
    )


def test_large_batches_repeat_nothing_until_a_space_is_empty():
    space = jt.Space(
        a=jt.choice(list("abcdef")), k=jt.integer(1, 10), x=jt.integer(0, 9)
    )
    sampler = jt.samplers.gaussian_process(initial=4)
    state, told = sampler.ask(sampler.init(jax.random.key(0), space), 100)
    state = sampler.tell(state, told, -np.asarray(((told - 0.3) ** 2).sum(1)))
    cells = {tuple(row) for row in np.asarray(geometry.snapped(space, told)).tolist()}
    state, first = sampler.ask(state, 330)
    rest = np.asarray(sampler.ask(state, 182)[1])
    asked = [tuple(row) for row in np.concatenate([first, rest]).tolist()]
    new = asked[: 600 - len(cells)]
    assert len(cells | set(new)) == 600
    # better than those at random, whose mean is that of all
    score = -((np.asarray(asked) - 0.3) ** 2).sum(1)
    assert score[:50].mean() > score[: len(new)].mean() + 0.1


def test_a_fit_has_one_thread_and_gives_the_others_back():
    def threads_of_blas():
        return {one["num_threads"] for one in blas().info()}

    before = threads_of_blas()
    if before <= {1}:
        pytest.skip("this machine has one core")
    with one_thread(), one_thread():
        assert threads_of_blas() == {1}
    assert threads_of_blas() == before


def test_any_thread_limits_those_of_blas_and_any_other_gives_them_back():
    entered, leave, seen = threading.Event(), threading.Event(), []

    def work():
        with one_thread():
            seen.append({one["num_threads"] for one in blas().info()})
            entered.set()
            leave.wait()

    before = {one["num_threads"] for one in blas().info()}
    with blas().limit(limits=max(before)):  # this thread is now the first to ask
        thread = threading.Thread(target=work)
        thread.start()
        entered.wait()
        with one_thread():
            leave.set()
            thread.join()  # the first one in is the first one out
            seen.append({one["num_threads"] for one in blas().info()})
    assert seen == [{1}, {1}]
    assert {one["num_threads"] for one in blas().info()} == before


def test_only_the_model_itself_is_compiled_for_a_batch():
    space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 2.0))
    sampler = jt.samplers.tpe(initial=4)
    state, points = sampler.ask(sampler.init(jax.random.key(0), space), 9)
    with compilations() as compiled:
        state = sampler.tell(state, points, np.arange(9.0))
        state, points = sampler.ask(state, 11)
    assert points.shape == (11, 2)
    assert 1 <= len(compiled) <= 1 + COPIES
