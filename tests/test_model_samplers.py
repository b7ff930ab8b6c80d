"""Samplers that learn: what all of them promise, over a list; then each one's own."""

import functools

import cmaes
import jax
import jax.numpy as jnp
import numpy as np
import optuna
import pytest
from compiled import compilations

import jaxtune as jt
from jaxtune.samplers import geometry
from jaxtune.samplers._model_based import model_based
from jaxtune.samplers._trust_region import _side

SPACE = jt.testing.mixed_space()
MODELS = {
    "gaussian_process": jt.samplers.gaussian_process(),
    "thompson": jt.samplers.gaussian_process("thompson"),
    "trust_region": jt.samplers.trust_region(),
    "tpe": jt.samplers.tpe(),
    "cma_es": jt.samplers.cma_es(population=8),
    "optuna": jt.samplers.optuna(optuna.samplers.TPESampler),
}
# these two are variants of the first; each of their programs takes seconds to compile
COSTLY = ("thompson", "trust_region")


def over(*without, costly=()):
    """The models as parameters, some of them for the long run of the tests."""
    slow = functools.partial(pytest.param, marks=pytest.mark.slow)
    names = [name for name in MODELS if name not in without]
    return [slow(name) if name in (*COSTLY, *costly) else name for name in names]


TRACED = over("cma_es", "optuna")


def score(points):
    """Best at .3 of every ordered dimension and at the first choice."""
    points = np.asarray(points)
    return -((points[:, :5] - 0.3) ** 2).sum(1) - (points[:, 5] > 1 / 3)


@functools.cache
def told(name, key=0, batches=2, size=16):
    """A state that was told batches of what it asked for, and the last batch."""
    sampler = MODELS[name]
    state = sampler.init(jax.random.key(key), SPACE)
    for _ in range(batches):
        state, points = sampler.ask(state, size)
        state = sampler.tell(state, points, score(points))
    return state, np.asarray(points)


@functools.cache
def traced(name):
    """One program for all tests that ask in one of their own."""
    return jax.jit(MODELS[name].ask, static_argnums=1)


def ask(name, state, n=16):
    return np.asarray(MODELS[name].ask(state, n)[1])


@pytest.mark.parametrize("name", MODELS)
def test_contract(name):
    jt.testing.check_sampler(MODELS[name])


@pytest.mark.parametrize("name", over(costly=["gaussian_process"]))
def test_asking_in_parts_gives_the_same_points(name):
    """Points that are out already count as the first of a larger batch."""
    state, _ = told(name)
    first, some = MODELS[name].ask(state, 8)
    rest = ask(name, first, 8)
    whole = ask(name, state, 16)
    np.testing.assert_allclose(np.concatenate([some, rest]), whole, atol=1e-6)


@pytest.mark.parametrize("name", over())
def test_a_state_is_never_changed(name):
    state, _ = told(name)
    before = ask(name, state)
    after, points = MODELS[name].ask(state, 16)
    MODELS[name].tell(after, points, score(points))
    np.testing.assert_array_equal(ask(name, state), before)


@pytest.mark.parametrize("name", over())
def test_the_unit_of_scores_does_not_matter(name):
    sampler = MODELS[name]
    points = np.asarray(jt.samplers.sobol().ask(_sobol(3), 32)[1])

    def asked(scores):
        state = sampler.init(jax.random.key(0), SPACE)
        return ask(name, sampler.tell(state, points, scores))

    usual, large = asked(score(points)), asked(1024 * score(points))
    np.testing.assert_allclose(large, usual, atol=1e-5)


@pytest.mark.parametrize("name", over("optuna"))
def test_how_bad_the_worst_is_does_not_matter(name):
    """An outlier at the bottom and a failure are the last, no more."""
    points = np.asarray(jt.samplers.sobol().ask(_sobol(3), 32)[1])
    scores, found = score(points), []
    for value in (scores.min() - 1, -1e30, np.nan, -np.inf):
        changed = scores.copy()
        changed[5] = value
        state = MODELS[name].init(jax.random.key(0), SPACE)
        found.append(ask(name, MODELS[name].tell(state, points, changed)))
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


def _sobol(key):
    return jt.samplers.sobol().init(jax.random.key(key), SPACE)


