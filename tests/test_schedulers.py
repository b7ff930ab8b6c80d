"""Schedulers on known scores: against the papers, plain Python, and their contract."""

import math

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxtune as jt
from jaxtune.schedulers.base import Bracket, Plan, Progress, geometric
from jaxtune.testing import simulate

SCHEDULERS = {
    "halving": jt.schedulers.successive_halving(),
    "halving from 1": jt.schedulers.successive_halving(eta=2, min_epochs=1),
    "hyperband": jt.schedulers.hyperband(),
    "asha": jt.schedulers.asha(),
    "asha one by one": jt.schedulers.asha(concurrent=1),
    "freeze-thaw": jt.schedulers.freeze_thaw(),
    "freeze-thaw few at once": jt.schedulers.freeze_thaw(concurrent=3),
    "median": jt.schedulers.median_stopping(),
    "pbt": jt.schedulers.pbt(),
    "pbt without moves": jt.schedulers.pbt(step=0.0, resample=0.0),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("trials", [2, 40])
def test_every_scheduler_keeps_the_contract(name, trials):
    jt.testing.check_scheduler(SCHEDULERS[name], trials)


def test_hyperband_is_table_1_of_the_paper():
    """Li et al., 2018, JMLR 18, R = 81 and eta = 3, brackets s = 4 to 0."""
    table = [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(27, 3), (9, 9), (3, 27), (1, 81)],
        [(9, 9), (3, 27), (1, 81)],
        [(6, 27), (2, 81)],
        [(5, 81)],
    ]
    for times in (1, 3):
        plan = jt.schedulers.hyperband(eta=3).plan(times * 128, 81)
        got = [list(zip(b.counts, b.epochs, strict=True)) for b in plan.brackets]
        assert got == [[(times * n, r) for n, r in bracket] for bracket in table]


@pytest.mark.parametrize("trials", [1, 5, 17, 128, 200, 1000])
def test_hyperband_uses_every_trial_once_in_the_papers_proportions(trials):
    plan = jt.schedulers.hyperband().plan(trials, 81)
    assert plan.trials == trials
    firsts = [bracket.first for bracket in plan.brackets]
    sizes = [bracket.counts[0] for bracket in plan.brackets]
    assert firsts == list(np.cumsum([0, *sizes[:-1]]))
    for bracket in plan.brackets:
        share = {1: 81, 3: 27, 9: 9, 27: 6, 81: 5}[bracket.epochs[0]] / 128
        assert abs(bracket.counts[0] - trials * share) < 1


@pytest.mark.parametrize(
    ("epochs", "eta", "least", "most", "rungs"),
    [
        (81, 3, 1, None, (1, 3, 9, 27, 81)),
        (20, 3, 2, 2, (2, 7, 20)),
        (100, 4, 5, None, (6, 25, 100)),
        (5, 3, 2, 2, (2, 5)),
        (3, 2, 1, None, (1, 2, 3)),
        (1, 3, 1, None, (1,)),
    ],
)
def test_rungs_are_a_geometric_sequence_of_whole_epochs(
    epochs, eta, least, most, rungs
):
    assert geometric(epochs, eta, least, most) == rungs


def halve(scores, epochs, counts):
    """Successive halving in plain Python; returns how long each trial trained."""
    alive, trained = list(range(len(scores))), [0] * len(scores)
    for rung, epoch in enumerate(epochs):
        for trial in alive:
            trained[trial] = epoch
        fine = [t for t in alive if math.isfinite(scores[t][rung])]
        fine.sort(key=lambda t: (-scores[t][rung], t))
        alive = fine[: counts[rung + 1]] if rung + 1 < len(epochs) else []
    return trained


NUMBERS = st.sampled_from([0.0, 1.0, 2.0, math.nan, math.inf]) | st.floats(-3, 3)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_halving_keeps_the_survivors_of_plain_python(data):
    trials = data.draw(st.integers(3, 30))
    eta = data.draw(st.sampled_from([2, 3, 4]))
    scheduler = jt.schedulers.successive_halving(eta=eta, min_epochs=1)
    (bracket,) = scheduler.plan(trials, 16).brackets
    rungs = len(bracket.epochs)
    row = st.lists(NUMBERS, min_size=rungs, max_size=rungs)
    scores = np.asarray(
        data.draw(st.lists(row, min_size=trials, max_size=trials)), np.float32
    )
    found = simulate(
        scheduler, lambda t, e: scores[t, bracket.epochs.index(e)], trials, 16
    )
    expected = halve(scores.tolist(), bracket.epochs, bracket.counts)
    assert found.epochs.tolist() == expected


