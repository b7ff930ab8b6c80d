"""Where data come from: other libraries, and streams of what does not fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import digits

import jaxtune as jt

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

X, Y = digits(400)
MODEL = jt.models.MLP(classes=10, max_units=16, max_layers=2)
REST = {"valid": (X[200:300], Y[200:300]), "test": (X[300:], Y[300:])}


def in_pieces(epoch, size=30):
    """The first 200 digits, in batches that fit nothing."""
    del epoch
    for first in range(0, 200, size):
        last = min(first + size, 200)
        yield X[first:last], Y[first:last]


class Counted:
    """Calls of a source, by epoch."""

    def __init__(self, source):
        self.source, self.calls = source, []

    def __call__(self, epoch):
        self.calls.append(epoch)
        return self.source(epoch)


def streamed(source=in_pieces, rows=200, model=MODEL, **own):
    train = jt.data.stream(source, examples=200, rows=rows)
    return jt.classification(model, train=train, **REST, **own)


@functools.cache
def resident():
    return jt.classification(MODEL, train=(X[:200], Y[:200]), shuffle=False, **REST)


def space(**changed):
    return jt.Space(
        learning_rate=jt.log_uniform(1e-3, 1.0),
        dropout=jt.uniform(0.0, 0.5),
        hidden_units=jt.integer(4, 16),
        **changed,
    )


SIZES = {
    "one size": {},
    "traced": {"batch_size": jt.power_of_two(8, 32)},
    "open across parts": {"batch_size": jt.ordinal([24, 40, 104])},
    "static": {"batch_size": jt.ordinal([20, 40], static=True)},
}


def same(first, second):
    assert first.trials["score"].size
    for name in first.trials.names:
        np.testing.assert_array_equal(first.trials[name], second.trials[name])
    np.testing.assert_array_equal(first.trials.scores, second.trials.scores)
    np.testing.assert_array_equal(first.rungs.scores, second.rungs.scores)


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        pytest.param("traced", 200, marks=pytest.mark.slow),
        *[(sizes, 64) for sizes in SIZES],
    ],
)
def test_a_stream_trains_as_the_same_rows_on_the_device(sizes, rows):
    own = {
        "key": jax.random.key(1),
        "trials": 12,
        "epochs": 3,
        "seeds": 2,
        "sampler": "sobol",
    }
    where = space(**SIZES[sizes])
    found = jt.search(streamed(rows=rows), where, verbose=0, **own)
    whole = jt.search(resident(), where, verbose=0, **own)
    # programs of their own: jax 0.9.2 gives the same bits, 0.12 rounds one of them
    np.testing.assert_allclose(found.trials["loss"], whole.trials["loss"], rtol=1e-6)
    np.testing.assert_array_equal(found.trials["score"], whole.trials["score"])
    assert np.isfinite(found.trials["score"]).all()


@pytest.mark.parametrize(
    "scheduler",
    [jt.schedulers.hyperband(), jt.schedulers.asha(), jt.schedulers.pbt(interval=2)],
    ids=lambda s: type(s).__name__,
)
def test_schedulers_stop_the_lanes_of_a_stream(scheduler):
    own = {
        "key": jax.random.key(2),
        "trials": 9,
        "epochs": 6,
        "scheduler": scheduler,
        "sampler": "sobol",
    }
    found = jt.search(streamed(rows=64), space(), verbose=0, **own)
    same(found, jt.search(resident(), space(), verbose=0, **own))
    assert found.test() == found.test()
    trial = int(found.trials["trial"][-1])
    replayed = jt.replay(found, trial).metrics["accuracy"]
    np.testing.assert_array_equal(replayed, found.trials.scores[trial])


@pytest.mark.slow
def test_a_rest_of_a_batch_trains_the_same_however_the_stream_is_cut():
    """A program of its own: against one for all rows it is equal up to rounding."""
    sizes = {"batch_size": jt.ordinal([24, 32], static=True)}
    own = {"key": jax.random.key(1), "trials": 4, "epochs": 3, "verbose": 0}
    found = jt.search(streamed(rows=64), space(**sizes), **own)
    same(found, jt.search(streamed(rows=200), space(**sizes), **own))
    whole = jt.search(resident(), space(**sizes), **own)
    np.testing.assert_allclose(found.trials["loss"], whole.trials["loss"], rtol=1e-5)


def test_lanes_of_a_stream_train_on_their_own_epoch_whoever_waits_beside_them():
    """Under ASHA some begin while others go on; alone, each trains as it did there."""

    def shuffled(epoch):
        order = np.random.default_rng(epoch).permutation(200)
        yield X[order], Y[order]

    task = streamed(shuffled, rows=64)
    own = {
        "key": jax.random.key(2),
        "trials": 9,
        "epochs": 9,
        "block": 2,
        "sampler": "sobol",
    }
    asha = jt.schedulers.asha(min_epochs=1)
    found = jt.search(task, space(), scheduler=asha, verbose=0, **own)
    assert len(set(found.trials["epochs"].tolist())) > 1
    for trial in range(9):
        alone = jt.replay(found, trial).metrics["accuracy"]
        np.testing.assert_array_equal(alone, found.trials.scores[trial])


def test_one_reading_of_an_epoch_feeds_all_lanes_of_all_blocks():
    source = Counted(in_pieces)
    task = streamed(source, rows=64)
    assert source.calls == [0]  # its first rows, for their shapes
    own = {
        "trials": 20,
        "rounds": 2,
        "seeds": 2,
        "epochs": 3,
        "block": 4,
        "sampler": "sobol",
    }
    jt.search(task, space(), key=jax.random.key(0), verbose=0, **own)
    assert source.calls == [0, *[0, 1, 2] * 2]


def test_a_stream_of_another_order_in_every_epoch_equals_a_plain_loop():
    """Against optax in a Python loop that shares no code with the lanes."""

    def order(epoch):
        return np.random.default_rng(epoch).permutation(200)

    def source(epoch):
        for rows in np.split(order(epoch), 4):
            yield {"x": X[rows], "y": Y[rows]}

    def init(key, hparams):
        del hparams
        return jax.random.normal(key, (64, 10)) * 0.1

    def loss(params, batch, key, hparams):
        del key, hparams
        logits = batch["x"] @ params
        each = optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"])
        return each.mean()

    def evaluate(params, split, hparams):
        return {"loss": loss(params, split, None, hparams)}

    valid = {"x": X[200:300], "y": Y[200:300]}
    train = jt.data.stream(source, examples=200, rows=60)
    own = {"metrics": (("loss", "min"),), "batch_size": 20, "valid": valid}
    functions = {"init": init, "loss": loss, "evaluate": evaluate}
    task = jt.Task(**functions, train=train, optimizer=sgd, **own)
    rates = jt.Space(learning_rate=jt.log_uniform(0.01, 1.0))
    found = jt.search(task, rates, key=jax.random.key(3), trials=6, epochs=3, verbose=0)
    gradient = jax.jit(jax.grad(lambda params, batch: loss(params, batch, None, None)))
    for trial in range(6):
        row = found.trials.row(trial)
        key = started(jax.random.key(3), trial)
        params = init(key, None)
        for epoch in range(3):
            for rows in np.split(order(epoch), 10):
                batch = {"x": X[rows], "y": Y[rows]}
                params = params - row["learning_rate"] * gradient(params, batch)
        expected = float(loss(params, valid, None, None))
        assert row["score"] == pytest.approx(expected, rel=2e-5)


def sgd(hparams):
    return optax.sgd(hparams["learning_rate"])


def started(root, trial):
    """The key of a trial's initialisation, as docs/architecture.md states it."""
    for stream in (1, trial, 0, 0):
        root = jax.random.fold_in(root, stream)
    return root