@pytest.mark.parametrize("name", over())
def test_models_find_what_random_points_do_not(name):
    """The best of 32 points, of which the model saw to 24, against as many random ones:
    what the best of those is on average, over a hundred draws."""
    chance = np.random.default_rng(0).random((100 * 32, SPACE.dim))
    usual = score(chance).reshape(100, 32).max(1).mean()
    gains = []
    for key in range(3):
        state, _ = told(name, key, 4, 8)
        if name == "optuna":
            found = max(trial.value for trial in state.study.copy().trials)
        else:
            found = float(state.history.scores[:32].max())
        gains.append(found - usual)
    assert np.mean(gains) > 0.03, gains


@pytest.mark.parametrize("name", over())
def test_a_region_of_failures_is_avoided(name):
    sampler = MODELS[name]
    state = sampler.init(jax.random.key(1), SPACE)
    for _ in range(3):
        state, points = sampler.ask(state, 16)
        scores = np.where(np.asarray(points)[:, 0] > 0.5, np.nan, score(points))
        state = sampler.tell(state, points, scores)
    failing = (ask(name, state)[:, 0] > 0.5).mean()
    assert failing <= 0.3


@pytest.mark.parametrize("name", over())
def test_all_failing_is_borne(name):
    sampler = MODELS[name]
    state = sampler.init(jax.random.key(1), SPACE)
    state, points = sampler.ask(state, 16)
    state = sampler.tell(state, points, np.full(16, np.nan))
    points = ask(name, state)
    assert ((points >= 0) & (points < 1)).all()


@pytest.mark.parametrize("name", over())
def test_seeds_are_taken_as_their_mean(name):
    sampler = MODELS[name]
    points = np.asarray(jt.samplers.sobol().ask(_sobol(3), 32)[1])
    scores = score(points).astype(np.float32)
    start = sampler.init(jax.random.key(0), SPACE)
    alone = ask(name, sampler.tell(start, points, scores))
    twice = ask(name, sampler.tell(start, points, np.stack([scores, scores], 1)))
    np.testing.assert_allclose(twice, alone, atol=1e-6)


@pytest.mark.parametrize("name", over())
@pytest.mark.parametrize("shape", [(3,), (4, 1, 1)])
def test_shapes_that_do_not_match_are_refused(name, shape):
    state = MODELS[name].init(jax.random.key(0), SPACE)
    with pytest.raises(ValueError, match=r"tell: points have shape .* Use points"):
        MODELS[name].tell(state, np.full((4, SPACE.dim), 0.5), np.zeros(shape))


@pytest.mark.parametrize("name", TRACED)
def test_ask_is_jittable(name):
    state, _ = told(name)
    found = traced(name)(state, 16)[1]
    np.testing.assert_allclose(found, ask(name, state), atol=1e-6)


@pytest.mark.parametrize("name", TRACED)
def test_too_few_scores_are_no_model_under_jit_either(name):
    sampler = MODELS[name]
    state = sampler.init(jax.random.key(0), SPACE)
    state, points = sampler.ask(state, 4)
    state = sampler.tell(state, points, score(points))
    found = traced(name)(state, 16)[1]
    expected = jt.samplers.sobol().ask(state.design, 16)[1]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", over("optuna"))
def test_telling_cannot_be_traced(name):
    sampler = MODELS[name]
    state = sampler.init(jax.random.key(0), SPACE)
    with pytest.raises(ValueError, match="outside of it"):
        jax.jit(sampler.tell)(state, jnp.full((4, SPACE.dim), 0.5), jnp.zeros(4))


def test_asking_a_strategy_cannot_be_traced():
    state, _ = told("cma_es")
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(MODELS["cma_es"].ask, static_argnums=1)(state, 4)


@pytest.mark.parametrize("name", TRACED)
def test_two_samplers_share_a_program(name):
    made = {
        "gaussian_process": jt.samplers.gaussian_process,
        "thompson": functools.partial(jt.samplers.gaussian_process, "thompson"),
        "trust_region": jt.samplers.trust_region,
        "tpe": jt.samplers.tpe,
    }[name]
    state, _ = told(name)
    ask(name, state)
    with compilations() as compiled:
        made().ask(state, 16)
    assert not compiled


def bowl(key, hparams):
    noise = 0.01 * jax.random.normal(key)
    miss = (jnp.log10(hparams["rate"]) + 2.6) ** 2 + (hparams["x"] - 0.7) ** 2
    return miss + 0.1 * (hparams["k"] - 3) ** 2 + noise


def search(sampler, key, seeds=2):
    space = jt.Space(
        rate=jt.log_uniform(1e-4, 1), x=jt.uniform(0, 1), k=jt.integer(1, 9)
    )
    own = {"trials": 40, "rounds": 2, "mode": "min", "refine": jt.zoom(floor=1)}
    return jt.search(bowl, space, key=key, sampler=sampler, seeds=seeds, **own)


