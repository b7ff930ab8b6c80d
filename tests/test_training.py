"""Schedulers in training: the same bits as without, and the time really comes back."""

import dataclasses
import pickle
from functools import partial

import jax
import jax.numpy as jnp
import killed
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxtune as jt
from jaxtune.planning.preparation import prepare
from jaxtune.programs.block import GATHERS, gather
from jaxtune.programs.kept import KeptStates, assembled, keep
from jaxtune.random import INIT, ORDER, lane_key, permutation
from jaxtune.schedulers import Bracket, Decision, Plan, Scheduler
from jaxtune.schedulers.base import decision
from jaxtune.space.points import Points
from jaxtune.training import packing
from jaxtune.training.ledger import Ledger, RungScores
from jaxtune.training.packing import pack_lanes
from jaxtune.training.round import SchedulerRun, train_round
from jaxtune.training.round_state import RoundState
from jaxtune.training.state_store import RecordedStates, StateStore

EPOCHS = 9
COUNT = 42  # no multiple of a block, so that lanes wait and segments are cut
SCHEDULERS = {
    "halving": jt.schedulers.successive_halving(min_epochs=1),
    "hyperband": jt.schedulers.hyperband(),
    "asha": jt.schedulers.asha(min_epochs=1, concurrent=5),
    "median": jt.schedulers.median_stopping(interval=2),
    "pbt": jt.schedulers.pbt(interval=3),
}
SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 1e6, tier=1),  # some of them diverge
    learning_rate_decay=jt.uniform(0.1, 1.0),
)


def decaying(task):
    """The conftest's linear task with a decay that depends on the epoch."""

    def optimizer(hparams):
        return optax.chain(
            optax.sgd(hparams["learning_rate"]),
            jt.optimizers.inverse_epoch_decay(hparams["learning_rate_decay"]),
        )

    return jt.Task(
        init=task.init,
        loss=task.loss,
        evaluate=task.evaluate,
        optimizer=optimizer,
        train=task.train,
        valid=task.valid,
        batch_size=task.batch_size,
        metrics=task.metrics,
    )


@pytest.fixture(scope="module")
def task(linear_task):
    return decaying(linear_task)


def run(task, scheduler, space=SPACE, **changes):
    arguments = {
        "key": jax.random.key(2),
        "trials": COUNT,
        "epochs": EPOCHS,
        "block": 4,
        "sampler": "sobol",
    }
    return jt.search(task, space, scheduler=scheduler, **{**arguments, **changes})


@pytest.fixture(scope="module")
def whole(task):
    """Every trial, trained for 1, 2, ... epochs without any scheduler."""
    return {e: run(task, None, epochs=e).trials["score"] for e in range(1, EPOCHS + 1)}


@pytest.fixture(scope="module", params=SCHEDULERS)
def found(request, task):
    return run(task, SCHEDULERS[request.param])


@pytest.mark.parametrize("name", [n for n in SCHEDULERS if n != "pbt"])
def test_a_trial_is_the_same_whether_it_stops_or_goes_on(name, task, whole):
    """Bit for bit: each score on the way is that of a training which ends there."""
    found = run(task, SCHEDULERS[name])
    assert {"ok", "stopped", "diverged"} == set(found.trials["status"])
    for trial, epochs, scores in zip(*found.rungs, strict=True):
        np.testing.assert_array_equal(scores[0], whole[epochs][trial])
    for trial, epochs in enumerate(found.trials["epochs"]):
        if found.trials["status"][trial] != "diverged":
            assert found.trials["score"][trial] == whole[epochs][trial]


def test_statuses_say_what_happened(found):
    trials = found.trials
    failed = ~np.isfinite(trials["score"])
    np.testing.assert_array_equal(trials["status"] == "diverged", failed)
    stopped = (trials["epochs"] < EPOCHS) & ~failed
    np.testing.assert_array_equal(trials["status"] == "stopped", stopped)
    assert (trials["epochs"] > 0).all()
    best = found.best
    assert trials["epochs"][best.trial] == EPOCHS
    finished = trials["score"][trials["status"] == "ok"]
    assert best.score == finished.min()


