"""The Parzen estimator: its density against SciPy, its draws against its density."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, norm, truncnorm

import jaxtune as jt
from jaxtune.samplers import parzen
from jaxtune.samplers._model_based import with_room
from jaxtune.samplers.geometry import snapped

tpe = importlib.import_module("jaxtune.samplers._tpe")  # the name is the maker's

KINDS = jt.ordinal([1, 2, 3, 4, 5])
CELLS = jt.Space(
    how=jt.choice(list("abcde")),
    steps=jt.integer(1, 4),
    units=jt.integer(1, 9, scale="log"),
    batch=jt.power_of_two(2, 8),
    decay=jt.ordinal([1, 2, 5]),
)


@jax.jit
def mixed(space, points, weights):
    return parzen.mixture(parzen.grid_of(space), points, weights)


@jax.jit
def density(space, points, mixture):
    grid = parzen.grid_of(space)
    return parzen.log_density(grid, parzen.placed(grid, points), mixture)


def draws(space, mixture, count, key=0):
    numbers = jax.random.uniform(jax.random.key(key), (count, 1 + 3 * space.dim))
    found = jax.jit(parzen.points_of)(parzen.grid_of(space), mixture, numbers)
    return np.asarray(found)


def some_points(space, count, seed=0):
    random = np.random.default_rng(seed).random((count, space.dim), np.float32)
    return np.array(snapped(space, jnp.asarray(random)))


def every_point(space):
    middles = [space[name].middles for name in space.searched]
    grid = np.stack(np.meshgrid(*middles, indexing="ij"), -1)
    return np.asarray(snapped(space, jnp.asarray(grid.reshape(-1, space.dim))))


def test_a_density_is_scipys():
    """Truncated normals, masses of cells, and choices as Optuna has them."""
    space = jt.Space(
        x=jt.uniform(0, 1), y=jt.uniform(0, 1), c=jt.choice(list("ab")), k=KINDS
    )
    centres = np.float32(
        [[0.1, 0.2, 0.75, 0.1], [0.7, 0.9, 0.25, 0.5], [0.4, 0.5, 0.75, 0.9]]
    )
    weights = np.float32([1, 1, 0.5])
    mixture = mixed(space, jnp.asarray(centres), jnp.asarray(weights))
    x = some_points(space, 30)
    found = np.asarray(density(space, jnp.asarray(x), mixture))
    # x has 0.1, 0.4, 0.7 and y 0.2, 0.5, 0.9: the larger gap to a neighbour
    widths = np.array([[0.3, 0.3, 0.4], [0.3, 0.4, 0.4], [0.3, 0.4, 0.4], [1, 1, 1]])
    np.testing.assert_allclose(mixture.widths[:, [0, 1, 3]], widths, rtol=1e-5)
    centres = np.concatenate([centres, np.full((1, 4), 0.5)])
    total = 0.0
    for weight, centre, width in zip([1, 1, 0.5, 1], centres, widths, strict=True):
        low, high = -centre[:2] / width[:2], (1 - centre[:2]) / width[:2]
        kernel = truncnorm.pdf(x[:, :2], low, high, centre[:2], width[:2]).prod(1)
        cell = norm(centre[3], width[2])
        mass = cell.cdf(x[:, 3] + 0.1) - cell.cdf(x[:, 3] - 0.1)
        kernel *= mass / (cell.cdf(1) - cell.cdf(0))
        # of n = 4 kernels and K = 2 choices: (1 / n + [own]) / (K / n + 1)
        own = np.abs(x[:, 2] - centre[2]) < 0.1
        kernel *= 0.5 if centre[2] == 0.5 else (0.25 + own) / 1.5
        total = total + weight * kernel
    np.testing.assert_allclose(found, np.log(total), atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_draws_are_as_frequent_as_the_density_says(seed):
    """Pearson's chi-square over all 1620 configurations of a discrete space."""
    points = some_points(CELLS, 6, seed)
    # trials of a larger space: a choice that is gone, numbers outside the cube
    points[1, 0], points[2, 1], points[3, 3] = np.nan, 1.3, -0.4
    weights = jnp.asarray([1, 1, 0.5, 1, 1, 0.2])
    mixture = mixed(CELLS, jnp.asarray(points), weights)
    cells, count = every_point(CELLS), 200_000
    expected = np.exp(np.asarray(density(CELLS, jnp.asarray(cells), mixture)))
    expected *= count / expected.sum()
    place = {row.tobytes(): i for i, row in enumerate(cells)}
    found = [place[row.tobytes()] for row in draws(CELLS, mixture, count, seed)]
    observed = np.bincount(found, minlength=len(cells))
    often = expected > 5
    statistic = ((observed - expected)[often] ** 2 / expected[often]).sum()
    assert chi2.sf(statistic, often.sum() - 1) > 1e-3
    assert often.sum() > 1000