def test_a_run_on_a_stream_goes_on(tmp_path):
    class Cut(jt.Callback):
        blocks = 0

        def on_block(self, round, block):
            self.blocks += 1
            if self.blocks == 5:
                raise KeyboardInterrupt

    own = {
        "key": jax.random.key(4),
        "trials": 10,
        "epochs": 3,
        "block": 4,
        "sampler": "sobol",
    }
    straight = jt.search(streamed(rows=64), space(), verbose=0, **own)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="jaxtune resume"):
        jt.search(
            streamed(), space(), directory=run, callbacks=[Cut()], verbose=0, **own
        )
    source = Counted(in_pieces)
    same(jt.resume(run, streamed(source), verbose=0), straight)
    # the first epoch was on record; its rows are read for their shapes only
    assert source.calls.count(1) == 1
    assert jt.rerun(run, 3, streamed()).same
    with pytest.raises(jt.RunError, match="data"):
        jt.rerun(run, 3, streamed(lambda epoch: [(X[:200][::-1], Y[:200][::-1])]))


def test_a_block_that_does_not_fit_is_halved_and_the_epoch_read_again(monkeypatch):
    from jaxtune.programs import block as block_program

    train, tries = block_program.advance_part, []

    def small(task, root, block, *rest):
        if len(block.trial) > 2:
            tries.append(len(block.trial))
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return train(task, root, block, *rest)

    monkeypatch.setattr(block_program, "advance_part", small)
    own = {"key": jax.random.key(5), "trials": 6, "epochs": 2}
    with pytest.warns(UserWarning, match="blocks of 2"):
        halved = jt.search(streamed(rows=64), space(), block=4, verbose=0, **own)
    monkeypatch.undo()
    assert tries
    same(halved, jt.search(streamed(rows=64), space(), block=2, verbose=0, **own))


def changing():
    calls = []

    def source(epoch):
        calls.append(epoch)
        yield X[:200] * len(calls), Y[:200]

    return source


def other(x, y):
    """A stream that begins well and goes wrong."""

    def source(epoch):
        del epoch
        yield X[:100], Y[:100]
        yield x, y

    return source