def test_costs_add_up(found):
    lanes = found.trials["epochs"]
    cost = found.cost
    assert cost.epochs + cost.saved == COUNT * EPOCHS
    assert 0.5 < cost.occupancy <= 1
    if not len(found.lineage.trial):  # a state taken over was trained by another
        failed = (~np.isfinite(found.trials["score"])).sum()
        # a failed lane is paid for until its block ends
        assert 0 <= cost.epochs - lanes.sum() <= failed * EPOCHS


def test_any_trial_can_be_trained_again_to_the_bit(found):
    for trial in range(0, COUNT, 3):
        if found.trials["status"][trial] == "diverged":
            continue
        again = jt.replay(found, trial)
        assert again.metrics["mse"][0] == found.trials["score"][trial]
        assert again.schedule[-1][0] == found.trials["epochs"][trial]
        last = found.setup.space.values(found.trials.decoded, trial)
        assert again.schedule[-1][1] == last


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_same_key_gives_the_same_table(name, task):
    first, again = (run(task, SCHEDULERS[name], rounds=2, seeds=2) for _ in range(2))
    assert first.trials.to_pandas().equals(again.trials.to_pandas())
    other = run(task, SCHEDULERS[name], rounds=2, seeds=2, key=jax.random.key(5))
    assert not first.trials.to_pandas().equals(other.trials.to_pandas())


@pytest.mark.parametrize("name", [n for n in SCHEDULERS if n != "asha"])
def test_blocks_and_company_change_no_decision(name, task, monkeypatch):
    """The width is part of a lane's identity, the packing is not."""

    def packed(turns):
        monkeypatch.setattr(packing, "TURNS", turns)
        blocks = []
        follow = jt.Callback()
        follow.on_block = lambda round, block: blocks.append(block.trial.tolist())
        found = run(task, SCHEDULERS[name], trials=22, callbacks=[follow])
        return found.trials, blocks

    (few, blocks), (other, others) = packed(9), packed(1)
    assert blocks != others
    for column in ("score", "status"):
        np.testing.assert_array_equal(few[column], other[column])
    # a lane that fails is noticed where its block ends, which the packing decides
    going = few["status"] != "diverged"
    np.testing.assert_array_equal(few["epochs"][going], other["epochs"][going])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_compose_with_rounds_seeds_and_tiers(name, task):
    space = jt.tiered(SPACE, 48)
    found = run(task, SCHEDULERS[name], space, trials=None, seeds=2)
    assert len(found.trials) == 48
    assert len(found.spaces) == 2
    assert found.trials.scores.shape == (48, 2)
    good = found.trials["status"] != "diverged"
    mean = found.trials.scores[good].astype(np.float64).mean(axis=1)
    np.testing.assert_allclose(found.trials["score"][good], mean, rtol=1e-6)
    widths = [
        np.log(s.bounds["learning_rate"][1] / s.bounds["learning_rate"][0])
        for s in found.spaces
    ]
    assert widths[1] < widths[0]
    assert found.cost.epochs + found.cost.saved == 48 * 2 * EPOCHS


def test_zoom_ranks_trials_that_went_on_above_those_that_stopped():
    scores = np.asarray([9.0, 5.0, np.nan, 3.0, 8.0, 3.0], np.float32)
    epochs = np.asarray([1, 3, 3, 3, 1, 3])
    ranked = jt.ranking.standing(scores, epochs)
    assert jt.ranking.order(ranked).tolist() == [1, 3, 5, 0, 4, 2]
    assert np.isnan(ranked[2])
    same = jt.ranking.standing(scores, np.full(6, 3))
    np.testing.assert_array_equal(same, scores)


def test_a_refiner_is_told_who_went_on(task):
    told = []

    def refine(space, points, scores):
        told.append(np.asarray(scores))
        return space

    # maximised, the error falls with every epoch: who went on has the worse score
    found = run(
        task,
        SCHEDULERS["halving"],
        SPACE.restrict(learning_rate=(1e-3, 0.03)),
        mode="max",
        rounds=2,
        refine=refine,
        sampler=jt.samplers.uniform(),
    )
    first = found.trials["round"] == 0
    scores, epochs = found.trials["score"][first], found.trials["epochs"][first]
    ids = np.arange(first.sum())
    expected = np.lexsort((ids, -scores, -epochs))
    assert not np.array_equal(expected, np.lexsort((ids, -scores)))
    order = np.argsort(-told[0], kind="stable")
    np.testing.assert_array_equal(order, expected)


