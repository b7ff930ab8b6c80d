"""Beliefs about good values: samplers follow them, and a wrong one hides nothing."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

import jaxtune as jt
from jaxtune.report.code import Names, space_code
from jaxtune.samplers import beliefs
from jaxtune.space.belief import stated
from jaxtune.storage.documents import box_document, box_of, space_document, space_of

KEY = jax.random.key(0)
SPACE = jt.Space(
    rate=jt.log_uniform(1e-4, 1.0, prior=jt.near(1e-2, spread=0.1)),
    momentum=jt.reverse_log_uniform(0.5, 0.999, prior=jt.near(0.9)),
    batch=jt.power_of_two(16, 256, prior=jt.near(64, spread=0.3)),
    layers=jt.integer(1, 4, prior=jt.near(2)),
    units=jt.integer(8, 64, scale="log", prior=jt.near(32, spread=0.15)),
    decay=jt.ordinal([0.0, 0.1, 1.0], prior=jt.near(1.0, spread=0.5)),
    optimizer=jt.choice(["sgd", "adam", "lion"], prior=jt.near("adam", spread=0.4)),
    free=jt.uniform(-1.0, 1.0),
)
SEQUENCES = {
    "sobol": jt.samplers.sobol,
    "halton": jt.samplers.halton,
    "uniform": jt.samplers.uniform,
    "latin_hypercube": lambda: jt.samplers.latin_hypercube(4096),
}
LEARNERS = {
    "gaussian_process": jt.samplers.gaussian_process,
    "trust_region": jt.samplers.trust_region,
    "tpe": jt.samplers.tpe,
}


def asked(sampler, space, *counts, key=KEY):
    state, parts = sampler.init(key, space), []
    for count in counts:
        state, points = sampler.ask(state, count)
        parts.append(np.asarray(points))
    return np.concatenate(parts)


def assert_alike(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


def scale(name, values):
    """The own scale of a real dimension, in float64."""
    return -np.log1p(-values) if name == "momentum" else np.log(values)


def mixture_of(name, space=SPACE):
    """The distribution function of one coordinate that follows, by SciPy."""
    low, high = (float(scale(name, end)) for end in space.bounds[name])
    whole = [float(scale(name, end)) for end in SPACE.bounds[name]]
    value, spread = stated(space[name])
    centre, deviation = float(scale(name, value)), spread * (whole[1] - whole[0])
    a, b = (low - centre) / deviation, (high - centre) / deviation
    normal = truncnorm(a, b, loc=centre, scale=deviation)

    def below(u):
        share = normal.cdf(low + u * (high - low))
        return beliefs.SHARE * share + (1 - beliefs.SHARE) * u

    return below


@pytest.mark.parametrize("box", [SPACE, SPACE.restrict(rate=(0.02, 0.5))])
@pytest.mark.parametrize("name", ["rate", "momentum"])
def test_a_coordinate_that_follows_has_the_distribution_of_its_belief(name, box):
    even = np.random.default_rng(0).random((20_000, SPACE.dim), np.float32)
    u = np.asarray(beliefs.following(box, even))[:, SPACE.searched.index(name)]
    assert kstest(u, mixture_of(name, box)).pvalue > 0.01
    assert kstest(u, "uniform").pvalue < 1e-6


@pytest.mark.parametrize("name", ["batch", "layers", "units", "decay", "optimizer"])
def test_a_listed_value_has_the_mass_of_its_belief(name):
    even = np.random.default_rng(1).random((40_000, SPACE.dim), np.float32)
    decoded = SPACE.decode(np.asarray(beliefs.following(SPACE, even)))[name]
    dim, (value, spread) = SPACE[name], stated(SPACE[name])
    members = list(dim.members)
    if name == "optimizer":
        counts = np.bincount(decoded, minlength=3)
        normal = np.where(np.array(members) == value, 1 - spread, 0) + spread / 3
        even_mass = np.full(3, 1 / 3)
    else:
        counts = np.array(
            [(np.asarray(decoded) == np.float32(m)).sum() for m in members]
        )
        at = np.arange(len(members), dtype=float) + (
            members[0] if name in "layers units" else 0
        )
        ends = np.append(at, at[-1] + 1)
        ends = np.log(ends) if name == "units" else ends
        middle = at[members.index(value)]
        cell = np.log([middle, middle + 1]) if name == "units" else [middle, middle + 1]
        length = ends[-1] - ends[0]
        away = (ends - np.mean(cell)) / (spread * length)
        normal = np.diff([0.5 * math.erfc(-z / 2**0.5) for z in away])
        even_mass = np.diff(ends) / length
    wanted = beliefs.SHARE * normal / normal.sum() + (1 - beliefs.SHARE) * even_mass
    error = 4 * np.sqrt(wanted * (1 - wanted) / 40_000) + 2e-3
    assert (np.abs(counts / 40_000 - wanted) < error).all()


def test_points_that_follow_stay_in_order_and_in_the_cube():
    even = np.linspace(0, 1, 1000, endpoint=False, dtype=np.float32)
    even = np.append(even, np.nextafter(np.float32(1), np.float32(0)))
    for name in SPACE.searched:
        if name != "optimizer":
            rows = np.repeat(even[:, None], SPACE.dim, 1)
            u = np.asarray(beliefs.following(SPACE, rows))[
                :, SPACE.searched.index(name)
            ]
            assert (np.diff(u) >= 0).all()
            assert u.min() >= 0
            assert u.max() < 1
    # what no belief is about stays to the bit
    assert (u == even).all()


@pytest.mark.parametrize("name", [*SEQUENCES, *LEARNERS])
def test_a_point_depends_on_the_key_and_its_number_alone(name):
    sampler = {**SEQUENCES, **LEARNERS}[name]()
    whole = asked(sampler, SPACE, 12)
    assert (whole == asked(sampler, SPACE, 5, 4, 3)).all()
    assert (whole != asked(sampler, SPACE, 12, key=jax.random.key(1))).any()


@pytest.mark.parametrize("name", SEQUENCES)
def test_half_of_a_sequence_is_as_without_beliefs(name):
    plain = SPACE.expect(**dict.fromkeys(SPACE.searched))
    sampler = SEQUENCES[name]()
    with_them, without = asked(sampler, SPACE, 1000), asked(sampler, plain, 1000)
    same = (with_them == without).all(axis=1)
    assert 490 <= same.sum() <= 510
    # at no digit's pace: also half of each eighth, and of every second point
    assert all(50 < part.sum() < 75 for part in np.split(same, 8))
    assert 240 < same[::2].sum() < 260


def test_without_beliefs_the_state_of_a_sampler_is_as_before():
    plain = jt.Space(x=jt.uniform(0.0, 1.0))
    state = jt.samplers.sobol().init(KEY, plain)
    assert type(state).__name__ == "SobolState"


def test_the_weight_of_a_belief_fades_and_is_bounded():
    rows = np.full((2, SPACE.dim), 0.5, np.float32)
    rows[1, 0] = 0.0  # five deviations from the belief about the rate
    few, most, many = (
        np.asarray(beliefs.log_belief(SPACE, rows, n))
        for n in (1, beliefs.FADING, 100 * beliefs.FADING)
    )
    assert few[0] > few[1]
    assert (few == most).all()
    np.testing.assert_allclose(many, most / 100, rtol=1e-5)
    least = np.log(1 - beliefs.SHARE)
    assert few[1] - few[0] > least - 5
    corner = np.zeros((1, SPACE.dim), np.float32)
    assert beliefs.log_belief(SPACE, corner, 1)[0] >= least * SPACE.dim


def test_a_belief_weighs_nothing_where_its_dimension_does_not_matter():
    momentum = jt.reverse_log_uniform(0.5, 0.999, prior=jt.near(0.9, spread=0.05))
    space = jt.Space(
        optimizer=jt.choice(["sgd", "momentum"]),
        momentum=jt.when(momentum, optimizer="momentum"),
    )
    rows = np.array([[0.25, 0.0], [0.75, 0.0]], np.float32)
    without, matters = np.asarray(beliefs.log_belief(space, rows, 1))
    assert without == 0
    assert matters < -1


def regret(space, sampler, trials=40):
    """The best distance to the optimum, in shares of the space."""
    state, best = sampler.init(KEY, space), np.inf
    for _ in range(trials // 5):
        state, points = sampler.ask(state, 5)
        far = ((points[:, 0] - 0.5) ** 2 + (points[:, 1] - 0.4) ** 2) ** 0.5
        state, best = sampler.tell(state, points, -far), min(best, float(far.min()))
    return best


@pytest.mark.parametrize("name", LEARNERS)
def test_a_model_begins_where_it_is_told_and_overcomes_a_wrong_belief(name):
    plain = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    good = plain.expect(x=jt.near(0.5, spread=0.05), y=jt.near(0.4, spread=0.05))
    wrong = plain.expect(x=jt.near(0.95, spread=0.05), y=jt.near(0.95, spread=0.05))
    sampler = LEARNERS[name]()
    assert regret(good, sampler, 10) < 0.08
    assert regret(wrong, sampler) < 0.1


def test_another_belief_compiles_nothing():
    sampler = jt.samplers.sobol()
    asked(sampler, SPACE, 16)
    other = SPACE.expect(rate=jt.near(0.1), optimizer=jt.near("lion", spread=0.1))
    assert jax.tree.structure(other) == jax.tree.structure(SPACE)
    with jax.log_compiles(), pytest.MonkeyPatch.context() as patch:
        compiled = []
        patch.setattr(
            jax._src.dispatch.logger, "log", lambda *args, **_: compiled.append(args)
        )
        asked(sampler, other, 16)
    assert not [args for args in compiled if "Finished XLA" in str(args)]


def test_the_value_of_a_belief_is_the_default():
    assert SPACE["rate"].default == 1e-2
    assert SPACE["batch"].default == 64
    assert SPACE["optimizer"].default == "adam"
    # the dimension's own value, whatever equals it
    twins = jt.Space(
        power=jt.power_of_two(16, 256, prior=jt.near(64.0)),
        whole=jt.integer(1, 9, prior=jt.near(3.0)),
        flag=jt.choice([False, True], prior=jt.near(1)),
    )
    found = [twins[name].default for name in twins.names]
    assert found == [64, 3, True]
    assert list(map(type, found)) == [int, int, bool]
    both = jt.uniform(0.0, 1.0, default=0.3, prior=jt.near(0.9))
    assert jt.Space(x=both)["x"].default == 0.3


def test_a_belief_is_shown_and_kept_as_it_was_stated():
    assert (
        "optimizer=choice(['sgd', 'adam', 'lion'], tier=2, prior=near('adam'"
        in repr(SPACE)
    )
    restored = space_of(json.loads(json.dumps(space_document(SPACE))))
    assert repr(restored) == repr(SPACE)
    assert_alike(restored, SPACE)
    box = SPACE.restrict(rate=(1e-3, 1e-2))
    again = box_of(restored, json.loads(json.dumps(box_document(box))))
    assert repr(again) == repr(box)
    # runs of earlier versions know no beliefs, and their documents are as they were
    plain = SPACE.expect(**dict.fromkeys(SPACE.searched))
    assert "prior" not in json.dumps(space_document(plain))


def test_the_printed_call_of_a_search_has_the_beliefs():
    names = {"jt": jt}
    exec(f"space = {space_code(SPACE, Names())}", names)
    assert repr(names["space"]) == repr(SPACE)
    assert jax.tree.structure(names["space"]) == jax.tree.structure(SPACE)


def test_a_box_keeps_the_belief_of_the_whole_dimension():
    box = SPACE.restrict(rate=(0.1, 0.5), layers=(3, 4))
    assert box["rate"].prior == SPACE["rate"].prior
    # also where the value is no longer in it, and on record
    restored = space_of(json.loads(json.dumps(space_document(box))))
    assert repr(restored) == repr(box)
    assert_alike(restored, box)
    sampler = jt.samplers.sobol()
    assert (asked(sampler, box, 64) == asked(sampler, restored, 64)).all()
    names = {"jt": jt}
    exec(f"space = {space_code(box, Names())}", names)
    assert_alike(names["space"], box)


def objective(key, hparams):
    near = (jnp.log10(hparams["rate"]) + 2) ** 2 + hparams["free"] ** 2
    return near + 0.1 * hparams["optimizer"].index


ARGUMENTS = {"key": KEY, "trials": 32, "rounds": 2, "mode": "min", "verbose": 0}


@pytest.mark.parametrize("sampler", ["sobol", "tpe"])
def test_a_run_with_beliefs_resumes_and_refuses_others(sampler, tmp_path):
    space = SPACE.keep("rate", "free", "optimizer")
    straight = jt.search(objective, space, sampler=sampler, **ARGUMENTS)
    at = tmp_path / "run"
    run = jt.search(objective, space, sampler=sampler, directory=at, **ARGUMENTS)
    for found in (run, jt.load(at), jt.resume(at, objective)):
        assert (found.trials["rate"] == straight.trials["rate"]).all()
        assert repr(found.setup.space) == repr(space)
    assert jt.rerun(at, 3, objective).same
    other = space.expect(rate=jt.near(1e-3))
    with pytest.raises(jt.RunError, match=r"near\(0\.01.*near\(0\.001"):
        jt.search(objective, other, sampler=sampler, directory=at, **ARGUMENTS)


def test_a_search_finds_more_where_it_was_right():
    def steep(key, hparams):
        return jnp.abs(jnp.log10(hparams["rate"]) + 2) + jnp.abs(
            jnp.log1p(-hparams["momentum"]) - jnp.log(0.1)
        )

    own = {**ARGUMENTS, "rounds": 1, "sampler": "sobol"}
    space = SPACE.keep("rate", "momentum")
    plain = space.expect(rate=None, momentum=None)
    seeds = [{**own, "key": jax.random.key(seed)} for seed in range(8)]
    with_them = [jt.search(steep, space, **each).best.score for each in seeds]
    without = [jt.search(steep, plain, **each).best.score for each in seeds]
    assert np.median(with_them) < np.median(without)


def test_a_run_of_a_box_resumes_with_its_belief(tmp_path):
    space = SPACE.keep("rate", "free", "optimizer").restrict(rate=(2e-4, 5e-3))
    straight = jt.search(objective, space, sampler="sobol", **ARGUMENTS)
    run = {**ARGUMENTS, "sampler": "sobol", "directory": tmp_path / "run"}
    jt.search(objective, space, stop=jt.stop.at(1e9), **run)
    resumed = jt.resume(tmp_path / "run", objective)
    assert (resumed.trials["rate"] == straight.trials["rate"]).all()


def test_a_box_to_start_in_has_the_beliefs_of_the_space():
    space = SPACE.keep("rate", "free", "optimizer")
    box = space.restrict(rate=(1e-3, 1e-1))
    jt.search(objective, space, start=box, sampler="sobol", **ARGUMENTS)
    for other in (box.expect(rate=jt.near(0.05)), box.expect(rate=None)):
        with pytest.raises(ValueError, match="start: dimension 'rate' has another"):
            jt.search(objective, space, start=other, sampler="sobol", **ARGUMENTS)


def test_a_sampler_that_does_not_follow_says_so():
    space = SPACE.keep("rate", "free")
    for sampler in (jt.samplers.grid(3),):
        with pytest.warns(UserWarning, match=r"does not follow.*rate"):
            points = asked(sampler, space, 9)
        assert len(np.unique(points, axis=0)) == 9


def test_an_optuna_sampler_says_so():
    samplers = pytest.importorskip("optuna").samplers
    with pytest.warns(UserWarning, match=r"optuna: does not follow.*rate"):
        jt.samplers.optuna(samplers.RandomSampler).init(KEY, SPACE.keep("rate", "free"))


def test_the_first_generation_of_cma_es_follows():
    pytest.importorskip("cmaes")
    space = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
    space = space.expect(x=jt.near(0.9, spread=0.05), y=jt.near(0.1, spread=0.05))
    points = asked(jt.samplers.cma_es(population=16), space, 16)
    there = (points[:, 0] > 0.75) & (points[:, 1] < 0.25)
    assert there.sum() >= 4


def test_defaults_of_the_lecture_are_firmer_the_less_important_they_are():
    space = jt.presets.near_defaults(jt.presets.standard())
    spreads = {1: None, 2: 0.3, 3: 0.2, 4: 0.1}
    for name in space.searched:
        dim = space[name]
        if spreads[dim.tier] is None:
            assert dim.prior is None
        else:
            assert stated(dim) == (dim.default, spreads[dim.tier])
    own = jt.Space(
        x=jt.uniform(0.0, 1.0, prior=jt.near(0.9, spread=0.7)), y=jt.fixed(2)
    )
    assert stated(jt.presets.near_defaults(own)["x"]) == (0.9, 0.7)


WRONG = {
    "no belief": (lambda: jt.uniform(0.0, 1.0, prior=0.5), r"'x'.*Use near\(0\.5\)"),
    "outside": (lambda: jt.uniform(0.0, 1.0, prior=jt.near(2)), "from 0.0 to 1.0"),
    "a word": (lambda: jt.uniform(0.0, 1.0, prior=jt.near("a")), "from 0.0 to 1.0"),
    "not a number": (lambda: jt.uniform(0.0, 1.0, prior=jt.near(math.nan)), "near nan"),
    "no power": (lambda: jt.power_of_two(1, 8, prior=jt.near(3)), "near 3"),
    "no choice": (lambda: jt.choice(["a", "b"], prior=jt.near("c")), r"\['a', 'b'\]"),
    "between": (lambda: jt.integer(1, 3, prior=jt.near(1.5)), "near 1.5"),
    "true": (lambda: jt.integer(0, 3, prior=jt.near(True)), "near True"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_definition_is_named(name):
    make, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        jt.Space(x=make())


@pytest.mark.parametrize("spread", [0, -1, 1e-4, 1.5, math.nan, "wide", None])
def test_a_wrong_spread_is_named(spread):
    with pytest.raises(ValueError, match="near: spread must lie in"):
        jt.near(0.5, spread=spread)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"nothing": jt.near(1)}, "unknown dimension 'nothing'"),
        ({"rate": 0.01}, r"'rate'.*Use near\(0\.01\)"),
        ({"rate": jt.near(5.0)}, "near 5.0"),
    ],
)
def test_expect_names_what_is_wrong(wrong, words):
    with pytest.raises(ValueError, match=words):
        SPACE.expect(**wrong)
    with pytest.raises(ValueError, match="fixed at"):
        SPACE.keep("free").expect(rate=jt.near(0.01))
