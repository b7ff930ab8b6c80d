"""No configuration is trained twice in a search while untried ones are left."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from editing import edit_settings

import jaxtune as jt
from jaxtune import _search
from jaxtune.rounds.arguments import Search
from jaxtune.rounds.repeats import distinct, identities
from jaxtune.space.points import Points

SPACE = jt.Space(
    kind=jt.choice(["a", "b", "c"]),
    decay=jt.ordinal([0.1, 0.3]),
    layers=jt.integer(1, 4, scale="log"),
)
BRANCHES = jt.Space(  # 1 + 5 + 3 configurations
    optimizer=jt.choice(["sgd", "momentum", "adam"]),
    steps=jt.when(jt.integer(1, 5), optimizer="momentum"),
    beta=jt.when(jt.ordinal([0.8, 0.9, 0.99]), optimizer="adam"),
)
SAMPLERS = {
    "sobol": jt.samplers.sobol,
    "uniform": jt.samplers.uniform,
    "halton": jt.samplers.halton,
    "tpe": jt.samplers.tpe,
    "gaussian_process": jt.samplers.gaussian_process,
}
KEY = jax.random.key(5)


def total(key, hparams):
    values = [hparams[name] for name in sorted(hparams)]
    return sum(jnp.float32(getattr(value, "index", value)) for value in values)


def search(space=SPACE, objective=total, **changes):
    own = {"key": KEY, "trials": 24, "mode": "min", "verbose": 0, "sampler": "sobol"}
    return jt.search(objective, space, **own | changes)


def configurations(result):
    """The active values of each trial; NaN is a value that does not matter."""
    names = result.setup.space.names
    rows = [result.trials.row(trial) for trial in range(len(result.trials))]
    return [tuple(str(row[name]) for name in names) for row in rows]


@pytest.mark.parametrize("rounds", [1, 2, 4])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_configuration_is_tried_once(name, rounds):
    found = configurations(search(sampler=SAMPLERS[name](), rounds=rounds))
    assert len(set(found)) == len(found) == SPACE.size


def test_only_values_that_matter_make_a_configuration():
    found = configurations(search(BRANCHES, trials=9, rounds=3))
    assert len(set(found)) == 9
    assert found.count(("sgd", "nan", "nan")) == 1


def test_tiers_do_not_come_back_to_a_configuration():
    space = jt.Space(
        a=jt.integer(1, 4, tier=1), b=jt.integer(1, 3), c=jt.integer(1, 2, tier=3)
    )
    result = jt.search(total, jt.tiered(space, 24), key=KEY, mode="min", verbose=0)
    found = configurations(result)
    assert len(set(found)) == len(found) == space.size


def test_all_are_tried_before_any_is_tried_again():
    with pytest.warns(UserWarning, match="24 configurations, so that 60 trials"):
        found = configurations(search(trials=60))
    assert len(set(found)) == SPACE.size


@pytest.mark.parametrize("name", ["sobol", "uniform", "halton"])
def test_a_trial_depends_on_none_after_it(name):
    few, many = [
        configurations(search(sampler=SAMPLERS[name](), trials=n)) for n in (14, 20)
    ]
    assert few == many[:14]


def test_the_first_points_are_those_of_the_sampler():
    sampler = jt.samplers.sobol()
    result = search(sampler=sampler, trials=14)
    draw = jax.random.fold_in(jax.random.fold_in(KEY, 0), 0)
    asked = np.asarray(sampler.ask(sampler.init(draw, SPACE), 14)[1])
    names = identities(SPACE, SPACE.decode(asked))
    new = [name not in names[:i] for i, name in enumerate(names)]
    assert not all(new), "the sampler repeats none, so nothing is tested"
    # a point may be taken already by the exchange of one before it
    same = (result.trials.points == asked).all(axis=1)
    assert same[: new.index(False)].all()
    assert not same[~np.asarray(new)].any()


def test_points_of_a_space_without_end_are_left_alone():
    space = jt.Space(x=jt.uniform(0.0, 1.0), n=jt.integer(1, 2))
    points = np.full((8, 2), 0.5, np.float32)
    begin = Points(space, points, jax.device_get(space.decode(points)))
    assert distinct(KEY, begin, set()) is begin


def test_spaces_too_large_to_list_have_no_repeats_either():
    space = jt.Space(a=jt.integer(0, 2**11), b=jt.integer(1, 2**11, scale="log"))
    points = np.random.default_rng(0).random((4000, 2), dtype=np.float32) / 16
    begin = Points(space, points, jax.device_get(space.decode(points)))
    assert len(set(identities(space, begin.hparams))) < 3500
    end = distinct(KEY, begin, set())
    assert len(set(identities(space, end.hparams))) == 4000
    # spread over the whole cube, as a log scale has it
    moved = (end.points != points).any(axis=1)
    np.testing.assert_allclose(end.points[moved].mean(axis=0), 0.5, atol=0.05)


@pytest.mark.parametrize(
    "dim",
    [
        jt.integer(1, 65536, scale="log"),
        jt.integer(-5, 300),
        jt.power_of_two(1, 2**30),
        jt.ordinal([0.0, 0.1, 30.0]),
        jt.choice(["a", "b", "c"]),
    ],
)
def test_the_middles_are_in_different_cells(dim):
    space = jt.Space(x=dim)
    values = np.asarray(space.decode(dim.middles[:, None])["x"])
    assert len(values) == dim.cardinality
    assert (np.diff(values) > 0).all()


def test_a_run_that_began_with_repeats_keeps_them(tmp_path, monkeypatch):
    class Interrupt(jt.Callback):
        def on_round(self, result):
            raise KeyboardInterrupt

    def old(**arguments):
        return Search(**arguments | {"distinct": False})

    more = {"rounds": 2, "trials": 20, "sampler": "sobol"}
    with monkeypatch.context() as patch:
        patch.setattr(_search, "Search", old)
        whole = search(**more)
        with pytest.raises(KeyboardInterrupt):
            search(directory=tmp_path / "run", callbacks=[Interrupt()], **more)
    assert len(set(configurations(whole))) < 20
    # the settings of versions that knew no other way
    edit_settings(tmp_path / "run", lambda settings: settings.pop("distinct"))
    again = search(directory=tmp_path / "run", **more)
    np.testing.assert_array_equal(again.trials.points, whole.trials.points)
    assert configurations(search(**more)) != configurations(whole)