def test_hyperband_keeps_its_lanes_busy(task):
    """256 trials, blocks of 16: 95 % of what is computed is wanted."""
    rates = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.03), learning_rate_decay=jt.uniform(0, 1)
    )
    found = run(task, jt.schedulers.hyperband(), rates, trials=256, epochs=81, block=16)
    assert set(found.trials["status"]) == {"ok", "stopped"}
    assert found.cost.epochs == found.rounds[0].outcome.epochs.sum()
    assert found.cost.epochs < 0.2 * 256 * 81
    assert found.cost.occupancy >= 0.95


def test_asha_keeps_its_block_full_until_trials_run_out(task):
    rates = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.03), learning_rate_decay=jt.uniform(0, 1)
    )
    found = run(task, jt.schedulers.asha(), rates, trials=600, epochs=27, block=8)
    assert found.cost.occupancy >= 0.95


def test_a_scheduler_compiles_one_program_more_and_later_rounds_none(task):
    def programs():
        return jt.testing.compilations() + GATHERS.of(task)._cache_size()

    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0), learning_rate_decay=jt.uniform(0, 2)
    )
    for name, scheduler in SCHEDULERS.items():
        before = programs()
        run(task, scheduler, space, rounds=3, block=6)
        # start, advance, score; gather where new lanes join old ones
        assert programs() - before <= (4 if name == "halving" else 1)


def test_static_dimensions_are_taken_over_with_the_state():
    """Members of one population have different programs, and trade states."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)), rng.integers(0, 3, 64)
    model = jt.models.MLP(3, max_units=16, max_layers=2)
    task = jt.classification(model, train=(x, y), valid=(x, y), batch_size=16)
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.3),
        activation=jt.choice(["relu", "tanh"], static=True),
        hidden_units=jt.integer(4, 16),
        batch_size=jt.power_of_two(8, 32),
    )
    scheduler = jt.schedulers.pbt(interval=1, share=0.4)
    found = run(task, scheduler, space, trials=16, epochs=4, metric="loss")
    lineage = found.lineage
    moved = np.flatnonzero(lineage.trial != lineage.source)
    assert len(moved) == 3 * 6
    kept = {"activation", "hidden_units"}
    changed = dict.fromkeys(space.names, 0)
    for row in moved:
        source = found.setup.space
        at = (lineage.trial == lineage.source[row]) & (
            lineage.epochs < lineage.epochs[row]
        )
        before = np.flatnonzero(at)[-1]
        for name in source.names:
            same = lineage.hparams[name][row] == lineage.hparams[name][before]
            changed[name] += not same
            assert same or name not in kept
    assert changed["learning_rate"] == len(moved)
    assert changed["batch_size"] > 0
    crossed = found.trials["activation"]
    assert len(set(crossed)) > 1
    for trial in range(16):
        again = jt.replay(found, trial)
        assert again.metrics["loss"][0] == found.trials["score"][trial]


@pytest.mark.usefixtures("exact_products")
def test_a_schedule_can_be_replayed_on_a_fresh_model(task):
    rates = jt.Space(
        learning_rate=jt.log_uniform(1e-4, 1e-2), learning_rate_decay=jt.uniform(0, 1)
    )
    found = run(task, jt.schedulers.pbt(interval=1, share=0.4), rates)
    replayed = jt.replay(found, key=jax.random.key(8), seeds=3)
    assert len(replayed.schedule) > 1
    ends = [epoch for epoch, _ in replayed.schedule]
    assert ends == sorted(set(ends))
    assert ends[-1] == EPOCHS
    assert replayed.metrics["mse"].shape == (3,)
    assert len(set(replayed.metrics["mse"])) == 3
    # by hand: a Python loop along the schedule
    key = lane_key(jax.random.key(8), found.best.trial, 1)
    params = task.init(jax.random.fold_in(key, INIT), {})
    order_key = jax.random.fold_in(key, ORDER)
    settings = {e: h for end, h in reversed(replayed.schedule) for e in range(end)}
    for epoch in range(EPOCHS):
        order = permutation(jax.random.fold_in(order_key, epoch), 96)
        for first in range(0, 96, 16):
            rows = order[first : first + 16]
            batch = {name: values[rows] for name, values in task.train.items()}
            grad = jax.grad(lambda p, b=batch: task.loss(p, b, None, {}))(params)
            decay = 1 + settings[epoch]["learning_rate_decay"] * epoch
            rate = settings[epoch]["learning_rate"] / decay
            params = jax.tree.map(lambda p, g, r=rate: p - r * g, params, grad)
    expected = task.evaluate(params, task.valid, {})["mse"]
    np.testing.assert_allclose(replayed.metrics["mse"][1], expected, rtol=1e-4)


def test_replay_says_what_it_cannot_do(task):
    found = run(task, SCHEDULERS["halving"])
    with pytest.raises(ValueError, match="seeds=3 needs a key"):
        jt.replay(found, seeds=3)
    with pytest.raises(ValueError, match="no split 'test'"):
        jt.replay(found, split="test")
    with pytest.raises(IndexError, match="trial 99 is not in"):
        jt.replay(found, 99)
    with pytest.raises(ValueError, match="key must be a random key, got 3"):
        jt.replay(found, key=3)
    plain = jt.search(
        lambda key, h: h["x"],
        jt.Space(x=jt.uniform(0, 1)),
        key=jax.random.key(0),
        trials=2,
        mode="min",
    )
    with pytest.raises(ValueError, match="a plain function is not trained"):
        jt.replay(plain)


def test_states_of_any_kind_survive_the_wait():
    """Batch statistics and the keys of NNX's dropout, which NumPy cannot hold."""

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(6, 8, rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.drop = nnx.Dropout(0.3, rngs=rngs)
            self.last = nnx.Linear(8, 3, rngs=rngs)

        def __call__(self, x):
            return self.last(self.drop(jax.nn.relu(self.norm(self.first(x)))))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)), rng.integers(0, 3, 64)
    task = jt.classification(Net, train=(x, y), valid=(x, y), batch_size=16)
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.3))
    found = run(task, SCHEDULERS["asha"], space, trials=12, epochs=4, metric="loss")
    plain = run(task, None, space, trials=12, epochs=4, metric="loss")
    done = found.trials["status"] == "ok"
    assert 0 < done.sum() < 12
    np.testing.assert_array_equal(
        found.trials["score"][done], plain.trials["score"][done]
    )


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_search_in_which_all_diverge_ends(name, task):
    hot = jt.Space(
        learning_rate=jt.uniform(1e18, 1e19), learning_rate_decay=jt.uniform(0, 1e-3)
    )
    with pytest.warns(UserWarning, match="21 of 21 trials of this round failed"):
        found = run(task, SCHEDULERS[name], hot, rounds=2)
    assert set(found.trials["status"]) == {"diverged"}
    assert np.isnan(found.trials["mse"]).all()
    with pytest.raises(ValueError, match="all 42 trials failed"):
        _ = found.best


