"""Studies: values over equal points and seeds, and what may be said of them."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune import cli
from jaxtune.analysis import ComparedValues, TunedValue
from jaxtune.analysis._study import contrasts_of, luck_of_tuning
from jaxtune.report.call import printed_call
from jaxtune.report.code import space_code
from jaxtune.report.study_words import conclusion_of
from jaxtune.rounds.roles import space_of_study
from jaxtune.samplers.crossing import crossed
from jaxtune.schedulers.groups import apart

SPACE = jt.Space(
    rate=jt.log_uniform(1e-4, 1.0),
    kind=jt.choice(["a", "b", "<c>"]),
    units=jt.integer(1, 64, scale="log"),
)
TPE = jt.samplers.tpe(initial=5)
ARGUMENTS = {"key": jax.random.key(0), "trials": 16, "mode": "min", "verbose": 0}


def objective(key, hparams):
    """Kind b is worse, and units make no difference."""
    own = jax.random.fold_in(key, hparams["kind"].index)
    noise = 0.05 * (jax.random.normal(key) + jax.random.normal(own))
    worse = 0.5 * (hparams["kind"] == "b") + 0 * hparams["units"]
    return (jnp.log10(hparams["rate"]) + 2) ** 2 + worse + noise


def simulated(rng, shift, settings=32, repeats=10, noise=0.05):
    """The standing of the settings of two values, and the best of each again."""
    x, values = rng.random(settings), (0.0, shift)
    truth = np.stack([value - (x - 0.3) ** 2 for value in values])
    tuned = truth + noise * rng.normal(size=truth.shape)
    best = truth[np.arange(2), tuned.argmax(axis=1)]
    fresh = best[:, None] + noise * rng.normal(size=(2, repeats))
    return list(fresh), list(tuned)


@pytest.fixture(scope="module")
def study():
    return jt.study(objective, SPACE, scientific=["kind"], **ARGUMENTS)


def test_equal_values_are_called_different_in_at_most_one_study_of_twenty():
    rng = np.random.default_rng(0)
    found = [contrasts_of(*simulated(rng, shift=0.0))[0] for _ in range(400)]
    assert np.mean([pair.shown for pair in found]) <= 0.05
    # each test alone would not do: the settings that were found do differ
    assert np.mean([pair.test.p <= 0.05 for pair in found]) > 0.06


def test_a_value_that_is_better_is_found_and_the_interval_covers_by_how_much():
    rng = np.random.default_rng(1)
    found = [contrasts_of(*simulated(rng, shift=0.15))[0] for _ in range(200)]
    assert np.mean([pair.shown and pair.better == 1 for pair in found]) > 0.95
    covers = [pair.test.low <= 0.15 <= pair.test.high for pair in found]
    assert np.mean(covers) > 0.8


def test_the_luck_of_tuning_is_that_of_exchanged_scores():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(500, 2, 24))
    small = [luck_of_tuning(*both) <= 0.05 for both in values]
    assert np.mean(small) <= 0.06
    # one lucky setting among equal ones shows nothing, and failed ones are no help
    one, other = values[0].copy(), values[0].copy()
    one[0, 0] = other[0, 1] = np.nan
    one[0, 3] = 100.0
    assert luck_of_tuning(one[0], other[0]) > 0.05


def test_more_values_need_a_smaller_p():
    rng = np.random.default_rng(3)
    pairs = contrasts_of([rng.normal(size=10) for _ in range(6)], None)
    assert len(pairs) == pairs[0].tests == 15
    first = min(pairs, key=lambda pair: pair.test.p)
    assert first.p == min(1.0, 15 * first.test.p) > first.test.p
    assert all(pair.p >= pair.test.p for pair in pairs)


def test_every_value_gets_the_same_points(study):
    trials = study.result.trials
    tuned = slice(0, 48)
    for name in ("rate", "units"):
        rows = trials[name][tuned].reshape(16, 3)
        assert (rows == rows[:, :1]).all()
    assert trials["kind"][:3].tolist() == ["a", "b", "<c>"]


def test_every_value_gets_the_same_points_where_some_come_twice():
    def value(key, hparams):
        return hparams["units"] * 0.1 + jax.random.normal(key) * hparams["kind"].index

    space = jt.Space(units=jt.integer(1, 16), kind=jt.choice(["a", "b"]))
    found = jt.study(
        value, space, scientific=["kind"], **ARGUMENTS | {"sampler": "uniform"}
    )
    units = found.result.trials["units"][:32].reshape(16, 2)
    assert (units[:, 0] == units[:, 1]).all()
    assert len(np.unique(units)) < 16


def test_random_numbers_are_shared_by_values_and_differ_between_settings():
    def drawn(key, hparams):
        return jax.random.uniform(key) + 0 * hparams["rate"] + 0 * hparams["units"]

    found = jt.study(
        drawn, SPACE.keep("rate", "units"), scientific={"units": [1, 8]}, **ARGUMENTS
    )
    scores = found.result.trials["score"].reshape(-1, 2)
    assert (scores[:, 0] == scores[:, 1]).all()
    assert len(np.unique(scores[:, 0])) == len(scores)
    keys = [found.result.key(trial) for trial in range(scores.size)]
    np.testing.assert_array_equal(list(map(jax.random.uniform, keys)), scores.ravel())


def test_a_value_is_tuned_as_if_the_others_were_not_there(study):
    fewer = jt.study(
        objective, SPACE, scientific={"kind": ["a", "b"]}, **ARGUMENTS
    ).result.trials
    every = study.result.trials
    for value in ("a", "b"):
        one, other = (t["score"][t["kind"] == value] for t in (every, fewer))
        np.testing.assert_array_equal(one, other)


def test_a_study_says_what_differs_by_how_much_and_what_does_not(study):
    said = study.conclusion
    first, near, far = (row["kind"] for row in study.table)
    assert far == "b"
    assert said.startswith(f"{first} is better at this budget than b (value better by ")
    assert f"{first} and {near} do not differ at this budget (value apart by" in said
    assert "; one of more than 0." in said
    assert said.endswith(" would be shown in four of five such studies.")
    found = study.comparisons["kind"]
    best = found.values[found.order[0]]
    assert best.low < best.mean < best.high
    assert best.mean == pytest.approx(study.result.best.score)
    assert study.table[0]["trial"] == study.result.best.trial
    assert "Holm" in study.notes[0]
    assert len(study.table.to_pandas()) == 3


def test_text_of_a_user_is_escaped_wherever_a_study_is_shown(study, tmp_path):
    page = study.report(tmp_path / "study.html").read_text()
    for html in (page, study._repr_html_()):
        assert "&lt;c&gt;" in html
        assert "<c>" not in html
    assert "Values compared" in page
    assert "<c>" in repr(study)
    assert study.figure().get_label().startswith("The kind in isolation.")


def test_an_optimum_at_a_border_is_told():
    def rising(key, hparams):
        return hparams["rate"] + 0.01 * jax.random.normal(key) + 0 * hparams["units"]

    space = jt.Space(rate=jt.uniform(0.0, 1.0), units=jt.ordinal([1, 2]))
    found = jt.study(rising, space, scientific=["units"], **ARGUMENTS | {"mode": "max"})
    assert any("crowd the high end of rate, 1" in note for note in found.notes)


def test_too_few_trials_or_repeats_are_told():
    few = ARGUMENTS | {"trials": 4, "repeats": 3}
    found = jt.study(objective, SPACE, scientific=["kind"], **few)
    assert "is not known" in found.conclusion
    assert "it takes repeats=7 and trials=7 or more" in found.notes[0]


def _value(name, fine=True, trial=0, scores=(1.0, 1.1, 1.2)):
    """A value of a study by hand, as far as sentences read it."""
    mean = float(np.mean(scores))
    return TunedValue(
        {"kind": name}, 8, 0, trial, 1.0, np.array(scores), mean, 0, 0, {}, fine, ()
    )


def test_settings_that_come_again_are_one_setting():
    def value(key, hparams):
        return hparams["units"] - hparams["kind"].index + 0.1 * jax.random.normal(key)

    space = jt.Space(units=jt.integer(1, 3), kind=jt.choice(["a", "b"]))
    with pytest.warns(UserWarning, match="3 settings of the nuis.*trials=3 tries each"):
        found = jt.study(value, space, scientific=["kind"], **ARGUMENTS)
    (pair,) = found.comparisons["kind"].contrasts
    assert pair.beyond_seeds
    assert pair.tuning == 0.25  # of three signs
    assert math.isinf(pair.seen)
    assert "16 trials of 3 settings" in found.notes[0]
    assert "it takes 6 different settings" in found.notes[0]
    few = jt.study(value, space, scientific=["kind"], **ARGUMENTS | {"trials": 3})
    assert sorted(few.result.trials["units"][:6]) == [1, 1, 2, 2, 3, 3]


def test_what_is_said_of_no_difference_is_what_the_data_carry():
    values = (_value("a"), _value("b", scores=(1.05, 1.1, 1.15)))
    (pair,) = contrasts_of([value.scores for value in values], None)
    # of scores that differ by 0.2 over fresh seeds
    for seen, spread, low, said in (
        (0.1, 0.5, -0.1, "a and b do not differ at this budget (score"),
        (0.1, 0.5, 0.01, "No difference is shown at this budget between a and b (sc"),
        (0.4, 0.5, -0.1, "No difference is shown at this budget between a and b (sc"),
        (0.6, 0.5, -0.1, "Whether a differs from b (score"),
        (math.inf, 0.5, -0.1, "Whether a differs from b (score"),
    ):
        test = pair.test._replace(low=low)
        found = ComparedValues(
            ("kind",),
            values,
            (pair._replace(better=0, other=1, test=test, seen=seen),),
            (0, 1),
            spread=spread,
        )
        words = conclusion_of(found, "score")
        assert words.startswith(said)
        assert (f"one of more than {seen} would" in words) == math.isfinite(seen)


def test_why_a_value_is_not_compared_is_said_as_it_is():
    a, c = _value("a"), _value("c")
    lost = [
        _value("limit", fine=False),
        _value("all", fine=False, trial=-1, scores=(math.nan,) * 3),
        _value("some", scores=(1.0, math.nan, 1.1)),
    ]
    (pair,) = contrasts_of([a.scores, c.scores], None)
    both = ComparedValues(("kind",), (a, c, *lost), (pair,), (0, 1, 2, 3, 4))
    said = conclusion_of(both, "score")
    # the first word is one of ours, and begins the sentence
    assert said.startswith("Whether a differs from c")
    assert said.endswith(
        "; limit is not compared, as no setting meets the constraints; all is not "
        "compared, as all settings failed; some is not compared, as the best setting "
        "failed in 1 of 3 repeats."
    )
    alone = ComparedValues(("kind",), (a, *lost[1:]), (), (0, 1, 2))
    assert conclusion_of(alone, "score") == (
        "Nothing is compared: all settings failed with all; the best setting failed in "
        "1 of 3 repeats with some."
    )
    several = both._replace(names=("kind", "other"))
    assert "(limit) is not compared, as no" in conclusion_of(several, "score")


def test_a_row_holds_what_was_tried_and_no_setting_where_all_failed():
    def half_fails(key, hparams):
        score = hparams["rate"] + jax.random.normal(key)
        return jnp.where(hparams["units"] == 1, jnp.nan, score)

    study = jt.study(
        half_fails,
        SPACE.keep("rate", "units"),
        scientific={"units": [1, 2]},
        stop=lambda result: True,
        block=8,
        **ARGUMENTS | {"sampler": TPE},
    )
    lost, fine = sorted(study.table, key=lambda row: row["units"])
    assert study.result.counts.waiting
    assert fine["trials"] + lost["trials"] == study.result.trials.done.sum() == 8
    assert (lost["failed"], lost["trial"]) == (4, -1)
    assert lost["rate"] == "–" != fine["rate"]


def test_several_hyperparameters_are_concluded_one_by_one_and_together():
    found = jt.study(
        objective, SPACE, scientific={"kind": ["a", "b"], "units": [1, 64]}, **ARGUMENTS
    )
    assert list(found.comparisons) == ["kind", "units", ""]
    assert len(found.result.trials) == 4 * (16 + 10)
    assert re.match(
        r"a \(units=\d+\) is better at this budget than b", found.conclusions["kind"]
    )
    assert "do not differ" in found.conclusions["units"]
    # with which values of the other one each was compared
    for name, other in (("kind", "units"), ("units", "kind")):
        for value in found.comparisons[name].values:
            label = f"{value.values[name]} ({other}={value.nuisances[other]})"
            assert label in found.conclusions[name]
    assert "best with it while tuning" in found.notes[-1]
    assert "is the best combination" in found.conclusions[""]
    assert {row["kind"] for row in found.table[:2]} == {"a"}


def test_a_study_that_is_killed_goes_on_opens_and_prints_its_call(tmp_path, study):
    folder = tmp_path / "run"

    class Interrupt(jt.Callback):
        def on_round(self, result):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jt.study(
            objective,
            SPACE,
            scientific=["kind"],
            **ARGUMENTS,
            directory=folder,
            callbacks=[Interrupt()],
        )
    begun = jt.load(folder).study
    assert begun.conclusion.startswith("The study is not finished: 48 of 78 trials")
    page = begun.report(tmp_path / "begun.html").read_text()
    assert page.count("is not finished") == 1
    assert "was then trained again" not in page
    assert "Coarse to fine" not in page
    assert math.isnan(begun.table[0]["mean"])
    resumed = jt.resume(folder, objective, verbose=0)
    for name, column in study.result.trials.columns.items():
        np.testing.assert_array_equal(resumed.trials[name], column)
    opened = jt.load(folder).study
    assert repr(opened) == repr(study)
    assert jt.rerun(folder, 50, objective).same
    shown = CliRunner().invoke(cli.main, ["show", str(folder)]).output
    assert "Each value of kind, the others tuned" in shown
    with pytest.raises(ValueError, match="is a study, whose values"):
        jt.extend(folder, objective, trials=6, verbose=0)
    call = printed_call(opened.result)
    names = {"jt": jt, "jax": jax, "jnp": jnp, "task": objective}
    exec(call.space, names)
    again = eval(call.text, names)
    np.testing.assert_array_equal(again.trials["score"], study.result.trials["score"])


def test_a_sampler_that_learns_tunes_each_value_by_itself():
    space = jt.Space(
        rate=SPACE["rate"], kind=jt.choice(["a", "b"]), units=SPACE["units"]
    )
    arguments = ARGUMENTS | {"trials": 20, "repeats": 2, "sampler": TPE}
    found = jt.study(objective, space, scientific=["kind"], **arguments)
    rows = found.result.trials["rate"][:40].reshape(20, 2)
    same = rows[:, 0] == rows[:, 1]
    assert same[:5].all()  # nothing is known yet
    assert not same.all()
    assert any("luck of tuning is not tested" in note for note in found.notes)


def test_a_crossed_sampler_tells_each_value_its_own_trials():
    told = []

    def tell(state, points, scores):
        told.append((points.shape, np.asarray(scores).tolist()))
        return state

    space = jt.Space(x=jt.uniform(0.0, 1.0), kind=jt.choice(["a", "b"]))
    sampler = crossed(jt.samplers.sobol()._replace(tell=tell), ["kind"])
    state = sampler.init(jax.random.key(0), space)
    state, points = sampler.ask(state, 4)
    sampler.tell(state, points, np.arange(4.0))
    assert told == [((2, 1), [0.0, 2.0]), ((2, 1), [1.0, 3.0])]
    with pytest.raises(ValueError, match="n=3 is no multiple of 2"):
        sampler.ask(state, 3)


@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "asha"])
def test_a_scheduler_compares_trials_of_the_same_value_alone(name):
    alone = getattr(jt.schedulers, name)()
    both, rng = apart(alone, 2), np.random.default_rng(0)
    scores = rng.random((18, 10))
    one = _epochs(alone, scores)
    # the other value is better wherever it is trained, and stops none of the first
    mixed = np.empty((36, 10))
    mixed[0::2], mixed[1::2] = scores, scores + 10
    epochs = _epochs(both, mixed)
    assert epochs[0::2].tolist() == one.tolist() == epochs[1::2].tolist()


def _epochs(scheduler, curves):
    """Train simulated trials as a scheduler decides; return the epochs of each."""
    count = len(curves)
    plan = scheduler.plan(count, 9)
    epochs, target = np.zeros(count, int), np.zeros(count, int)
    rungs = np.zeros((count, plan.rungs), int)
    for bracket in plan.brackets:
        rungs[bracket.rows, : len(bracket.epochs)] = bracket.epochs
    while True:
        arrived = (rungs > 0) & (rungs <= epochs[:, None])
        at = np.take_along_axis(curves, np.maximum(rungs, 1), axis=1)
        scores = np.where(arrived, at, np.nan)
        none = np.zeros(count, bool)
        now = jt.schedulers.Progress(
            epochs, target, scores, 0 * scores, none, slots=count
        )
        decided = scheduler.decide(jax.random.key(0), plan, now)
        if not decided.trial.size:
            return epochs
        target = target.copy()
        target[decided.trial] = decided.epochs
        epochs = target


def test_a_range_has_five_values_on_its_own_scale():
    made, names = space_of_study(SPACE, ["rate", "units"], nuisance=["kind"])
    assert names == ("rate", "units")
    assert made["rate"].members == (0.0001, 0.001, 0.01, 0.1, 1.0)
    assert made["units"].members == (1, 2, 8, 22, 64)
    made, _ = space_of_study(SPACE, {"kind": ["<c>", "a"]}, fixed={"units": 3})
    assert made["kind"].remaining == ("a", "<c>")
    assert made.bounds["units"] == (3, 3)
    assert made.searched == ("rate", "kind")


FIXED = [
    {"units": 32, "batch": 16, "kind": "b"},
    {"kind": "a", "own": 1},
    {"own": 2, "units": 8},
]


@pytest.mark.parametrize("fixed", FIXED)
def test_what_is_fixed_is_shown_and_printed_at_its_value(fixed):
    space = jt.Space(
        rate=jt.log_uniform(1e-4, 1.0),
        kind=jt.choice(["a", "b"]),
        units=jt.ordinal([8, 16, 32], default=16),
        batch=jt.power_of_two(16, 256, default=32),
        own=jt.when(jt.ordinal([1, 2], default=1), kind=["a"]),
        deep=jt.when(jt.integer(1, 4), own=[2]),
        compared=jt.choice(["x", "y"]),
    )
    made, _ = space_of_study(space, ["compared"], fixed=fixed)
    assert {name: made[name].default for name in fixed} == fixed
    names = {"jt": jt}
    exec(f"space = {space_code(made, None)}", names)
    assert repr(names["space"]) == repr(made)
    assert {name: names["space"][name].default for name in fixed} == fixed
    # what this rules out is no nuisance
    lost = {"own", "deep"} if fixed.get("kind") == "b" else set()
    lost |= {"deep"} if fixed.get("own") == 1 else set()
    assert set(made.searched) == set(space.names) - lost - set(fixed)


BAD = {
    "scientific: got 'kind'. Use a list of names": {"scientific": "kind"},
    "there is no dimension 'kinds'. This space has rate": {"scientific": ["kinds"]},
    "'rate' is both scientific and nuisance": {
        "scientific": ["rate"],
        "nuisance": ["rate", "kind", "units"],
    },
    "units of the space has no role": {"nuisance": ["rate"]},
    "nothing is left to tune": {"fixed": ["rate", "units"]},
    "'z' is not one of": {"scientific": {"kind": ["a", "z"]}},
    "'kind' has one value": {"scientific": {"kind": ["a"]}},
    "fixed: dimension 'units': 100 does not lie in": {"fixed": {"units": 100}},
    "are 70 combinations, and 25 is the most": {
        "scientific": {"units": list(range(1, 36)), "kind": ["a", "b"]}
    },
    "trials must be a whole number from 2": {"trials": 1},
    "repeats must be a whole number from 2": {"repeats": 0},
    "a requirement may allow": {"constraints": jt.require(lambda h: h["rate"] < 0.1)},
}


@pytest.mark.parametrize("error", BAD)
def test_a_study_that_makes_no_sense_is_refused_with_one_that_does(error):
    arguments = {"scientific": ["kind"]} | ARGUMENTS | BAD[error]
    with pytest.raises(ValueError, match=error):
        jt.study(objective, SPACE, **arguments)


def test_what_no_study_can_say_is_refused(study, small_task):
    with pytest.raises(ValueError, match="does not read its key"):
        jt.study(
            lambda key, h: h["rate"] + 0 * h["units"],
            SPACE.keep("rate", "units"),
            scientific={"units": [1, 2]},
            **ARGUMENTS,
        )
    with pytest.raises(ValueError, match="matters for some values of 'kind' only"):
        space_of_study(
            SPACE.replace(units=jt.when(jt.integer(1, 4), kind=["a"])), ["units"]
        )
    for name, way_out in {
        "first": "Leave it out",
        "start": "make the space smaller",
        "prior": "near",
        "goals": "Use metric=",
        "confirm": "Use repeats=",
        "rounds": "Use trials=",
        "budget": "epochs=",
    }.items():
        with pytest.raises(ValueError, match=f"takes no {name}=.*{way_out}"):
            jt.study(objective, SPACE, scientific=["kind"], **ARGUMENTS, **{name: 1})
    believed = SPACE.replace(units=jt.integer(1, 64, prior=jt.near(8)))
    with pytest.raises(ValueError, match="'units' has a belief"):
        space_of_study(believed, {"units": [1, 8]})
    assert space_of_study(believed, ["kind"])[0]["units"].prior is not None
    deep = jt.Space(
        rate=jt.log_uniform(1e-4, 1.0),
        kind=jt.choice(["a", "b"]),
        own=jt.when(jt.ordinal([1, 2]), kind=["a"]),
        units=jt.when(jt.integer(1, 4), own=[2]),
    )
    for fixed in ({"kind": "b", "own": 2}, {"kind": "a", "own": 1}):
        with pytest.raises(ValueError, match="'units' matters only where own is 2, wh"):
            space_of_study(deep, ["units"], fixed=fixed)
    space_of_study(deep, ["units"], fixed={"kind": "a", "own": 2})
    with pytest.raises(ValueError, match="nothing is left to tune"):
        space_of_study(deep, {"rate": [0.1, 0.2]}, fixed={"kind": "b", "own": 1})
    with pytest.raises(ValueError, match="'p' is a column"):
        space_of_study(jt.Space(p=jt.uniform(0.0, 1.0)), ["p"])
    with pytest.raises(ValueError, match="under population based training"):
        jt.study(
            small_task,
            jt.Space(
                learning_rate=jt.log_uniform(0.01, 1.0),
                momentum=jt.ordinal([0.5, 0.9]),
            ),
            key=jax.random.key(0),
            scientific=["momentum"],
            trials=8,
            epochs=4,
            scheduler="pbt",
        )
    plain = jt.search(objective, SPACE, **ARGUMENTS | {"sampler": "sobol"})
    with pytest.raises(ValueError, match="compares no values"):
        plain.study  # noqa: B018
    with pytest.raises(ValueError, match="'rate' is not scientific"):
        study.figure("rate")


def test_trainings_pair_up_whatever_else_a_study_asks_for(small_task):
    space = jt.Space(
        optimizer=jt.choice(["sgd", "adam"]),
        learning_rate=jt.log_uniform(1e-3, 1.0),
        batch_size=jt.power_of_two(16, 64),
    )
    found = jt.study(
        small_task,
        space,
        key=jax.random.key(0),
        scientific=["optimizer"],
        fixed={"batch_size": 32},
        trials=6,
        repeats=3,
        epochs=3,
        seeds=2,
        scheduler=jt.schedulers.successive_halving(min_epochs=1),
        constraints={"parameters": ("<=", 10**6)},
        block=8,
        verbose=0,
    )
    trials = found.result.trials
    rates, epochs = trials["learning_rate"], trials["epochs"]
    assert (rates[:12:2] == rates[1:12:2]).all()
    # two of six trials of each value go on, whichever value is ahead
    assert (np.sort(epochs[:12:2]) == np.sort(epochs[1:12:2])).all()
    assert epochs[:12].min() < epochs[12:].min() == 3
    assert found.result.train().metrics["accuracy"] > 0


def test_a_value_that_is_compiled_for_is_crossed_as_others_are():
    def static(key, hparams):
        worse = 0.5 if hparams["kind"] == "b" else 0.0
        return (jnp.log10(hparams["rate"]) + 2) ** 2 + worse + jax.random.normal(key)

    space = jt.Space(rate=SPACE["rate"], kind=jt.choice(["a", "b"], static=True))
    arguments = ARGUMENTS | {"trials": 3, "repeats": 2}
    trials = jt.study(static, space, scientific=["kind"], **arguments).result.trials
    gap = trials["score"][1::2] - trials["score"][::2]
    np.testing.assert_allclose(gap[:3], 0.5, atol=1e-5)