def test_hyperband_halves_each_bracket_on_its_own():
    scores = np.random.default_rng(0).normal(size=(128, 82))
    found = simulate(jt.schedulers.hyperband(), lambda t, e: scores[t, e], 128, 81)
    for bracket in found.plan.brackets:
        part = scores[bracket.rows][:, list(bracket.epochs)].tolist()
        expected = halve(part, bracket.epochs, bracket.counts)
        assert found.epochs[bracket.rows].tolist() == expected


def asha_one_by_one(scores, epochs, eta):
    """Algorithm 2 of Li et al., 2020, with a single worker."""
    rungs = [[] for _ in epochs]  # completed, by rung
    promoted = [set() for _ in epochs]
    order, new = [], 0
    while True:
        for rung in reversed(range(len(epochs) - 1)):
            fine = [t for t in rungs[rung] if math.isfinite(scores[t][rung])]
            fine.sort(key=lambda t, r=rung: (-scores[t][r], t))
            top = fine[: int(len(rungs[rung]) / eta)]
            waiting = [t for t in top if t not in promoted[rung]]
            if waiting:
                trial, target = waiting[0], rung + 1
                promoted[rung].add(trial)
                break
        else:
            if new == len(scores):
                return order
            trial, target = new, 0
            new += 1
        order.append((trial, epochs[target]))
        rungs[target].append(trial)


@pytest.mark.parametrize("seed", range(4))
def test_asha_with_one_worker_is_the_papers_algorithm(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(40, 4))
    scores[rng.random(40) < 0.2, 1:] = math.nan
    scheduler = jt.schedulers.asha(eta=3, min_epochs=1, concurrent=1)
    (bracket,) = scheduler.plan(40, 27).brackets
    found = simulate(scheduler, lambda t, e: scores[t, bracket.epochs.index(e)], 40, 27)
    order = [
        (int(t), int(e))
        for _, decided in found.steps
        for t, e in zip(decided.trial, decided.epochs, strict=True)
    ]
    assert order == asha_one_by_one(scores.tolist(), bracket.epochs, 3)


@pytest.mark.parametrize("concurrent", [1, 3, 8])
def test_asha_fills_every_free_place_and_promotes_the_best_third(concurrent):
    scores = np.random.default_rng(0).normal(size=(60, 28))
    found = simulate(
        jt.schedulers.asha(concurrent=concurrent),
        lambda t, e: scores[t, e],
        60,
        27,
    )
    (bracket,) = found.plan.brackets
    for progress, decided in found.steps:
        assert progress.running.sum() + progress.slots == concurrent
        idle = (progress.target == 0).sum()
        assert len(decided.trial) == progress.slots or idle <= progress.slots
        for trial in decided.trial[decided.source >= 0]:
            rung = bracket.epochs.index(progress.target[trial])
            reached = progress.epochs >= bracket.epochs[rung]
            better = progress.scores[reached, rung] > progress.scores[trial, rung]
            assert better.sum() < reached.sum() // 3


def test_the_median_rule_by_hand():
    """Rungs 1 and 2 of 3; means until then, best so far, as Vizier has it."""
    scores = {0: (5, 1), 1: (3, 9), 2: (4, 4), 3: (1, 1), 4: (math.nan, 0)}
    found = simulate(
        jt.schedulers.median_stopping(interval=1),
        lambda t, e: (*scores[t], 0)[e - 1],
        5,
        3,
    )
    # epoch 1: median of 5, 3, 4, 1 is 3.5; epoch 2: means 3 and 4 of trials 0 and 2
    assert found.epochs.tolist() == [3, 1, 3, 1, 1]
    assert found.failed.tolist() == [False] * 4 + [True]
    late = jt.schedulers.median_stopping(interval=1, min_epochs=2).plan(5, 4)
    assert late.brackets[0].epochs == (2, 3, 4)


def test_the_key_of_a_member_is_that_of_the_weights_it_goes_on_with():
    data = {"x": np.ones((8, 1), np.float32)}
    task = jt.Task(
        init=lambda key, hparams: jax.random.uniform(key),
        loss=lambda weight, batch, key, hparams: weight * hparams["x"],
        evaluate=lambda weight, split, hparams: {"weight": weight},
        optimizer=lambda hparams: optax.set_to_zero(),
        train=data,
        valid=data,
        batch_size=8,
        metrics=(("weight", "max"),),
    )
    space, pbt = jt.Space(x=jt.uniform(0.0, 1.0)), jt.schedulers.pbt(interval=1)
    arguments = {"key": jax.random.key(0), "trials": 8, "epochs": 4, "verbose": 0}
    result = jt.search(task, space, scheduler=pbt, **arguments)
    first = [result.trajectory(trial)[0].trial for trial in range(8)]
    assert first != list(range(8))
    begun = [jax.random.uniform(result.key(trial)) for trial in range(8)]
    np.testing.assert_array_equal(begun, result.trials["weight"])