def test_a_search_with_a_model_is_repeatable_and_better():
    model, gains = jt.samplers.gaussian_process(), []
    for seed in range(3):
        key = jax.random.key(seed)
        found = search(model, key)
        again = search(jt.samplers.gaussian_process(), key)
        np.testing.assert_array_equal(found.trials.points, again.trials.points)
        gains.append(search(jt.samplers.sobol(), key).best.score - found.best.score)
    assert np.mean(gains) > 0, gains


def test_a_search_tells_every_seed():
    """The state of a sampler in the second round knows the spread of the first."""
    states = []
    model = jt.samplers.gaussian_process()

    def ask(state, n):
        states.append(state)
        return model.ask(state, n)

    search(model._replace(ask=ask), jax.random.key(0), seeds=4)
    assert int(states[1].history.trials) == 20
    assert (np.asarray(states[1].history.variance[:20]) > 0).all()


def test_trials_of_another_space_are_taken():
    """Some trials of a larger space lie outside, and some had choices that are gone."""
    small = SPACE.restrict(rate=(1e-3, 1e-2), activation=["relu", "gelu"])
    points = np.asarray(jt.samplers.sobol().ask(_sobol(0), 64)[1])
    encoded = small.encode(SPACE.decode(points))
    assert np.isnan(np.asarray(encoded)).any()
    for name in ("gaussian_process", "tpe", "cma_es", "optuna"):
        state = MODELS[name].init(jax.random.key(0), small)
        state = MODELS[name].tell(state, encoded, score(points))
        found = ask(name, state)
        assert ((found >= 0) & (found < 1)).all(), name


@pytest.mark.parametrize("name", over("tpe", "cma_es", "optuna"))
def test_a_finite_space_is_not_asked_twice_until_it_is_empty(name):
    space = jt.Space(a=jt.choice(list("abc")), k=jt.integer(1, 4), o=jt.ordinal([1, 2]))
    sampler = MODELS[name]
    # 16 of the 24 by hand, then 8 more, then there is nothing new
    grid = jt.samplers.grid(4)
    points = np.asarray(grid.ask(grid.init(jax.random.key(0), space), 24)[1])
    shuffled = points[np.random.default_rng(0).permutation(24)]
    state = sampler.init(jax.random.key(0), space)
    state = sampler.tell(state, shuffled[:16], shuffled[:16].sum(1))
    state, rest = sampler.ask(state, 8)
    cells = {tuple(row) for row in np.round(np.asarray(rest), 4).tolist()}
    assert cells == {tuple(row) for row in np.round(shuffled[16:], 4).tolist()}
    state = sampler.tell(state, rest, np.asarray(rest).sum(1))
    assert sampler.ask(state, 8)[1].shape == (8, 3)


@pytest.mark.parametrize("name", ["gaussian_process", "thompson", "trust_region"])
def test_the_last_untried_of_many_configurations_are_found(name):
    space = jt.Space(
        a=jt.choice(list("abc")),
        k=jt.integer(1, 50, scale="log"),
        o=jt.ordinal([1, 2, 4]),
        b=jt.when(jt.power_of_two(1, 8), a="b"),
    )
    numbers = np.arange(3 * 50 * 3 * 4)
    every, few = jax.jit(geometry.enumerated, static_argnums=2)(space, numbers, 1800)
    assert few
    cells = {tuple(row) for row in np.asarray(geometry.snapped(space, every)).tolist()}
    assert len(cells) == 50 * 3 * (1 + 4 + 1)
    shuffled = np.random.default_rng(0).permutation(np.asarray(sorted(cells)))
    tried, left = shuffled[:-6], {tuple(row) for row in shuffled[-6:].tolist()}
    state = MODELS[name].init(jax.random.key(0), space)
    state = MODELS[name].tell(state, tried, tried.sum(1))
    # three of the last six are out when the others are asked for
    state, first = MODELS[name].ask(state, 3)
    state, second = MODELS[name].ask(state, 3)
    found = np.concatenate([np.asarray(first), np.asarray(second)])
    assert {tuple(row) for row in found.tolist()} == left


def test_no_more_configurations_are_listed_than_wanted():
    for space, most in [
        (jt.Space(k=jt.integer(1, 9), o=jt.ordinal([1, 2])), 17),
        (jt.Space(k=jt.integer(1, 9), x=jt.uniform(0, 1)), 2**20),
    ]:
        assert not geometry.enumerated(space, np.arange(4), most)[1]