def test_a_diverging_trial_is_not_promoted_and_harms_none(task):
    found = run(task, SCHEDULERS["halving"])
    bad = np.flatnonzero(found.trials["status"] == "diverged")
    assert len(bad)
    last = found.trials["epochs"][found.trials["status"] == "ok"]
    assert (last == EPOCHS).all()
    assert (found.trials["epochs"][bad] < EPOCHS).all()


def test_pbt_brings_diverged_members_back(task):
    found = run(task, SCHEDULERS["pbt"])
    first = found.rungs.epochs == 3
    failed = found.rungs.trial[first][~np.isfinite(found.rungs.scores[first, 0])]
    early = run(task, None, epochs=3)
    dead = np.flatnonzero(early.trials["status"] == "diverged")
    assert len(dead) > 2
    assert set(failed) <= set(dead)
    taken = set(found.lineage.trial[found.lineage.trial != found.lineage.source])
    assert set(dead) <= taken
    assert set(found.trials["status"]) == {"ok"}


def test_a_failed_seed_stops_its_trial():
    """Six lanes, blocks of four: the waiting ones are spared."""
    x = np.zeros((16, 1), np.float32)

    def loss(params, batch, key, hparams):
        return jnp.where(params["failed"] > 0, jnp.nan, params["w"] * hparams["rate"])

    def init(key, hparams):
        fails = hparams["fails"] * (jax.random.normal(key) > 0)
        return {"w": jnp.float32(1), "failed": fails}

    def fails(root, seed):
        key = lane_key(jax.random.key(root), 0, seed)
        return init(jax.random.fold_in(key, INIT), {"fails": 1})["failed"]

    root = next(r for r in range(99) if fails(r, 0) > fails(r, 1))
    task = jt.Task(
        init=init,
        loss=loss,
        evaluate=lambda params, split, hparams: {"w": params["w"]},
        optimizer=lambda hparams: optax.sgd(0.01),
        train={"x": x},
        valid={"x": x},
        batch_size=16,
        metrics=(("w", "min"),),
    )
    space = jt.Space(rate=jt.uniform(0, 1), fails=jt.uniform(0, 1))
    workload = prepare(task, space, jax.random.key(root), 9, 4)
    points = np.stack([np.linspace(0, 0.9, 3, dtype=np.float32)] * 2, axis=1)
    start = Points(space, points, jax.device_get(space.decode(points)))
    scheduler = jt.schedulers.successive_halving(min_epochs=3)
    spent = []
    for failing in (0.0, 1.0):
        hparams = {**start.hparams, "fails": np.float32([failing, 0, 0])}
        plan = scheduler.plan(3, 9)
        training = train_round(
            workload,
            space,
            np.arange(3),
            start._replace(hparams=hparams),
            np.arange(2),
            SchedulerRun(scheduler, plan, jax.random.key(0), "w", "min"),
        )
        spent.append(training.outcome.spent.live)
        assert training.outcome.status.tolist() == [[failing, 0], [0, 0], [0, 0]]
    assert spent == [3 * 2 * 3 + 2 * 6, 2 * 1 + 2 * 2 * 3 + 2 * 6]