def test_pbt_copies_from_the_best_to_the_worst_and_to_the_failed():
    scores = np.arange(20, dtype=np.float32)
    found = simulate(
        jt.schedulers.pbt(interval=1, share=0.25),
        lambda t, e: np.nan if t in (18, 19) and e == 2 else scores[t] + e,
        20,
        4,
    )
    moves = [
        {
            int(t): int(s)
            for t, s in zip(decided.trial, decided.source, strict=True)
            if t != s
        }
        for _, decided in found.steps[1:-1]
    ]
    assert len(moves) == 3
    assert set(moves[0]) == {0, 1, 2, 3, 4}
    assert set(moves[0].values()) <= {15, 16, 17, 18, 19}
    # two failures take the places of two of the worst
    assert set(moves[1]) == {0, 1, 2, 18, 19}
    assert set(moves[1].values()) <= {13, 14, 15, 16, 17}
    assert len(set(moves[0].values())) > 1
    assert (found.epochs == 4).all()
    other = simulate(
        jt.schedulers.pbt(interval=1, share=0.25),
        lambda t, e: scores[t] + e,
        20,
        4,
        key=jax.random.key(9),
    )
    sources = [found.steps[1][1].source, other.steps[1][1].source]
    assert not np.array_equal(*sources)


def test_exploring_moves_every_number_on_its_own_and_no_choice():
    space = jt.testing.mixed_space()
    explore = jt.schedulers.pbt(step=0.1, resample=0.0).explore
    points = np.full((50, space.dim), 0.5, np.float32)
    moved = np.asarray(explore(jax.random.key(0), space, points, 4))
    kinds = [space[name].kind for name in space.searched]
    listed = kinds.index("choice")
    np.testing.assert_array_equal(moved[:, listed], 0.5)
    numbers = np.delete(moved, listed, axis=1) - 0.5
    assert len(np.unique(numbers)) == numbers.size
    assert np.abs(numbers).max() <= 0.1
    assert 0.05 < numbers.std() < 0.065  # uniform in ±0.1: 0.0577
    again = np.asarray(explore(jax.random.key(0), space, points, 8))
    assert not np.array_equal(moved, again)
    edge = np.asarray(explore(jax.random.key(0), space, 0 * points, 4))
    assert (np.delete(edge, listed, axis=1) > 0).mean() > 0.99  # reflected, not cut
    fresh = jt.schedulers.pbt(step=0.0, resample=1.0).explore
    drawn = np.asarray(fresh(jax.random.key(0), space, points, 4))
    assert 0.25 < np.delete(drawn, listed, axis=1).std() < 0.33  # uniform: 0.289


def progress_with(scores, errors):
    scores, errors = np.asarray(scores)[:, None], np.asarray(errors)[:, None]
    rung = np.full(len(scores), 3, np.int32)
    return Progress(rung, rung, scores, errors, np.zeros(len(scores), bool), 9)


@pytest.mark.parametrize(("bound", "winner"), [(0.0, 0), (1.0, 1), (-1.0, 2)])
def test_a_bound_weighs_the_noise_between_seeds(bound, winner):
    progress = progress_with([1.0, 0.9, 0.95, 0.0], [0.2, 0.5, 0.0, 0.0])
    plan = Plan((Bracket(0, (3, 9), (4, 1)),))
    for scheduler in (
        jt.schedulers.successive_halving(bound=bound),
        jt.schedulers.hyperband(bound=bound),
        jt.schedulers.asha(bound=bound),
    ):
        decided = scheduler.decide(jax.random.key(0), plan, progress)
        assert decided.trial.tolist() == [winner]


def test_ties_go_to_the_smaller_id():
    plan = Plan((Bracket(0, (3, 9), (5, 2)),))
    progress = progress_with([0.0, 1.0, 1.0, 1.0, 0.5], [0.0] * 5)
    for scheduler in (jt.schedulers.successive_halving(), jt.schedulers.asha(eta=2)):
        decided = scheduler.decide(jax.random.key(0), plan, progress)
        assert decided.trial.tolist() == [1, 2]


def test_halving_rounds_its_counts_down():
    counts = jt.schedulers.successive_halving(eta=3).plan(17, 27).brackets[0].counts
    assert counts == (17, 5, 1)


def test_a_rung_waits_for_its_last_trial():
    plan = Plan((Bracket(0, (3, 9), (4, 1)),))
    progress = progress_with([1.0, 0.9, 0.95, np.nan], [0.0] * 4)
    late = progress._replace(epochs=np.asarray([3, 3, 3, 2]))
    for scheduler in (jt.schedulers.successive_halving(), jt.schedulers.hyperband()):
        assert scheduler.decide(jax.random.key(0), plan, late).trial.size == 0
        failed = late._replace(failed=np.asarray([False, False, False, True]))
        assert scheduler.decide(jax.random.key(0), plan, failed).trial.tolist() == [0]


