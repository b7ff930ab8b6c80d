"""Tasks: data checked at the door, models of every kind, traced optimisers."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxtune as jt
from jaxtune.random import permutation
from jaxtune.tasks.optimizers import DIRECTIONS

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(96, 4)), RNG.integers(0, 3, 96)
SPLITS = {"train": (X, Y), "valid": (X[:30], Y[:30])}


class Linen(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Dense(self.width)(x))
        x = nn.BatchNorm(use_running_average=not train)(x)
        return nn.Dense(3)(nn.Dropout(0.1, deterministic=not train)(x))


class NNX(nnx.Module):
    def __init__(self, rngs, width=8):
        self.hidden = nnx.Linear(4, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)
        self.out = nnx.Linear(width, 3, rngs=rngs)

    def __call__(self, x):
        return self.out(self.drop(self.norm(nnx.relu(self.hidden(x)))))


class Recurrent(nnx.Module):
    """An LSTM over the four numbers; it asks for a stream "carry"."""

    def __init__(self, rngs):
        self.states = nnx.RNN(nnx.LSTMCell(1, 8, rngs=rngs), rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.states(x[..., None])[:, -1])


def plain_init(key, x):
    return {"w": 0.1 * jax.random.normal(key, (x.shape[1], 3)), "b": jnp.zeros((1, 3))}


def plain_apply(params, x):
    return x @ params["w"] + params["b"]


def keyed_apply(params, x, *, key=None, train=False, temperature=1.0):
    noise = 0.01 * jax.random.normal(key, x.shape) if train else 0.0
    return plain_apply(params, x + noise) / temperature


def equinox():
    """A pytree with methods: its arrays train, the rest does not."""
    import equinox as eqx

    def network(key):
        return eqx.nn.MLP(4, 3, width_size=8, depth=1, key=key)

    _, rest = eqx.partition(network(jax.random.key(0)), eqx.is_array)

    def apply(params, x):
        return jax.vmap(eqx.combine(params, rest))(x)

    return lambda key: eqx.filter(network(key), eqx.is_array), apply


MODELS = {
    "equinox": equinox(),
    "linen": Linen(),
    "nnx": lambda rngs: NNX(rngs),
    "nnx class": NNX,
    "nnx recurrent": Recurrent,
    "functions": (plain_init, plain_apply),
    "init of key alone": (lambda key: plain_init(key, X), plain_apply),
    "functions with extras": (plain_init, keyed_apply),
}
SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))


@pytest.mark.parametrize("name", MODELS)
def test_contract_of_every_kind_of_model(name):
    task = jt.classification(MODELS[name], **SPLITS, batch_size=16)
    jt.testing.check_task(task, SPACE)


def test_contract_of_a_plain_task(linear_task):
    jt.testing.check_task(linear_task, SPACE)


@pytest.mark.parametrize("name", ["linen", "nnx"])
def test_static_hyperparameters_set_fields_and_states_are_kept(name):
    model = {"linen": Linen(), "nnx": NNX}[name]
    task = jt.classification(model, **SPLITS, batch_size=16)
    hparams = jt.Hparams({"learning_rate": 0.1, "width": 5})
    params, state = task.init(jax.random.key(0), hparams)
    assert 5 in {leaf.shape[-1] for leaf in jax.tree.leaves(params)}
    batch = {"x": task.train["x"][:16], "y": task.train["y"][:16]}
    _, after = task.loss(params, state, batch, jax.random.key(1), hparams)
    before, after = (
        [np.asarray(v) for v in jax.tree.leaves(s) if v.shape == (5,)]
        for s in (state, after)
    )
    assert len(before) == 2  # the mean and the variance of the batch norm
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_traced_keyword_reaches_the_model():
    task = jt.classification((plain_init, keyed_apply), **SPLITS)
    params, state = task.init(jax.random.key(0), jt.Hparams({}))
    hot = task.evaluate(params, state, task.valid, jt.Hparams({"temperature": 1e9}))
    np.testing.assert_allclose(hot["loss"], np.log(3), rtol=1e-5)


def bad(**changes):
    return {**SPLITS, "batch_size": 16, **changes}


def broken(array, row, value):
    array = np.array(array)
    array[row] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (bad(train=(broken(X, (7, 2), np.nan), Y)), r"train\['x'\]: row 7 has nan"),
        (bad(valid=(broken(X, (3, 0), np.inf), Y)), r"valid\['x'\]: row 3 has inf"),
        (bad(train=(broken(X, (5, 1), 1e200), Y)), r"train\['x'\]: row 5 has 1e\+200"),
        (bad(train=(X, Y[:90])), r"train\['y'\] has 90 rows"),
        (bad(train=(X, Y[:, None])), r"train y has shape \(96, 1\)"),
        (bad(train=(X, Y * 1.0)), "train y has dtype float64"),
        (bad(train=(X[:0], Y[:0])), "train y is empty"),
        (bad(train=(X.astype(str), Y)), "dtype <U"),
        (bad(test=X), "test: got ndarray"),
        (bad(train=None), "train: a task needs data"),
        (bad(batch_size=0), "batch_size must be an int of at least 1, got 0"),
    ],
)
def test_bad_data_names_the_array_and_the_row(arguments, said):
    with pytest.raises(ValueError, match=said):
        jt.classification((plain_init, plain_apply), **arguments)


def test_a_label_beyond_the_outputs_is_named():
    splits = {**SPLITS, "valid": (X, broken(Y, 4, 3))}
    task = jt.classification((plain_init, plain_apply), **splits)
    with pytest.raises(ValueError, match=r"valid y in row 4 is 3, .*\(64, 3\)"):
        jt.search(task, SPACE, key=jax.random.key(0), trials=2, epochs=1)
    task = jt.classification(
        (plain_init, plain_apply), **SPLITS | {"valid": (X, broken(Y, 9, -1))}
    )
    with pytest.raises(ValueError, match=r"valid y in row 9 is -1, .*\(64, 3\)"):
        jt.search(task, SPACE, key=jax.random.key(0), trials=2, epochs=1)


def test_a_thing_that_is_no_model_is_refused():
    with pytest.raises(ValueError, match="model: got 3"):
        jt.classification(3, **SPLITS)


def test_regression_compares_the_right_shapes():
    targets = X @ np.asarray([[1.0], [2.0], [0.0], [-1.0]])

    def fit(y, outputs):
        def init(key):
            return jnp.zeros((4, outputs))

        splits = {"train": (X, y), "valid": (X[:30], y[:30])}
        task = jt.regression((init, lambda w, x: x @ w), **splits, batch_size=16)
        return jt.search(
            task, SPACE, key=jax.random.key(0), trials=4, epochs=30
        ).best.score

    assert fit(targets, 1) < 1e-3
    assert fit(targets[:, 0], 1) == fit(targets, 1)
    with pytest.raises(ValueError, match="y has shape"):
        fit(targets, 2)


def test_evaluation_in_chunks_equals_evaluation_at_once(monkeypatch):
    from jaxtune.tasks import measuring

    task = jt.classification((plain_init, plain_apply), **SPLITS)
    params, state = task.init(jax.random.key(0), jt.Hparams({}))
    whole = task.evaluate(params, state, task.train, jt.Hparams({}))
    monkeypatch.setattr(measuring, "CHUNK", 25)  # 96 rows: four chunks, none partial
    monkeypatch.setattr(measuring, "CHUNK", 36)  # three chunks of 32
    thirds = task.evaluate(params, state, task.train, jt.Hparams({}))
    monkeypatch.setattr(measuring, "CHUNK", 20)  # five of 20, the last filled up
    fifths = task.evaluate(params, state, task.train, jt.Hparams({}))
    for parts in (thirds, fifths):
        for name in whole:
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5)


OPTAX = {
    "sgd": lambda h: optax.sgd(h["learning_rate"]),
    "momentum": lambda h: optax.sgd(h["learning_rate"], h["momentum"]),
    "rmsprop": lambda h: optax.rmsprop(h["learning_rate"], h["beta2"], h["epsilon"]),
    "adam": lambda h: optax.adamw(
        h["learning_rate"], h["beta1"], h["beta2"], h["epsilon"], weight_decay=0.0
    ),
}
NUMBERS = {
    "learning_rate": 0.05,
    "momentum": 0.8,
    "beta1": 0.85,
    "beta2": 0.97,
    "epsilon": 1e-6,
}


def descend(optimizer, **extra):
    """Five steps on a fixed bowl, in float32."""
    params = jnp.asarray([1.0, -2.0, 3.0])
    optimizer = optax.with_extra_args_support(optimizer)
    state = optimizer.init(params)
    for step in range(5):
        gradient = params * jnp.asarray([1.0, 5.0, 0.1])
        epoch = jnp.int32(step // 2)
        updates, state = optimizer.update(gradient, state, params, epoch=epoch, **extra)
        params = optax.apply_updates(params, updates)
    return np.asarray(params)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_the_standard_optimizers_are_optax_with_traced_numbers(name):
    ours = jax.jit(
        lambda h: descend_traced(
            jt.optimizers.standard(jt.Hparams({**h, "optimizer": name}))
        )
    )(NUMBERS)
    np.testing.assert_allclose(ours, descend(OPTAX[name](NUMBERS)), rtol=2e-6)


def descend_traced(optimizer):
    params = jnp.asarray([1.0, -2.0, 3.0])
    optimizer = optax.with_extra_args_support(optimizer)
    state = optimizer.init(params)
    for step in range(5):
        gradient = params * jnp.asarray([1.0, 5.0, 0.1])
        updates, state = optimizer.update(gradient, state, params, epoch=step // 2)
        params = optax.apply_updates(params, updates)
    return params


def test_an_optimizer_chosen_by_a_number_is_the_named_one():
    names = ("adam", "sgd", "rmsprop", "momentum")
    choices = {"optimizer": names}

    def run(index):
        hparams = jt.Hparams({**NUMBERS, "optimizer": index}, choices)
        return descend_traced(jt.optimizers.standard(hparams))

    many = jax.jit(jax.vmap(run))(jnp.arange(4))
    for name, row in zip(names, many, strict=True):
        np.testing.assert_allclose(row, descend(OPTAX[name](NUMBERS)), rtol=2e-6)


@pytest.mark.parametrize(
    ("names", "moments"),
    [
        (("sgd",), 0),
        (("sgd", "momentum"), 1),
        (("sgd", "rmsprop"), 1),
        (("momentum", "adam"), 2),
        (("adam", "rmsprop", "momentum", "sgd"), 2),
    ],
)
def test_a_choice_of_optimizers_keeps_no_more_than_its_largest(names, moments):
    hparams = jt.Hparams({**NUMBERS, "optimizer": jnp.int32(0)}, {"optimizer": names})
    state = jt.optimizers.standard(hparams).init(jnp.zeros(7))
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 7 * moments + 1


def test_any_transformations_can_be_selected_by_a_number():
    options = [optax.sgd(0.1), optax.adam(0.1), optax.lion(0.1)]
    many = jax.vmap(lambda i: descend_traced(jt.optimizers.selected(i, options)))
    for option, row in zip(options, many(jnp.arange(3)), strict=True):
        np.testing.assert_allclose(row, descend(option), rtol=2e-6)


def test_learning_rate_and_weight_decay_follow_their_formulas():
    hparams = jt.Hparams(
        {"learning_rate": 0.1, "learning_rate_decay": 0.5, "weight_decay": 0.3}
        | {"optimizer": "sgd"}
    )
    w = np.asarray([1.0, -2.0, 3.0])
    for step in range(5):
        rate = 0.1 / (1 + 0.5 * (step // 2))
        w = w - rate * (w * [1.0, 5.0, 0.1] + 0.3 * w)
    ours = descend(jt.optimizers.standard(hparams))
    np.testing.assert_allclose(ours, w, rtol=1e-5)


@pytest.mark.parametrize(
    ("space", "kind"),
    [({}, "momentum"), ({"beta1": 0.8}, "adam"), ({"epsilon": 1e-3}, "adam")],
)
def test_the_optimizer_follows_from_the_space(space, kind):
    hparams = {"learning_rate": 0.1, **space}
    given = descend(jt.optimizers.standard(jt.Hparams(hparams)))
    named = descend(jt.optimizers.standard(jt.Hparams({**hparams, "optimizer": kind})))
    np.testing.assert_array_equal(given, named)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="'adagrad'"):
        jt.optimizers.standard(jt.Hparams({"optimizer": "adagrad"}))
    with pytest.raises(ValueError, match="without its list"):
        jt.optimizers.standard({"optimizer": 0})


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000, 1437])
def test_an_order_has_every_example_once(n):
    order = permutation(jax.random.key(n), n)
    assert sorted(np.asarray(order)) == list(range(n))


def test_orders_are_uniform_over_pairs():
    from scipy.stats import chisquare

    n, keys = 7, jax.random.split(jax.random.key(0), 8400)
    orders = np.asarray(jax.vmap(lambda k: permutation(k, n))(keys)).astype(int)
    for i, j in [(0, 1), (2, 5), (6, 3)]:
        counts = np.bincount(orders[:, i] * n + orders[:, j], minlength=n * n)
        same = np.eye(n, dtype=bool).ravel()
        assert counts[same].sum() == 0
        assert chisquare(counts[~same]).pvalue > 1e-3


CHANGES = {
    "init": lambda key, hparams: ({}, {}),
    "loss": lambda params, state, batch, key, hparams: (jnp.float32(0.0), state),
    "evaluate": lambda params, state, split, hparams: {"accuracy": jnp.float32(0.5)},
    "optimizer": lambda hparams: optax.sgd(0.1),
    "batch_size": 8,
    "shuffle": False,
    "metrics": (("loss", "min"),),
    "limits": (("hidden_units", (1, 4)),),
    "padding": (),
}


def ours():
    return jt.classification(jt.models.MLP(classes=3, max_units=8), **SPLITS)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_task_is_not_made_by_its_recipe(name):
    task = ours()
    assert task.recipe is not None
    assert dataclasses.replace(task, **{name: CHANGES[name]}).recipe is None
    assert dataclasses.replace(task, **{name: getattr(task, name)}).recipe is not None


def test_other_data_keep_the_recipe_of_a_task():
    task = ours()
    assert dataclasses.replace(task, test=task.valid).recipe == task.recipe
    assert jax.tree.map(lambda a: a, task).recipe == task.recipe


def test_a_run_of_a_changed_task_does_not_rebuild_the_old_one(tmp_path):
    def other(params, state, split, hparams):
        found = task.evaluate(params, state, split, hparams)
        return found | {"accuracy": -found["accuracy"]}

    task = dataclasses.replace(ours(), test=ours().valid)
    changed = dataclasses.replace(task, evaluate=other)
    own = {"key": jax.random.key(0), "trials": 2, "epochs": 1, "verbose": 0}
    found = jt.search(changed, SPACE, directory=tmp_path / "run", **own)
    with pytest.raises((jt.RunError, ValueError), match="task"):
        jt.load(tmp_path / "run").test()
    again = jt.load(tmp_path / "run", changed).test()
    assert again["accuracy"] == found.test()["accuracy"] <= 0
    with pytest.raises(jt.RunError):
        jt.load(tmp_path / "run", task)


def test_the_batch_size_of_the_space_is_the_one_that_counts():
    few = {"train": (X[:50], Y[:50]), "valid": (X[:30], Y[:30])}
    task = jt.classification((plain_init, plain_apply), **few)
    own = {"key": jax.random.key(0), "trials": 2, "epochs": 1, "verbose": 0}
    with pytest.raises(ValueError, match=r"batch_size=64 is larger .* 50 examples"):
        jt.search(task, SPACE, **own)
    space = jt.Space(
        learning_rate=jt.uniform(0.01, 0.1), batch_size=jt.power_of_two(16, 32)
    )
    assert np.isfinite(jt.search(task, space, **own).best.score)


def test_a_batch_size_of_numpys_integers_is_a_whole_number():
    task = jt.classification(
        (plain_init, plain_apply), **SPLITS, batch_size=np.int64(16)
    )
    assert type(task.batch_size) is int