def test_a_lane_that_fails_between_rungs_keeps_no_score(task):
    workload = prepare(task, SPACE, jax.random.key(0), 9, 4)
    hparams = {
        "learning_rate": np.float32([0.01, 100, 0.01, 0.01, 0.01, 0.01]),
        "learning_rate_decay": np.full(6, 0.1, np.float32),
    }
    state = RoundState(workload, SPACE, np.arange(6), hparams, np.arange(1))
    assert np.isnan(state.metrics().metrics["mse"]).all()  # named before any score
    for epochs, finite in ((1, 6), (9, 5)):
        state.ledger.send(np.arange(6), np.full(6, epochs))
        state.wave()
        if epochs == 1:
            state.wave()
        assert np.isfinite(state.ledger.metrics["mse"]).sum() == finite
    assert state.ledger.status.tolist() == [0, 1, 0, 0, 0, 0]
    assert state.ledger.epochs[1] == 2


def test_a_metric_that_is_not_finite_fails_its_trial():
    plan = jt.schedulers.successive_halving().plan(3, 9)
    ledger = Ledger(3, 2)
    scores = RungScores(plan, ledger, "m", "max")
    assert not scores.progress(None).failed.any()  # none has begun
    ledger.send(np.arange(3), np.full(3, 3))
    assert not scores.progress(None).failed.any()
    values = {"m": np.float32([1, 2, np.nan, 4, np.inf, 6])}
    ledger.note(np.arange(6), np.full(6, 3), np.ones(6, bool), values, np.zeros(6))
    found, failed = scores.update(np.asarray([7, 8, 9]))
    assert failed.tolist() == [1, 2]
    progress = scores.progress(None)
    assert progress.failed.tolist() == [False, True, True]
    np.testing.assert_array_equal(progress.scores[:, 0], [1.5, np.nan, np.nan])
    assert progress.errors[0, 0] == pytest.approx(0.5)  # sd 0.707 over root 2
    assert found.trial.tolist() == [7, 8, 9]
    np.testing.assert_array_equal(found.scores[2], [np.nan, 6])


BAD = 2  # a trial that diverges in its first epoch


