"""Samplers: the contract over a list, then what each one promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, qmc

import jaxtune as jt
from jaxtune.samplers._sobol import _digits, _directions

SAMPLERS = {
    "uniform": jt.samplers.uniform(),
    "sobol": jt.samplers.sobol(),
    "halton": jt.samplers.halton(),
    "latin_hypercube": jt.samplers.latin_hypercube(64),
    "grid": jt.samplers.grid(2),
}
RANDOM = [name for name in SAMPLERS if name != "grid"]


def cube(dim):
    return jt.Space(**{f"x{i}": jt.uniform(0, 1) for i in range(dim)})


def ask(sampler, n, dim=3, key=0):
    state = sampler.init(jax.random.key(key), cube(dim))
    return np.asarray(sampler.ask(state, n)[1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_contract(name):
    jt.testing.check_sampler(SAMPLERS[name])


@pytest.mark.parametrize("name", RANDOM)
def test_keys_give_different_uniform_points(name):
    first, second = ask(SAMPLERS[name], 64), ask(SAMPLERS[name], 64, key=1)
    assert not np.intersect1d(first, second).size
    for column in np.concatenate([first, second]).T:
        assert kstest(column, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", RANDOM)
def test_each_point_is_uniform_over_keys(name):
    init = jax.vmap(lambda k: SAMPLERS[name].init(k, cube(2)))
    states = init(jax.random.split(jax.random.key(0), 400))
    points = jax.vmap(lambda s: SAMPLERS[name].ask(s, 2)[1])(states)
    for column in np.asarray(points).reshape(400, -1).T:
        assert kstest(column, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("name", RANDOM)
def test_dimensions_are_independent_over_keys(name):
    """First points over many keys: no two dimensions move together."""
    init = jax.vmap(lambda k: SAMPLERS[name].init(k, cube(3)))
    states = init(jax.random.split(jax.random.key(1), 400))
    firsts = np.asarray(jax.vmap(lambda s: SAMPLERS[name].ask(s, 1)[1][0])(states))
    correlations = np.corrcoef(firsts.T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 4 / 400**0.5


@pytest.mark.parametrize("name", SAMPLERS)
def test_ask_is_jittable(name):
    state = SAMPLERS[name].init(jax.random.key(0), cube(3))
    jitted = jax.jit(SAMPLERS[name].ask, static_argnums=1)(state, 8)[1]
    np.testing.assert_allclose(jitted, SAMPLERS[name].ask(state, 8)[1], rtol=1e-6)


def test_sobol_without_scrambling_is_scipys_set():
    directions = jnp.asarray(_directions(5))
    digits = _digits(jnp.arange(256), directions)
    ours = np.asarray(digits, np.float64) / 2**24
    theirs = qmc.Sobol(5, scramble=False).random(256)
    np.testing.assert_array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))


@pytest.mark.parametrize("shape", [(5, 0), (0, 5), (3, 2), (2, 3)])
def test_scrambling_keeps_the_net(shape):
    """The first 32 points of dimensions 1 and 2 hit each of 32 equal boxes once."""
    points = ask(SAMPLERS["sobol"], 32, dim=2, key=3)
    boxes = np.floor(points * 2.0 ** np.asarray(shape))
    assert len(np.unique(boxes, axis=0)) == 32


def test_halton_is_even_in_every_prime_base():
    points = ask(SAMPLERS["halton"], 210, dim=4)
    for base, column in zip((2, 3, 5, 7), points.T, strict=True):
        counts = np.bincount(np.floor(column * base).astype(int))
        assert counts.tolist() == [210 // base] * base


def test_latin_hypercube_hits_every_slice_once():
    for column in ask(SAMPLERS["latin_hypercube"], 64).T:
        assert sorted(np.floor(column * 64).astype(int)) == list(range(64))


def test_grid_gives_every_point_and_few_values_once():
    space = jt.Space(x=jt.uniform(0, 1), c=jt.choice(["a", "b"]), k=jt.integer(1, 9))
    sampler = jt.samplers.grid(3)
    state = sampler.init(jax.random.key(0), space)
    state, first = sampler.ask(state, 7)
    state, second = sampler.ask(state, 11)
    points = np.concatenate([first, second])
    expected = [
        (x, c, k)
        for x in (1 / 6, 1 / 2, 5 / 6)
        for c in (0.25, 0.75)
        for k in (1 / 6, 1 / 2, 5 / 6)
    ]
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="18 points, 18 were handed out and 1 more"):
        sampler.ask(state, 1)


@pytest.mark.parametrize(
    ("sampler", "size"),
    [
        (jt.samplers.latin_hypercube(5), 5),
        (jt.samplers.grid(2), 8),
        (jt.samplers.sobol(), 2**22),
        (jt.samplers.halton(), 2**24),
    ],
)
def test_a_sequence_that_ends_says_so(sampler, size):
    state = sampler.init(jax.random.key(0), cube(3))
    state = state._replace(asked=jnp.int32(size - 1))
    state, _ = sampler.ask(state, 1)
    with pytest.raises(ValueError, match=f"{size} points"):
        sampler.ask(state, 1)
    past = jax.jit(sampler.ask, static_argnums=1)(state, 2)[1]
    assert np.isnan(past).all()


@pytest.mark.parametrize("bad", [0, -1, 2.5])
def test_bad_sizes_are_refused(bad):
    with pytest.raises(ValueError, match=str(bad)):
        jt.samplers.latin_hypercube(bad)
    with pytest.raises(ValueError, match=str(bad)):
        jt.samplers.grid([bad])


def test_a_grid_of_the_wrong_rank_is_refused():
    with pytest.raises(ValueError, match="2 counts for 3 dimensions"):
        jt.samplers.grid([2, 2]).init(jax.random.key(0), cube(3))