@pytest.mark.parametrize(("dim", "length"), [(1, 5), (3, 5), (9, 10)])
def test_the_model_is_asked_after_its_design(dim, length):
    asked = []

    def suggest(state, n):
        asked.append(int(state.history.trials))
        return jnp.full((n, dim), 0.5)

    sampler = model_based(suggest, None)
    space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(dim)})
    state = sampler.init(jax.random.key(0), space)
    for trial in range(length + 3):
        state, points = sampler.ask(state, 1)
        # a failure is no score
        state = sampler.tell(state, points, [np.nan if trial == 1 else trial])
    assert asked == [length + 1, length + 2]


def test_sensitivity_finds_the_dimension_that_matters():
    space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(4)})
    sampler = jt.samplers.gaussian_process()
    state = sampler.init(jax.random.key(0), space)
    with pytest.raises(ValueError, match="at least two"):
        jt.samplers.sensitivity(state)
    points = np.random.default_rng(0).random((60, 4), dtype=np.float32)
    state = sampler.tell(state, points, np.sin(6 * points[:, 2]))
    found = np.asarray(jt.samplers.sensitivity(state))
    assert found.argmax() == 2
    assert found[2] > 3 * np.delete(found, 2).max()


def test_a_box_grows_and_shrinks_by_the_table():
    """Sides after batches of 4 in four dimensions, worked out by hand."""
    space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(4)})
    sampler = jt.samplers.trust_region()
    state = sampler.init(jax.random.key(0), space)
    # the first batch is the start; then three better ones, two worse, one better
    table = [(0, 0.8), (1, 0.8), (2, 0.8), (3, 1.6), (2, 0.8), (2, 0.4), (4, 0.4)]
    for best, side in table:
        points = np.random.default_rng(0).random((4, 4))
        state = sampler.tell(state, points, np.array([best, -9.0, np.nan, -9.0]))
        assert float(_side(state.history, 0.8, 4)) == pytest.approx(side), best


def test_a_box_that_is_too_small_begins_anew():
    space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(4)})
    sampler = jt.samplers.trust_region()
    state = sampler.init(jax.random.key(0), space)
    sides = []
    for _ in range(9):
        state = sampler.tell(state, np.full((4, 4), 0.5), np.arange(4.0))
        sides.append(float(_side(state.history, 0.8, 4)))
    np.testing.assert_allclose(sides[:7], [0.8 * 0.5**k for k in range(7)])
    assert sides[7:] == pytest.approx([0.8, 0.4])


def test_a_trust_region_stays_near_the_best():
    """After many failures its points are closer to the best one than a model's."""
    space = jt.Space(**{f"x{j}": jt.uniform(0, 1) for j in range(4)})
    points = np.random.default_rng(0).random((42, 4), dtype=np.float32)
    scores = -((points - 0.5) ** 2).sum(1)
    best = points[scores.argmax()]
    order = np.argsort(-scores)  # never better again: the box shrinks
    state = jt.samplers.trust_region().init(jax.random.key(0), space)
    for rows in np.split(order, 7):
        state = jt.samplers.trust_region().tell(state, points[rows], scores[rows])
    side = float(_side(state.history, 0.8, 4))
    found = np.asarray(jt.samplers.trust_region().ask(state, 16)[1])
    assert side == pytest.approx(0.8 * 0.5**6)
    # length scales change a side by e ** 2 at most
    assert np.abs(found - best).max() <= side / 2 * np.e**2


def test_a_strategy_is_the_packages_own_after_the_same_generations():
    space = jt.Space(x=jt.uniform(0, 1), y=jt.uniform(0, 1))
    sampler = jt.samplers.cma_es(population=6)
    state = sampler.init(jax.random.key(0), space)
    points = np.random.default_rng(0).random((20, 2), dtype=np.float32)
    scores = -((points - 0.2) ** 2).sum(1)
    state = sampler.tell(state, points, scores)
    found = np.asarray(sampler.ask(state, 4000)[1])
    plain = cmaes.CMA(
        np.full(2, 0.5), 0.25, np.tile([0.0, 1], (2, 1)), population_size=6
    )
    for begin in (0, 6, 12):
        rows = slice(begin, begin + 6)
        plain.tell(list(zip(points[rows].astype(float), -scores[rows], strict=True)))
    expected = np.asarray([plain.ask() for _ in range(4000)])
    np.testing.assert_allclose(found.mean(0), expected.mean(0), atol=0.02)
    np.testing.assert_allclose(np.cov(found.T), np.cov(expected.T), atol=0.005)