def test_draws_of_real_numbers_are_the_densitys():
    space = jt.Space(x=jt.uniform(0, 1))
    # one at the edge, some inside, and one of a larger space
    centres = jnp.asarray([[0.01], [0.3], [0.35], [1.2]])
    mixture = mixed(space, centres, jnp.ones(4))
    grid = (np.arange(200) + 0.5) / 200
    expected = np.exp(density(space, jnp.asarray(grid, jnp.float32)[:, None], mixture))
    expected = expected.reshape(20, 10).sum(1)
    counts = np.histogram(draws(space, mixture, 400_000)[:, 0], 20, (0, 1))[0]
    np.testing.assert_allclose(counts / 4e5, expected / expected.sum(), atol=0.002)


BRANCHES = jt.Space(
    how=jt.choice(["a", "b"]),
    x=jt.when(jt.ordinal([1, 2, 3, 4, 5]), how="a"),
    k=jt.when(jt.integer(1, 40), how="b"),
    units=jt.integer(1, 9),
)


def test_what_does_not_matter_has_no_factor():
    """The masses of all different configurations add up to those of the kernels."""
    points = jnp.asarray(some_points(BRANCHES, 7))
    mixture = mixed(BRANCHES, points, jnp.ones(7))
    cells = np.unique(every_point(BRANCHES), axis=0)
    assert len(cells) == (5 + 40) * 9
    masses = np.exp(np.asarray(density(BRANCHES, jnp.asarray(cells), mixture)))
    assert masses.sum() == pytest.approx(8, rel=1e-4)  # seven and the prior
    found = draws(BRANCHES, mixture, 100_000)
    share = masses[cells[:, 0] < 0.5].sum() / 8
    assert (found[:, 0] < 0.5).mean() == pytest.approx(share, abs=0.005)


def test_a_point_without_a_dimension_says_nothing_about_it():
    """Whatever the other branch did, the prior decides there."""
    mine = np.float32([[0.75, 0.5, 0.9, 0.5]])
    masses = []
    for k in (0.1, 0.6):
        other = np.float32([[0.25, 0.3, k, 0.5]])
        points = snapped(BRANCHES, jnp.asarray(np.concatenate([mine, other])))
        mixture = mixed(BRANCHES, points, jnp.ones(2))
        cells = every_point(BRANCHES)
        masses.append(density(BRANCHES, jnp.asarray(cells), mixture))
    np.testing.assert_array_equal(*masses)


def test_narrow_cells_are_as_likely_as_wide_ones_say():
    """Of 300 values on a log scale the first 64 have a mass, the others a density."""
    space = jt.Space(units=jt.integer(1, 300, scale="log"))
    mixture = mixed(space, jnp.asarray(some_points(space, 5)), jnp.ones(5))
    cells = space["units"].middles
    log = np.asarray(density(space, jnp.asarray(cells)[:, None], mixture))
    ends = np.log(np.arange(1, 302)) / np.log(301)
    masses = np.exp(log) * np.where(np.arange(300) < 64, 1.0, np.diff(ends))
    assert masses.sum() == pytest.approx(6, rel=1e-3)
    found = np.searchsorted(cells, draws(space, mixture, 200_000)[:, 0] - 1e-6)
    counts = np.bincount(found, minlength=300) / 200_000
    np.testing.assert_allclose(counts, masses / 6, atol=0.003)