def decide_with(decision):
    good = jt.schedulers.successive_halving(min_epochs=1)

    def decide(key, plan, progress):
        if (progress.target == 0).any():
            return good.decide(key, plan, progress)
        return Decision(*[np.asarray(column, np.int32) for column in decision])

    return good._replace(decide=decide)


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (([42], [42], [3]), "row 42 on from row 42.*there are 42 trials"),
        (([1], [42], [3]), "there are 42 trials"),
        (([-2], [1], [3]), "there are 42 trials"),
        (([1, 1], [1, 1], [3, 3]), "it is sent twice"),
        (([1], [-1], [3]), "only new trials start fresh"),
        (([1], [1], [10]), "a whole training has 9 epochs"),
        (([1], [1], [1]), "it is past that"),
        (([1], [1], [2]), r"until epoch 2, but its bracket has rungs at \[1, 3, 9\]"),
        (([BAD], [BAD], [3]), "it has failed"),
        (([1], [BAD], [3]), "no state to go on from"),
    ],
)
def test_decisions_that_cannot_be_are_refused(decision, said, task):
    early = run(task, None, epochs=1).trials["status"]
    assert early[BAD] == "diverged"
    assert early[1] == "ok"
    with pytest.raises(ValueError, match=said):
        run(task, decide_with(decision))


def test_what_cannot_be_scheduled_says_so(task):
    with pytest.raises(ValueError, match="a plain function has no epochs"):
        jt.search(
            lambda key, h: h["x"],
            jt.Space(x=jt.uniform(0, 1)),
            key=jax.random.key(0),
            trials=4,
            mode="min",
            scheduler=jt.schedulers.asha(),
        )
    with pytest.raises(ValueError, match=r"scheduler: got 3. Use what one of"):
        run(task, 3)
    with pytest.raises(ValueError, match="epochs=1 leaves no rung"):
        run(task, jt.schedulers.asha(), epochs=1)
    lost = jt.schedulers.asha()
    lost = lost._replace(plan=lambda n, e, plan=lost.plan: plan(n - 1, e))
    lazy = jt.schedulers.asha()
    lazy = lazy._replace(decide=lambda *_: Decision([], [], []))
    with pytest.raises(ValueError, match="row 0 and 41 others never began"):
        run(task, lazy)
    greedy = jt.schedulers.asha(concurrent=2)
    begin = jt.schedulers.hyperband().decide
    with pytest.raises(ValueError, match="sent 42 trials, but 2 may begin"):
        run(task, greedy._replace(decide=begin))
    with pytest.raises(ValueError, match="planned 41 trials for a round of 42"):
        run(task, lost)


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_blocks_are_full_or_there_is_none_to_fill(data):
    count = data.draw(st.integers(1, 60))
    width, budget = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40))
    ints = st.lists(st.integers(0, 20), min_size=count, max_size=count)
    epochs = np.asarray(data.draw(ints))
    target = epochs + 1 + np.asarray(data.draw(ints))
    group = np.asarray(data.draw(ints)) % 3
    lanes = np.flatnonzero(np.asarray(data.draw(ints)) > 3)
    segments = pack_lanes(lanes, epochs, target, group, width, budget)
    packed = np.concatenate([s.lanes for s in segments] or [np.empty(0, int)])
    assert len(set(packed)) == len(packed)
    assert set(packed) <= set(lanes)
    assert bool(segments) == bool(len(lanes))
    sizes = {len(s.lanes) for s in segments}
    assert sizes in (set(), {width}) or (
        max(sizes) < width and set(packed) == set(lanes)
    )
    for segment in segments:
        assert set(group[segment.lanes]) == {segment.group}
        togo = (target - epochs)[segment.lanes]
        assert 1 <= segment.epochs <= togo.min()
        assert segment.epochs in (togo.min(), max(1, budget // packing.TURNS), budget)
        left = np.setdiff1d(lanes[group[lanes] == segment.group], packed)
        if left.size:  # who waits has trained no less
            assert epochs[left].min() >= epochs[segment.lanes].max()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 11)), max_size=40))