def test_asha_prefers_the_higher_rung_and_counts_failures():
    plan = Plan((Bracket(0, (1, 3, 9), (6, 6, 6)),), 1)
    scores = np.full((6, 3), np.nan)
    scores[:, 0] = [9, 8, 7, 10, 5, 4]
    scores[0, 1], scores[1, 1] = 1, 2
    progress = Progress(
        epochs=np.asarray([3, 3, 2, 1, 1, 1]),
        target=np.asarray([3, 3, 3, 1, 1, 1]),
        scores=scores,
        errors=np.zeros((6, 3)),
        failed=np.asarray([False, False, True, False, False, False]),
        slots=1,
    )
    scheduler = jt.schedulers.asha(eta=3, min_epochs=1)
    decided = scheduler.decide(jax.random.key(0), plan, progress)
    # trial 1 leads its rung of three, one of which failed on the way; trial 3 could go
    assert decided.trial.tolist() == [1]
    assert decided.epochs.tolist() == [9]
    scheduler = jt.schedulers.asha(eta=2, min_epochs=1)
    waiting = progress._replace(target=np.asarray([3, 9, 3, 1, 1, 1]), slots=2)
    decided = scheduler.decide(jax.random.key(0), plan, waiting)
    assert decided.trial.tolist() == [3]
    assert decided.epochs.tolist() == [3]


def test_the_median_rule_keeps_equals():
    found = simulate(jt.schedulers.median_stopping(), lambda t, e: 1.0, 7, 10)
    assert (found.epochs == 10).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s: s.successive_halving(eta=1), "eta must be a number of at least 2"),
        (lambda s: s.successive_halving(eta="3"), "got '3'"),
        (lambda s: s.hyperband(eta=float("nan")), "hyperband: eta"),
        (lambda s: s.successive_halving(min_epochs=0), "min_epochs must be a whole"),
        (lambda s: s.hyperband(min_epochs=1.5), "got 1.5"),
        (lambda s: s.asha(concurrent=0), "concurrent must be a whole number from 1"),
        (lambda s: s.asha(bound=99), r"bound must lie in \[-10, 10\], got 99"),
        (lambda s: s.median_stopping(interval=True), "interval must be a whole"),
        (lambda s: s.median_stopping(min_epochs=-1), "min_epochs must be a whole"),
        (lambda s: s.pbt(interval=0), "interval must be a whole number from 1"),
        (lambda s: s.pbt(share=0.6), r"share must lie in \[0, 0.5\]"),
        (lambda s: s.pbt(step=-0.1), "step must lie in"),
        (lambda s: s.pbt(resample=2), "resample must lie in"),
        (lambda s: s.successive_halving().plan(9, 2), "epochs=2 leaves no rung"),
        (lambda s: s.asha(min_epochs=9).plan(9, 20), "at least 9 epochs before"),
        (lambda s: s.hyperband().plan(9, 1), "epochs=1 leaves one bracket only"),
        (lambda s: s.median_stopping(interval=5).plan(9, 5), "before the first"),
        (lambda s: s.pbt().plan(1, 20), "trials=1 and epochs=20 leave nothing"),
        (lambda s: s.pbt(interval=4).plan(8, 4), "leave nothing to exploit"),
    ],
)
def test_bad_schedulers_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make(jt.schedulers)


def test_the_contract_kit_notices_what_it_is_for():
    good = jt.schedulers.successive_halving()
    base = jt.schedulers

    def loses(trials, epochs):
        plan = good.plan(trials, epochs)
        (bracket,) = plan.brackets
        return plan._replace(brackets=(bracket._replace(counts=(trials - 1, 5, 1)),))

    def forgets(key, plan, progress):
        decided = good.decide(key, plan, progress)
        keep = decided.trial != 3
        return base.Decision(*[column[keep] for column in decided])

    def random(key, plan, progress, rng=np.random.default_rng(0)):  # noqa: B008
        decided = good.decide(key, plan, progress)
        if (decided.source < 0).any():
            return decided
        count = len(decided.trial)
        rows = np.flatnonzero(~progress.failed & (progress.epochs == progress.target))
        rows = rows[progress.epochs[rows] < 27]
        chosen = rng.permutation(rows)[:count].astype(np.int32)
        return base.Decision(chosen, chosen, decided.epochs[: len(chosen)])

    for broken, said in (
        (good._replace(plan=loses), "every trial is in one bracket"),
        (good._replace(decide=forgets), "every trial must begin"),
        (good._replace(decide=random), "the same progress"),
        (good._replace(explore=lambda k, s, p, e: p + 1), "explored points"),
        (
            good._replace(explore=lambda k, s, p, e: (p + p.mean(0)[None]) / 2),
            "must not depend on another's",
        ),
    ):
        with pytest.raises(AssertionError, match=said):
            jt.testing.check_scheduler(broken)
