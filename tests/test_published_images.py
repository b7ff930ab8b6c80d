"""Published figures of images and curves: networks, data, trainings and tables."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.published import common, fashion_mnist, mnist1d
from jaxtune.random import INIT, lane_key


def curves(rows):
    """Return random curves whose class is where they are highest."""
    x = np.random.default_rng(0).normal(size=(rows, 40)).astype(np.float32)
    return x, x[:, ::4].argmax(1)


@pytest.mark.parametrize(
    ("name", "count"), [("logistic", 410), ("MLP", 15210), ("CNN", 5210), ("GRU", 5110)]
)
def test_networks_have_as_many_parameters_as_the_authors_have(name, count):
    # PyTorch's GRU has 24 more: a second bias in two of its three gates
    network, x = mnist1d.FAMILIES[name].network(), jnp.zeros((2, 40))
    shapes = jax.eval_shape(network.init, jax.random.key(0), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_their_setting_is_adam_over_the_rows_as_they_are():
    train, test = curves(300), curves(100)
    options = SimpleNamespace(seeds=2, epochs=3)
    row = mnist1d.theirs(mnist1d.FAMILIES["MLP"], train, test, options)
    network, adam = mnist1d.MLP(), optax.adam(1e-2)

    @jax.jit
    def step(params, state, x, y):
        def loss(params):
            logits = network.apply(params, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        updates, state = adam.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    for seed in range(2):
        key = jax.random.fold_in(lane_key(jax.random.key(1), 0, seed), INIT)
        params = network.init(key, train[0][:1])
        state = adam.init(params)
        for number in range(9):
            rows = slice(100 * (number % 3), 100 * (number % 3) + 100)
            params, state = step(params, state, train[0][rows], train[1][rows])
        guessed = network.apply(params, test[0]).argmax(1)
        plain = float((guessed == test[1]).mean())
        assert row["accuracy"][seed] == pytest.approx(plain, abs=0.011)  # one curve


def test_shuffled_curves_are_the_curves_in_another_order():
    pytest.importorskip("mnist1d")
    (x, y), (tx, _) = mnist1d.curves("in order")
    (sx, sy), (stx, _) = mnist1d.curves("shuffled")
    assert x.shape == (4000, 40)
    assert tx.shape == (1000, 40)
    assert np.bincount(y).min() > 350
    assert (y == sy).all()
    same = np.abs(x[:, :, None] - sx[:, None]).max(0) == 0
    assert (same.sum(0) == 1).all()
    assert not same.diagonal().all()
    assert (tx[:, same.argmax(0)] == stx).all()


@pytest.mark.skipif(not fashion_mnist.FOLDER.exists(), reason="Debian's package")
def test_images_are_bytes_of_ten_classes_alike():
    x, y = fashion_mnist.images("t10k")
    assert x.shape == (10_000, 28, 28)
    assert x.dtype == np.uint8
    assert np.bincount(y).tolist() == [1000] * 10


def test_tables_show_their_figures_beside_ours():
    spent = {"seconds": 12.3, "cpu": 20.6}
    found = {"trials": 81, "epochs": 243, "accuracy": 0.9, **spent}
    found["setting"] = {"learning_rate": 0.0123, "units": 200}
    ours = {"accuracy": [0.66, 0.68], **spent}
    rows = {"shuffled": {"CNN": {"theirs": ours, "search": found, "tuned": ours}}}
    line = mnist1d.tables({"rows": rows}).splitlines()[-1]
    assert line == "| shuffled | CNN | 56 | 58.7 | 67.0 ± 12.7 | 67.0 ± 12.7 |"
    line = mnist1d.costs({"rows": rows}).splitlines()[-1]
    assert "| 12 | 21 | 12 | 21 | 81 | 243 |" in line
    line = mnist1d.settings({"rows": rows}).splitlines()[-1]
    assert line == "| shuffled | CNN | learning rate 0.012, units 200 |"
    rows = {"grid": {}, "two convolutions": {"search": found, "tested": ours}}
    table = fashion_mnist.searches({"rows": rows}).splitlines()
    assert len(table) == 3
    assert "| 67.0 ± 12.7 | 81 | 243 | 12 | 21 |" in table[-1]


def test_a_command_goes_on_where_it_was_cut_off(tmp_path):
    options = SimpleNamespace(json=tmp_path / "figures.json", add=True)

    def cut(row):
        raise TimeoutError

    parts = {"search": lambda row: 0.9, "tested": cut}
    rows = common.so_far(options)
    with pytest.raises(TimeoutError):
        common.complete(rows.setdefault("CNN", {}), parts, options, rows)
    rows = common.so_far(options)
    parts = {"search": cut, "tested": lambda row: row["search"] - 0.1}
    common.complete(rows["CNN"], parts, options, rows)
    assert common.so_far(options) == {"CNN": {"search": 0.9, "tested": 0.8}}
    assert common.so_far(SimpleNamespace(json=options.json, add=False)) == {}