@settings(deadline=None, max_examples=100)
def test_a_pool_is_a_dictionary_that_knows_which_blocks_it_needs(steps):
    like = {
        "a": jax.ShapeDtypeStruct((1, 1), jnp.float32),
        "k": jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1)),
    }
    (device,) = jax.random.key(0).devices()
    record = {}
    # room for two blocks on the device, so that older ones go to the host
    store = StateStore(record.__getitem__, limit=48)
    known, source, unneeded = {}, {}, []
    for number, (what, lane_id) in enumerate(steps):
        lanes = np.asarray([lane_id, (lane_id + 5) % 12])
        one, other = lanes.tolist()
        if what == 3 and other in known:  # taken over
            states = store.share(lanes[1:])
            store.drop(lanes[:1])
            store.give(lanes[:1], states)
            known[one], source[one] = known[other], source[other]
        elif what in (0, 3):
            store.drop(lanes)
            for lane in (one, other):
                known.pop(lane, None)
                source.pop(lane, None)
        else:
            values = np.asarray([[10 * number], [10 * number + 1]], np.float32)
            keys = jax.random.wrap_key_data(np.full((2, 2), number, np.uint32))
            state = {"a": jnp.asarray(values), "k": keys}
            parts = (keep(state, np.asarray([1, 0]), on_device=bool(number % 3)),)
            if number % 4 == 0:  # in two parts, as the shares of a block are
                halves = [[1], [0]]
                parts = tuple(keep(state, np.asarray(h), bool(h[0])) for h in halves)
            store.drop(lanes)
            store.put(lanes, number, parts if what == 1 else ())
            known |= {one: values[1], other: values[0]}
            source |= {one: number, other: number}
            record[number] = RecordedStates(
                np.arange(2), (keep(state, np.asarray([1, 0]), False),)
            )
            if what == 1:
                record[number] = pickle.loads(pickle.dumps(store.needed(number)))
                record[number] = record[number]._replace(parts=joined(record[number]))
        store.settle()
        unneeded += store.pop_unneeded()
        assert sorted(unneeded) == sorted(set(record) - set(source.values()))
        if known and number % 2:
            every = np.asarray(list(known))
            sources = store.take(every, np.ones(len(every), bool))
            if number % 3:  # as another process gets them
                sources = pickle.loads(pickle.dumps(sources))
            got = assembled(sources, None, like, partial(gather, None), device)
            np.testing.assert_array_equal(got["a"], np.stack(list(known.values())))
            data = jax.random.key_data(got["k"])[:, 0]
            np.testing.assert_array_equal(data, got["a"][:, 0] // 10)
    missing = np.asarray([one for one in range(12) if one not in known][:1])
    if missing.size:
        with pytest.raises(KeyError):
            store.take(missing, np.ones(1, bool))


def joined(recorded):
    """Return the parts of recorded states as one, as a record has them."""
    leaves = zip(*(part.leaves for part in recorded.parts), strict=True)
    whole = [np.concatenate(each) for each in leaves]
    return (KeptStates(whole, np.arange(len(whole[0]))),)


def one_rung(concurrent=None):
    """A user's scheduler that has no rung but the last."""

    def plan(trials, epochs):
        return Plan((Bracket(0, (epochs,), (trials,)),), concurrent)

    def decide(key, plan, progress):
        new = np.flatnonzero(progress.target == 0)[: progress.slots]
        return decision(new, plan.brackets[0].epochs[0], fresh=True)

    return Scheduler(plan, decide)


@pytest.fixture(scope="module")
def unlucky():
    """A task of which four seeds in ten diverge at once."""

    def init(key, hparams):
        lucky = jax.random.uniform(jax.random.fold_in(key, 9)) > 0.4
        return {"w": jnp.where(lucky, 1.0, jnp.nan) * jax.random.normal(key, (3,))}

    return dataclasses.replace(killed.line(), init=init)


SAFE = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))


def test_a_schedulers_only_rung_is_one_all_the_same(unlucky):
    """It hears of rungs and stops failed trials; without a scheduler neither is so."""
    heard = []

    class Listener(jt.Callback):
        def on_rung(self, round, rungs):
            heard.append(len(rungs.trial))

    more = {"space": SAFE, "trials": 12, "seeds": 3, "callbacks": [Listener()]}
    plain = run(unlucky, None, **more)
    assert not heard
    assert not len(plain.rungs.trial)
    found = run(unlucky, one_rung(concurrent=2), **more)
    assert sum(heard) == len(found.rungs.trial) == 12
    assert found.cost.epochs < plain.cost.epochs


def test_a_trial_that_stopped_before_a_seed_began_reruns(unlucky, tmp_path):
    """Its first seed diverged in a block that had no place for the others."""
    more = {"space": SAFE, "trials": 12, "seeds": 3, "directory": tmp_path}
    found = run(unlucky, one_rung(concurrent=2), **more)
    never = np.flatnonzero(found.trials.epochs == 0)
    assert never.size
    assert jt.rerun(tmp_path, int(never[0]), unlucky).same