def test_a_kernel_that_joins_changes_no_other():
    points, grid = some_points(CELLS, 9), parzen.grid_of(CELLS)
    weights = jnp.ones(9)
    without = mixed(CELLS, jnp.asarray(points), weights.at[8].set(0.0))
    usual = parzen.usual_widths(without)
    np.testing.assert_allclose(usual[1:], np.median(without.widths[:8, 1:], axis=0))
    add = jax.jit(parzen.with_kernel)
    joined = add(grid, without, 8, jnp.asarray(points[8]), usual)
    np.testing.assert_array_equal(joined.widths[8], usual)
    for old, new in zip(without[:6], joined[:6], strict=True):
        np.testing.assert_array_equal(np.delete(old, 8, 0), np.delete(new, 8, 0))
    cells = jnp.asarray(every_point(CELLS))
    # it adds one to a sum of the weights of nine
    masses = [np.exp(density(CELLS, cells, mix)).sum() for mix in (without, joined)]
    np.testing.assert_allclose(masses, [9, 10], rtol=1e-4)


def test_no_configuration_comes_twice_while_draws_find_others():
    space = jt.Space(a=jt.choice(list("abcdef")), k=jt.integer(1, 8))
    sampler = jt.samplers.tpe(initial=4)
    state = sampler.init(jax.random.key(0), space)
    points = some_points(space, 8, seed=2)
    points = np.unique(points, axis=0)
    state = sampler.tell(state, points, -points.sum(1))
    asked = [points]
    for _ in range(2):
        state, points = sampler.ask(state, 12)  # the first ones are out for the others
        asked.append(np.asarray(points))
    rows = np.concatenate(asked)
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_a_space_that_was_tried_out_is_asked_again():
    space = jt.Space(a=jt.choice(list("abc")))
    sampler = jt.samplers.tpe(initial=2)
    state = sampler.init(jax.random.key(0), space)
    points = every_point(space)
    state = sampler.tell(state, points, points.sum(1))
    assert sampler.ask(state, 5)[1].shape == (5, 1)


def test_a_large_batch_after_many_trials_fits_into_memory():
    """20 000 points at once took 38 GB: all draws times all kernels."""
    space, known, n = jt.Space(x=jt.uniform(0, 1), k=KINDS), 20_000, 20_000
    sampler = jt.samplers.tpe()
    state = sampler.init(jax.random.key(0), space)
    points = some_points(space, known)
    state = sampler.tell(state, points, points.sum(1))
    padded, out = with_room(state, n)
    sizes = np.int32(out), np.int32(n)
    program = tpe._suggest.lower(padded, sizes[0], sizes[1], 0.1, 25, 24).compile()
    assert program.memory_analysis().temp_size_in_bytes < 100e6


def test_the_latest_trials_are_kept_where_there_are_too_many(monkeypatch):
    space = jt.Space(x=jt.uniform(0, 1))
    monkeypatch.setattr(tpe, "KERNELS", 16)
    told = jnp.linspace(0.0, 0.99, 40)[:, None]
    others = jnp.arange(40) % 4 > 0  # 30 of them
    crowd = tpe._crowd(parzen.grid_of(space), told, jnp.ones(40, bool), others, 50)
    kept = np.flatnonzero(np.isfinite(crowd.poor.log_weights[:-1]))
    latest = np.flatnonzero(others)[-16:]
    np.testing.assert_allclose(crowd.poor.centres[kept, 0], told[latest, 0])
    # points that are out push the oldest of them aside, never a trial
    for number in range(20):
        point = jnp.full(1, number / 40 + 0.005)
        crowd = tpe._joined(parzen.grid_of(space), crowd, 40, point, number)
    assert crowd.poor.centres.shape == (16 + 16 + 1, 1)
    np.testing.assert_allclose(crowd.poor.centres[kept, 0], told[latest, 0])
    out = sorted(np.round(np.asarray(crowd.poor.centres[16:32, 0]) * 40 - 0.2))
    assert out == list(range(4, 20))