def test_a_strategy_needs_two_dimensions():
    space = jt.Space(x=jt.uniform(0, 1))
    sampler = jt.samplers.cma_es()
    state = sampler.init(jax.random.key(0), space)
    state, points = sampler.ask(state, 8)
    state = sampler.tell(state, points, np.arange(8.0))
    with pytest.raises(ValueError, match="two dimensions"):
        sampler.ask(state, 1)


@pytest.mark.parametrize("make", ["RandomSampler", "TPESampler", "CmaEsSampler"])
def test_an_optuna_sampler_asks_what_its_own_study_would(make):
    space = jt.Space(x=jt.uniform(0, 1), k=jt.integer(3, 9), c=jt.choice(["a", "b"]))
    sampler = jt.samplers.optuna(getattr(optuna.samplers, make))
    state = sampler.init(jax.random.key(4), space)
    seed = int(
        np.asarray(jax.random.key_data(jax.random.fold_in(jax.random.key(4), 0)))[-1]
    )
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    plain = optuna.create_study(
        direction="maximize", sampler=getattr(optuna.samplers, make)(seed=seed)
    )
    distributions = {
        "x0": optuna.distributions.FloatDistribution(0, 1),
        "x1": optuna.distributions.IntDistribution(0, 6),
        "x2": optuna.distributions.CategoricalDistribution((0, 1)),
    }
    for _ in range(4):
        state, points = sampler.ask(state, 6)
        trials = [plain.ask(distributions) for _ in range(6)]
        expected = [
            (t.params["x0"], (t.params["x1"] + 0.5) / 7, (t.params["x2"] + 0.5) / 2)
            for t in trials
        ]
        np.testing.assert_allclose(points, expected, rtol=1e-6)
        scores = np.asarray(points).sum(1)
        scores[2] = np.nan
        state = sampler.tell(state, points, scores)
        for trial, value in zip(trials, scores.tolist(), strict=True):
            if np.isnan(value):
                plain.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                plain.tell(trial, value)


def test_a_run_with_an_optuna_sampler_needs_it_again(tmp_path):
    """A run holds the name of the class and not the class."""

    def objective(key, hparams):
        return hparams["x"]

    sampler = jt.samplers.optuna(optuna.samplers.RandomSampler)
    own = {"key": jax.random.key(0), "trials": 8, "rounds": 2, "mode": "max"}
    space = jt.Space(x=jt.uniform(0, 1))
    jt.search(objective, space, sampler=sampler, directory=tmp_path, **own)
    with pytest.raises(jt.RunError, match=r"make=optuna.*RandomSampler.*sampler="):
        jt.resume(tmp_path, objective)
    again = jt.samplers.optuna(optuna.samplers.RandomSampler)
    assert len(jt.resume(tmp_path, objective, sampler=again).trials) == 8
    other = jt.samplers.optuna(optuna.samplers.TPESampler)
    with pytest.raises(jt.RunError, match="sampler"):
        jt.resume(tmp_path, objective, sampler=other)


def test_equal_points_are_trials_of_their_own_to_optuna():
    space = jt.Space(c=jt.choice(["a", "b"]))
    sampler = jt.samplers.optuna(optuna.samplers.RandomSampler)
    state = sampler.init(jax.random.key(0), space)
    state, points = sampler.ask(state, 6)
    state = sampler.tell(state, points, np.arange(6.0))
    trials = state.study.copy().trials
    assert [trial.value for trial in trials] == list(range(6))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: jt.samplers.gaussian_process("ei"), "acquisition"),
        (lambda: jt.samplers.gaussian_process(initial=1), "initial"),
        (lambda: jt.samplers.gaussian_process(rows=8), "rows"),
        (lambda: jt.samplers.trust_region(length=0.0), "length"),
        (lambda: jt.samplers.tpe(share=1.5), "share"),
        (lambda: jt.samplers.tpe(most=0), "most"),
        (lambda: jt.samplers.tpe(draws=2.5), "draws"),
        (lambda: jt.samplers.tpe(initial=True), "initial"),
        (lambda: jt.samplers.cma_es(population=2), "population"),
        (lambda: jt.samplers.cma_es(sigma=2.0), "sigma"),
        (lambda: jt.samplers.optuna(optuna.samplers.RandomSampler()), "class"),
    ],
)
def test_bad_arguments_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()
