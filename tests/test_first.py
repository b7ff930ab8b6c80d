"""Known settings first, and earlier searches as history."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from test_storage import SCHEDULERS, assert_same, cut  # noqa: F401

import jaxtune as jt
from jaxtune import _prior
from jaxtune._prior import check_prior
from jaxtune.rounds import past as rounds_past
from jaxtune.rounds.past import agreement, rank_correlation

KEY = jax.random.key(3)
SPACE = jt.Space(
    rate=jt.log_uniform(1e-4, 1.0, default=1e-2),
    units=jt.integer(1, 64, scale="log", default=8),
    batch=jt.power_of_two(16, 256),
    kind=jt.choice(["a", "b"]),
    decay=jt.ordinal([0.0, 0.1, 1.0], default=0.1),
    only_b=jt.when(jt.uniform(0.0, 1.0), kind="b"),
    size=jt.fixed(7),
)


def objective(key, hparams):
    """A number in which every dimension is seen."""
    kind = jnp.where(hparams["kind"] == "a", 0.0, 10.0)
    small = hparams["only_b"] + hparams["decay"] + hparams["size"]
    return hparams["rate"] + hparams["units"] + hparams["batch"] + kind + small


def search(task=objective, space=SPACE, **changes):
    arguments = {
        "key": KEY,
        "trials": 16,
        "rounds": 2,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(task, space, **(arguments | changes))


def test_known_settings_are_the_first_trials_to_the_bit():
    known = [{"rate": 0.003, "units": 9.0, "kind": "b", "only_b": 0.7}, {"batch": 16}]
    found, plain = search(first=known), search()
    assert found.trials["rate"].dtype == np.float32
    # the numbers themselves, and not the nearest point of the cube
    np.testing.assert_array_equal(found.trials["rate"][:2], np.float32([0.003, 0.01]))
    assert found.trials["units"][:2].tolist() == [9, 8]
    assert found.trials["batch"][:2].tolist() == [64, 16]
    assert found.trials["kind"][:2].tolist() == ["b", "a"]
    assert found.trials["decay"][0] == np.float32(0.1)
    np.testing.assert_array_equal(found.trials["only_b"][:2], np.float32([0.7, np.nan]))
    by_hand = [0.003 + 9 + 64 + 10 + 0.7 + 0.1 + 7, 0.01 + 8 + 16 + 0 + 0.5 + 0.1 + 7]
    np.testing.assert_allclose(found.trials["score"][:2], by_hand, rtol=1e-6)
    # the others of the first round are as without
    for name in found.trials.names:
        now, before = (r.trials[name][2:8] for r in (found, plain))
        np.testing.assert_array_equal(now, before, name)
    # and the points are close enough to be one cell in a model
    again = found.spaces[0].decode(found.trials.points[:2])
    for name, values in again.items():
        np.testing.assert_allclose(values, found.trials.decoded[name][:2], rtol=1e-5)


def test_defaults_and_what_a_result_has_are_known_settings():
    found = search(first="defaults")
    assert found.trials.row(0)["rate"] == np.float32(1e-2)
    assert SPACE.values(found.trials.decoded, 0)["units"] == 8
    best = found.best.hparams
    again = search(first=[best, {}])
    assert again.spaces[0].values(again.trials.decoded, 0) == best
    assert again.trials["score"][0] == np.float32(found.best.score)


def test_a_default_outside_of_the_search_is_told():
    space = SPACE.restrict(rate=(0.1, 1.0))
    with pytest.warns(UserWarning, match=r"first\[0\].*'rate', 0.01.*gets 0.1"):
        found = search(space=space, first="defaults")
    assert found.trials["rate"][0] == np.float32(0.1)
    box = SPACE.restrict(rate=(1e-3, 1e-2))
    with pytest.raises(ValueError, match=r"rate.*0.5 does not lie in"):
        search(start=box, first=[{"rate": 0.5}])


def test_in_a_finite_space_nothing_comes_twice():
    space = jt.Space(a=jt.integer(0, 5), b=jt.choice([1, 2, 3]))
    found = search(
        lambda h: h["a"] * h["b"], space, trials=18, rounds=3, first=[{"a": 5}, {}]
    )
    pairs = list(zip(found.trials["a"], found.trials["b"], strict=True))
    assert len(set(pairs)) == 18
    assert pairs[0] == (5, 1)


def test_a_tier_that_is_closed_has_its_defaults():
    space = jt.Space(x=jt.uniform(0.0, 1.0, tier=1), y=jt.uniform(0.0, 1.0, tier=2))
    schedule = jt.tiered(space, 12)

    def run(first):
        return jt.search(
            lambda h: h["x"] + h["y"],
            schedule,
            key=KEY,
            mode="min",
            verbose=0,
            first=first,
        )

    assert run([{"x": 0.25, "y": 0.5}]).trials["x"][0] == np.float32(0.25)
    with pytest.raises(ValueError, match=r"'y'.*0.25 differs from 0.5.*later round"):
        run([{"y": 0.25}])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_known_settings_survive_cuts_under_every_scheduler(
    name,
    small_task,
    small_space,
    tmp_path,
    cut,  # noqa: F811
):
    own = {
        "trials": 12,
        "epochs": 6,
        "mode": "max",
        "block": 4,
        "seeds": 2,
        "scheduler": SCHEDULERS[name],
        "first": [{"learning_rate": 0.1, "momentum": 0.8}, {}],
        "sampler": "sobol",
    }
    straight = search(small_task, small_space, **own)
    at = tmp_path / "run"
    for blocks in (1, 3):
        cut(blocks)
        with pytest.raises(KeyboardInterrupt):
            search(small_task, small_space, **own, directory=at)
    cut(10**9)
    assert_same(jt.resume(at), straight)
    assert jt.rerun(at, 0).same
    # population based training changes values on the way
    if name != "pbt":
        assert straight.trials["momentum"][0] == np.float32(0.8)
        assert straight.trials["learning_rate"][0] == np.float32(0.1)


def test_a_run_is_only_gone_on_with_its_known_settings(tmp_path):
    search(first=[{"rate": 0.5}], directory=tmp_path / "run")
    for other in ({}, {"first": [{"rate": 0.25}]}):
        with pytest.raises(jt.RunError, match=r"another first: .*'rate': 0.5"):
            search(**other, directory=tmp_path / "run")
    assert search(first=[{"rate": 0.5}], directory=tmp_path / "run").finished


# earlier searches as history

PLANE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2 + (hparams["y"] - 0.6) ** 2


def upside_down(key, hparams):
    return -bowl(key, hparams)


def earlier(task=bowl, space=PLANE, **changes):
    arguments = {
        "key": jax.random.key(9),
        "trials": 40,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    return jt.search(task, space, **(arguments | changes))


def later(prior, **changes):
    arguments = {
        "key": KEY,
        "trials": 32,
        "rounds": 4,
        "mode": "min",
        "verbose": 0,
        "sampler": "sobol",
    }
    arguments |= {"sampler": "tpe", "block": 8, "prior": prior}
    return jt.search(bowl, PLANE, **(arguments | changes))


def normal(scores):
    """Normal scores of ranks where more is better; no two are equal."""
    order = np.argsort(np.argsort(scores))
    return scipy.stats.norm.ppf((order + 0.5) / len(scores)).astype(np.float32)


def test_half_of_the_first_points_know_a_past_and_the_others_are_as_without():
    past = earlier()
    found, plain = later(past), later(None)
    np.testing.assert_array_equal(found.trials.points[:4], plain.trials.points[:4])
    told, untold = (r.trials["score"][4:8] for r in (found, plain))
    assert np.median(told) < 0.3 * np.median(untold)
    # by hand: the sampler that was told the past, with the key of its stream
    sampler = jt.samplers.tpe()
    stream = jax.random.fold_in(jax.random.fold_in(KEY, 4), 0)
    state = sampler.init(jax.random.fold_in(stream, 0), PLANE)
    points = PLANE.encode(past.trials.decoded)
    state = sampler.tell(state, points, normal(-past.trials["score"]))
    np.testing.assert_array_equal(sampler.ask(state, 4)[1], found.trials.points[4:8])


def test_a_past_that_is_the_opposite_decides_over_nothing_but_the_first_points():
    found, plain = later(earlier(upside_down)), later(None)
    np.testing.assert_array_equal(found.trials.points[:4], plain.trials.points[:4])
    own = [(plain.trials.decoded, -plain.trials["score"])]
    for task, low, high in ((bowl, 0.25, 1.0), (upside_down, 0.0, 0.0)):
        (past,) = check_prior(earlier(task), PLANE, jt.samplers.tpe(), "value", "min")
        trust, known = agreement(past, PLANE, own)
        assert low <= trust <= high
        # it promises no more than what was seen
        assert known.max() <= own[0][1].max()
        assert agreement(past, PLANE, [])[0] == 0.5


def test_trust_is_the_rank_correlation_and_fades(monkeypatch):
    rng = np.random.default_rng(0)
    one = rng.normal(size=50).round(1)  # with ties
    other = (one + rng.normal(size=50)).round(1)
    by_scipy = scipy.stats.spearmanr(one, other).statistic
    assert abs(rank_correlation(one, other) - by_scipy) < 1e-12
    assert rank_correlation(one, np.ones(50)) == 0
    (past,) = check_prior(earlier(), PLANE, jt.samplers.tpe(), "value", "min")
    trusts = []
    for count in (16, 64, 256):
        hparams = PLANE.decode(jax.random.uniform(KEY, (count, 2)))
        scores = -np.asarray(bowl(KEY, hparams))
        trusts.append(agreement(past, PLANE, [(hparams, scores)])[0])
    assert trusts[0] > trusts[1] > trusts[2] > 0
    # cut into parts it is the same
    monkeypatch.setattr(rounds_past, "AT_ONCE", 100)
    assert agreement(past, PLANE, [(hparams, scores)])[0] == trusts[-1]
    monkeypatch.setattr(rounds_past, "MOST", 64)  # of the 256
    assert abs(agreement(past, PLANE, [(hparams, scores)])[0] - trusts[-1]) < 0.1


@pytest.mark.parametrize("sampler", ["gaussian_process", "trust_region", "cma_es"])
def test_every_sampler_that_learns_takes_a_past(sampler):
    own = {"sampler": sampler, "trials": 16, "rounds": 2}
    found, plain = later(earlier(), **own), later(None, **own)
    assert (found.trials.points[:8] != plain.trials.points[:8]).any()
    # known settings take the first places, and the past the last ones
    both = later(earlier(), **own, first=[{"x": 0.5}])
    assert both.trials["x"][0] == np.float32(0.5)
    np.testing.assert_array_equal(both.trials.points[1:8], found.trials.points[1:8])


def test_a_sampler_that_does_not_learn_is_told():
    with pytest.warns(UserWarning, match="sobol does not learn"):
        found = later(earlier(), sampler="sobol")
    plain = later(None, sampler="sobol")
    np.testing.assert_array_equal(found.trials.points, plain.trials.points)


def test_single_points_are_given_to_a_past_by_chance():
    past, asked = earlier(), []
    for seed in range(12):
        own = {"key": jax.random.key(seed), "trials": 1, "rounds": 1}
        found, plain = later(past, **own), later(None, **own)
        asked.append(bool((found.trials.points != plain.trials.points).any()))
    assert 2 <= sum(asked) <= 10


def mapped(result, space):
    (past,) = check_prior(result, space, jt.samplers.tpe(), "value", "min")
    return past


def test_a_past_in_another_space_is_mapped_and_what_cannot_be_is_told():
    there = jt.Space(
        x=jt.uniform(0.0, 2.0),
        n=jt.integer(1, 8),
        kind=jt.choice(["a", "b", "c"]),
        old=jt.uniform(0.0, 1.0),
        only_b=jt.when(jt.uniform(0.0, 1.0), kind="b"),
    )
    here = jt.Space(
        new=jt.uniform(0.0, 1.0, default=0.25),
        kind=jt.choice(["c", "b"]),
        n=jt.power_of_two(1, 8),
        x=jt.log_uniform(0.1, 1.0),
        only_b=jt.when(jt.uniform(0.0, 1.0), kind="b"),
    )

    def value(key, h):
        kind = jnp.where(h["kind"] == "a", 0.0, 1.0)
        return h["x"] + h["n"] + kind + h["old"] + h["only_b"]

    result = earlier(value, there, trials=60)
    with pytest.warns(UserWarning, match="prior: ") as told:
        past = mapped(result, here)
    said = " ".join(str(one.message) for one in told)
    assert "it has no new; its trials count as new=0.25" in said
    assert "it searched old too" in said
    for name in ("x", "n", "kind"):
        assert f"have values of {name} that are not in this space" in said
    # by hand
    t = result.trials
    fits = (t["x"] >= 0.1) & (t["x"] <= 1) & np.isin(t["n"], [1, 2, 4, 8])
    rows = np.flatnonzero(fits & (t["kind"] != "a"))
    assert f"{len(rows)} of 60 trials are used" in said
    assert len(rows) > 3
    np.testing.assert_array_equal(past.hparams["x"], t["x"][rows])
    np.testing.assert_array_equal(past.hparams["n"], t["n"][rows])
    index = [["c", "b"].index(kind) for kind in t["kind"][rows]]
    assert past.hparams["kind"].tolist() == index
    assert set(past.hparams["new"].tolist()) == {0.25}
    b = t["kind"][rows] == "b"
    np.testing.assert_array_equal(past.hparams["only_b"][b], t["only_b"][rows][b])
    np.testing.assert_allclose(past.scores, normal(-t["score"])[rows], rtol=1e-4)


def test_a_condition_that_did_not_hold_there_leaves_a_trial_out():
    there = jt.Space(k=jt.choice([0, 1]), z=jt.when(jt.uniform(0.0, 1.0), k=0))
    here = jt.Space(k=jt.choice([0, 1]), z=jt.uniform(0.0, 1.0))
    result = earlier(lambda h: h["z"] + h["k"], there)
    with pytest.warns(UserWarning, match="did not set z, which matters here"):
        past = mapped(result, here)
    assert len(past.scores) == (result.trials["k"] == 0).sum()


def test_failures_and_other_metrics_of_a_past():
    def fails(h):
        return jnp.where(h["x"] > 0.5, jnp.nan, h["x"] + h["y"])

    result = earlier(fails)
    with pytest.warns(UserWarning, match=r"is value \(min\), .* value \(max\)"):
        (past,) = check_prior(result, PLANE, jt.samplers.tpe(), "value", "max")
    assert np.isnan(past.scores).sum() == result.trials.failed.sum() > 5
    assert np.nanargmax(past.scores) == np.nanargmin(result.trials["score"])
    nothing = jt.Space(a=jt.uniform(0.0, 1.0))
    with pytest.raises(ValueError, match="shares no searched dimension"):
        check_prior(result, nothing, jt.samplers.tpe(), "value", "min")
    elsewhere = jt.Space(x=jt.uniform(5.0, 6.0), y=jt.uniform(0.0, 1.0))
    with pytest.warns(UserWarning, match="0 of 40 trials are used"):
        found = check_prior(result, elsewhere, jt.samplers.tpe(), "value", "min")
    assert found == ()


def test_a_run_remembers_its_past_without_the_other_directory(
    tmp_path,
    cut,  # noqa: F811
):
    earlier(directory=tmp_path / "old")
    straight, at = later(tmp_path / "old"), tmp_path / "run"
    cut(2)
    with pytest.raises(KeyboardInterrupt):
        later(jt.load(tmp_path / "old"), directory=at)
    cut(10**9)
    (tmp_path / "old").rename(tmp_path / "gone")
    assert_same(jt.resume(at, bowl, verbose=0), straight)
    assert sorted(p.name for p in at.iterdir())[:2] == ["prior.npz", "run.json"]
    assert jt.rerun(at, 9, bowl).same
    assert_same(later(tmp_path / "gone", directory=at), straight)
    for other in (None, earlier(upside_down), [tmp_path / "gone", tmp_path / "gone"]):
        with pytest.raises(jt.RunError, match="another prior"):
            later(other, directory=at)
    more = jt.extend(at, bowl, trials=8, verbose=0)
    assert len(more.trials) == 40
    data = (at / "prior.npz").read_bytes()
    other = data.replace(b"scores", b"scares")
    for words, wrong in (("is missing", b""), ("damaged", data[:99]), ("dam", other)):
        (at / "prior.npz").unlink(missing_ok=True)
        if wrong:
            (at / "prior.npz").write_bytes(wrong)
        with pytest.raises(jt.RunError, match=words):
            jt.resume(at, bowl, verbose=0)


def test_of_very_many_trials_the_best_are_used(monkeypatch):
    monkeypatch.setattr(_prior, "MOST", 10)
    result = earlier()
    with pytest.warns(UserWarning, match="of 40 trials the best 5 are used"):
        past = mapped(result, PLANE)
    assert len(past.scores) == 10
    best = np.argsort(result.trials["score"])[:5]
    assert set(result.trials["x"][best]) <= set(past.hparams["x"].tolist())
    rows = [result.trials["x"].tolist().index(x) for x in past.hparams["x"].tolist()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(past.hparams["y"], result.trials["y"][rows])
    expected = normal(-result.trials["score"])[rows]
    np.testing.assert_allclose(past.scores, expected, rtol=1e-4)


def test_several_pasts_share_the_points():
    both, plain = later([earlier(), earlier(upside_down)]), later(None)
    # a quarter of eight points each
    np.testing.assert_array_equal(both.trials.points[:4], plain.trials.points[:4])
    assert both.trials["score"][4:6].max() < both.trials["score"][6:8].min()