BROKEN = {
    "other rows": (changing(), "epoch 0 brought other rows than when it was read"),
    "too few": (lambda e: [(X[:200], Y[:200])][e:], "but epoch 1 has 0 rows"),
    "too many": (other(X[:150], Y[:150]), "epoch 0 has more than 200 rows"),
    "width": (other(X[:100, :9], Y[:100]), "first rows have"),
    "nan": (
        other(np.full_like(X[:100], np.nan), Y[:100]),
        r"train of epoch 0, batch 1\['x'\]: row 0",
    ),
    "label": (other(X[:100], Y[:100] + 7), "the label is 16, but those in valid"),
    "no pair": (lambda e: [(X[:100], Y[:100]), X[:100]], "Use pairs"),
    "ragged": (other(X[:100], Y[:99]), "arrays of"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_stream_that_goes_wrong_says_where(how):
    source, message = BROKEN[how]
    own = {"trials": 4, "rounds": 2, "epochs": 2, "verbose": 0}

    def search():
        task = streamed(source, rows=64)
        return jt.search(task, space(), key=jax.random.key(0), **own)

    with pytest.raises(ValueError, match=message):
        search()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: jt.data.stream([1], examples=3), "source is a list"),
        (lambda: jt.data.stream(in_pieces, examples=0), "examples=0"),
        (lambda: jt.data.stream(in_pieces, examples=500), "epoch 0 has 200 rows"),
        (lambda: jt.data.stream(in_pieces, examples=5, rows=1.5), "rows=1.5"),
        (lambda: search_rows(8), "rows=8 are less than a batch of 64"),
        (lambda: jt.replay(search_rows(64), split="train"), "stream is no split"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def search_rows(rows):
    own = {"trials": 2, "epochs": 1, "verbose": 0}
    return jt.search(streamed(rows=rows), space(), key=jax.random.key(0), **own)


def test_sizes_of_numpys_integers_are_whole_numbers():
    train = jt.data.stream(in_pieces, examples=np.int64(200), rows=np.int32(64))
    assert (type(train.examples), type(train.rows)) == (int, int)


def test_pandas_columns_are_named_where_they_cannot_be_used():
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "y": [True, False]})
    x, y = jt.data.from_pandas(frame, "y")
    np.testing.assert_array_equal(x, np.asarray([[1, 0.5], [2, 1.5]], np.float32))
    np.testing.assert_array_equal(y, [1, 0])
    assert y.dtype.kind == "i"  # classes
    assert jt.data.from_pandas(frame, "y", ["b"])[0].shape == (2, 1)
    with pytest.raises(KeyError, match=r"no column 'z'\. There are a, b, y"):
        jt.data.from_pandas(frame, "z")
    with pytest.raises(ValueError, match="'b' misses 1 of 2"):
        jt.data.from_pandas(frame.assign(b=[1, None]), "y")
    with pytest.raises(ValueError, match=r"'a' has dtype .*not numbers"):
        jt.data.from_pandas(frame.assign(a=["u", "v"]), "y")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_hugging_face_datasets_train_as_their_arrays():
    import datasets

    made = {"image": X[:200].reshape(-1, 8, 8), "label": Y[:200], "mean": X[:200, 9]}
    table = datasets.Dataset.from_dict(made)
    x, y = jt.data.from_datasets(table, "image", "label")
    np.testing.assert_array_equal(x, made["image"])
    np.testing.assert_array_equal(y, Y[:200])
    both, _ = jt.data.from_datasets(table, ["mean", "label"], "label")
    np.testing.assert_array_equal(both[:, 0], made["mean"])
    with pytest.raises(KeyError, match=r"no column 'x'\. There are image, label, mean"):
        jt.data.from_datasets(table, "x", "label")

    def source(epoch):
        del epoch
        for batch in table.with_format("numpy").iter(batch_size=64):
            yield batch["image"].reshape(-1, 64), batch["label"]

    own = {"key": jax.random.key(6), "trials": 4, "epochs": 2, "verbose": 0}
    found = jt.search(streamed(source, rows=64), space(), **own)
    same(found, jt.search(resident(), space(), **own))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_grain_datasets_train_as_their_arrays():
    import grain

    def rows(epoch=None):
        """Single examples; in an order of its own in every epoch."""
        table = grain.MapDataset.range(200)
        if epoch is not None:
            table = table.shuffle(seed=epoch)
        return table.map(lambda i: {"x": X[i], "y": Y[i]})

    x, y = jt.data.from_grain(rows())
    np.testing.assert_array_equal(x, X[:200])
    np.testing.assert_array_equal(y, Y[:200])
    with pytest.raises(KeyError, match=r"no column 'z'\. There are x, y"):
        jt.data.from_grain(rows(), "z")
    with pytest.raises(ValueError, match="empty"):
        jt.data.from_grain([])

    def source(epoch):
        for batch in rows(epoch).batch(32):
            yield batch["x"], batch["y"]

    own = {"key": jax.random.key(7), "trials": 4, "epochs": 2, "verbose": 0}
    found = jt.search(streamed(source, rows=64), space(), **own)
    assert np.isfinite(found.trials["score"]).all()
    assert jnp.max(found.trials["score"]) > 0.2
