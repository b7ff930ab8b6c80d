"""muP: steps and initial weights by the true width, for every optimiser."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.tasks.optimizers import NAMES, named

KEY = jax.random.key(0)
BASE, LAYERS, CLASSES = 8, 3, 3
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(32, 4)), RNG.integers(0, CLASSES, 32)
DATA = {"train": (X, Y), "valid": (X, Y), "batch_size": 16}
SPACE = jt.Space(
    learning_rate=jt.log_uniform(0.01, 0.1),
    hidden_units=jt.choice([4, 8, 16]),
    optimizer=jt.choice(["sgd", "adam"]),
)
SEARCH = {"key": KEY, "trials": 12, "epochs": 2, "verbose": 0, "metric": "loss"}


def mlp(parametrization="mup", **fields):
    usual = {"max_units": 16, "max_layers": 2, "base_units": BASE}
    return jt.models.MLP(CLASSES, parametrization=parametrization, **(usual | fields))


@functools.cache
def task_of(parametrization="mup"):
    return jt.classification(mlp(parametrization), **DATA)


def test_at_the_base_width_nothing_changes():
    sampler = jt.samplers.grid([2, 3, 2])
    one, other = (
        jt.search(task_of(way), SPACE, sampler=sampler, **SEARCH).trials
        for way in ("standard", "mup")
    )
    base = one["hidden_units"] == BASE
    assert 0 < base.sum() < len(base)
    np.testing.assert_array_equal(one["score"][base], other["score"][base])
    assert (one["score"][~base] != other["score"][~base]).all()


def table_3(optimizer, path, ratio):
    """The learning rate of an array as Yang et al. (2021) have it in table 3."""
    kind = "output" if path[0] == "output" else "hidden"
    if path[0] == "hidden_0" or path[-1] != "kernel":
        kind = "input or bias"
    if path == ("output", "bias"):
        return 1.0  # its fan-out is the number of classes
    return {
        "sgd": {"input or bias": ratio, "hidden": 1.0, "output": 1 / ratio},
        "adam": {"input or bias": 1.0, "hidden": 1 / ratio, "output": 1 / ratio},
    }[optimizer][kind]


def by_hand(params, x, norm=None, layers=LAYERS):
    """The plain network, without padding."""
    for layer in range(layers):
        own = params[f"hidden_{layer}"]
        x = x @ own["kernel"] + own["bias"][None]
        if norm:
            inner = params[f"MaskedLayerNorm_{layer}"]["LayerNorm_0"]
            x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(
                x.var(-1, keepdims=True) + 1e-6
            )
            x = x * inner["scale"][None] + inner["bias"][None]
        x = nn.relu(x)
    return x @ params["output"]["kernel"] + params["output"]["bias"][None]


def error(logits, y):
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@pytest.mark.parametrize("norm", [None, "layer"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_padded_network_trains_as_the_plain_one_with_rates_by_the_paper(
    norm, optimizer
):
    """In float64: masks, traced widths and factors against a table and no padding."""
    width, rate = 6, 0.02
    padded = mlp(norm=norm, max_layers=LAYERS)
    with jax.enable_x64(True):
        x, y = jnp.asarray(X), jnp.asarray(Y)
        hparams = {"hidden_units": jnp.int32(width), "learning_rate": rate}
        hparams |= {"optimizer": optimizer, "epsilon": 1e-30}
        start = jax.jit(padded.init)(KEY, x, hidden_units=width)["params"]
        start = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), start)
        plain = padded.clone(max_units=width)
        shapes = jax.eval_shape(lambda: plain.init(KEY, x))["params"]

        def corner(tree):
            cut = lambda leaf, like: leaf[tuple(map(slice, like.shape))]  # noqa: E731
            return jax.tree.map(cut, tree, shapes)

        def ours(params):
            logits = padded.apply({"params": params}, x, hidden_units=jnp.int32(width))
            return error(logits, y)

        made = jt.optimizers.standard(hparams, padded.multipliers(hparams))
        got = trained(ours, made, start)
        factors = jax.tree_util.tree_map_with_path(
            lambda path, _: table_3(
                optimizer, tuple(k.key for k in path), width / BASE
            ),
            shapes,
        )
        rates = optax.stateless(
            lambda u, p: jax.tree.map(lambda a, f: -rate * f * a, u, factors)
        )
        direction = {"sgd": optax.identity(), "adam": optax.scale_by_adam(eps=1e-30)}
        paper = optax.chain(direction[optimizer], rates)
        expected = trained(
            lambda p: error(by_hand(p, x, norm), y), paper, corner(start)
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8),
            corner(got),
            expected,
        )
        alive = sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(got))
        assert alive <= sum(leaf.size for leaf in jax.tree.leaves(shapes))


def trained(loss, optimizer, params, steps=8):
    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


def test_outputs_begin_smaller_in_a_wider_network_and_nothing_else_does():
    at = {"x": jnp.ones((1, 4)), "hidden_units": jnp.int32(16)}
    one, other = (
        jax.jit(mlp(way).init)(KEY, **at)["params"] for way in ("standard", "mup")
    )
    assert np.allclose(
        one["output"].pop("kernel"), np.sqrt(2) * other["output"].pop("kernel")
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


WIDTHS = (16, 64, 256, 1024)


def changes(parametrization, optimizer):
    """How much each layer's outputs change in three steps, ``[widths, layers]``."""
    model = mlp(parametrization, max_units=1024, max_layers=2, base_units=64)
    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(Y)
    rate = {"sgd": 0.1, "adam": 0.003}[optimizer]
    hparams = {"learning_rate": rate, "optimizer": optimizer}

    def outputs(params):
        layers, at = [], x
        for name in ("hidden_0", "hidden_1", "output"):
            at = at @ params[name]["kernel"] + params[name]["bias"][None]
            layers.append(at)
            at = nn.relu(at)
        return layers

    def of_width(width):
        own = hparams | {"hidden_units": width}
        made = jt.optimizers.standard(own, model.multipliers(own))
        start = params = model.init(KEY, x, hidden_units=width)["params"]
        state = made.init(params)
        for _ in range(3):
            gradients = jax.grad(lambda p: error(outputs(p)[-1], y))(params)
            updates, state = made.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
        used = jnp.asarray([width, width, CLASSES])
        moved = zip(outputs(params), outputs(start), used, strict=True)
        return jnp.stack(
            [jnp.sqrt(((a - b) ** 2).sum(1).mean() / n) for a, b, n in moved]
        )

    return np.asarray(jax.jit(lambda w: jax.lax.map(of_width, w))(jnp.asarray(WIDTHS)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_coordinates_of_all_layers_change_alike_at_every_width(optimizer):
    """The check of Yang et al. (2021), appendix D: slopes over the width, in logs."""
    slopes = {
        way: np.polyfit(np.log(WIDTHS), np.log(changes(way, optimizer)), 1)[0]
        for way in ("standard", "mup")
    }
    assert np.abs(slopes["mup"]).max() < 0.2, slopes
    assert slopes["standard"].max() > 0.6, slopes


@pytest.mark.parametrize("name", NAMES)
def test_one_pair_of_factors_is_right_for_every_optimiser(name):
    """Gradients that are a factor smaller make the steps of the base, and the other."""
    gradients, params = {"a": jnp.asarray([0.3, -2.0])}, {"a": jnp.ones(2)}
    hparams = {"learning_rate": 0.1, "weight_decay": 0.0}
    plain, own = named(name)(hparams), named(name)(hparams, ({"a": 4.0}, 0.25))
    states = plain.init(params), own.init(params)
    for _ in range(3):
        one, first = plain.update(gradients, states[0], params)
        smaller = jax.tree.map(lambda g: g / 4, gradients)
        other, second = own.update(smaller, states[1], params)
        np.testing.assert_array_equal(other["a"], one["a"] / 4)
        states = first, second


def test_a_run_is_resumed_rerun_and_handed_over(tmp_path):
    where = tmp_path / "run"
    space = jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1),
        hidden_units=jt.choice([4, 8, 16]),
        parametrization=jt.choice(["standard", "mup"], static=True),
    )
    own = {**SEARCH, "trials": 6, "seeds": 2}
    task = jt.classification(mlp("standard"), **DATA)
    found = jt.search(task, space, directory=where, **own)
    again = jt.resume(where)  # from the directory alone
    np.testing.assert_array_equal(found.trials.scores, again.trials.scores)
    assert jt.rerun(where, found.best.trial).same
    narrow = np.flatnonzero(
        (found.trials["hidden_units"] < 16) & (found.trials["parametrization"] == "mup")
    )
    model = found.train(int(narrow[0]))
    width = model.hparams["hidden_units"]
    assert model.params["hidden_1"]["kernel"].shape == (width, width)
    loaded = jt.load_model(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(model.apply(X), loaded.apply(X))
    plain = by_hand(model.params, jnp.asarray(X, jnp.float32), layers=2)
    np.testing.assert_allclose(loaded.apply(X), plain, rtol=1e-4, atol=1e-5)


def test_what_is_not_understood_is_refused():
    with pytest.raises(ValueError, match=r"parametrization must be .*, got 'mu'"):
        mlp("mu")
    space = jt.Space(learning_rate=jt.log_uniform(0.01, 0.1))
    adam = lambda hparams: optax.adam(hparams["learning_rate"])  # noqa: E731
    with pytest.raises(ValueError, match="the optimizer does not ask for them"):
        jt.plan(jt.classification(mlp(), **DATA, optimizer=adam), space, trials=2)
    averaged = jt.optimizers.averaged(optax.sgd(0.1))
    with pytest.raises(ValueError, match="averaged inside it would average other"):
        jt.optimizers.scaled(averaged, (2.0, 1.0)).init(jnp.ones(2))
    with pytest.raises(ValueError, match=r"multipliers: got float\. Use a pair"):
        jt.optimizers.scaled(optax.sgd(0.1), 2.0)
    sgd = jt.optimizers.scaled(optax.sgd(0.1), ({"b": 1.0}, 1.0))
    state = sgd.init({"a": 1.0})
    with pytest.raises(ValueError, match="multipliers: they do not fit the parameters"):
        sgd.update({"a": 1.0}, state)
    for factor in (jnp.ones(3), jnp.ones((2, 1)), "a"):
        made = jt.optimizers.scaled(optax.sgd(0.1), (1.0, {"w": factor}))
        start = {"w": jnp.ones(2)}
        with pytest.raises(ValueError, match="multipliers: they do not fit"):
            made.update(start, made.init(start), start)


class Own(nn.Module):
    """A user's model whose second layer is trained slowly."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(CLASSES, name="last")(nn.relu(nn.Dense(4, name="first")(x)))

    def multipliers(self, hparams):
        return 1.0, {"first": 1.0, "last": hparams["slow"]}


def test_a_model_and_an_optimiser_of_ones_own_use_the_same_words():
    def optimizer(hparams, multipliers):
        return jt.optimizers.averaged(
            jt.optimizers.scaled(optax.sgd(0.1), multipliers), decay=0.5
        )

    task = jt.classification(Own(), **DATA, optimizer=optimizer)
    space = jt.Space(slow=jt.choice([0.0, 1.0]))
    found = jt.search(task, space, **{**SEARCH, "trials": 2})
    frozen = found.train(int(np.flatnonzero(found.trials["slow"] == 0)[0])).params
    assert not frozen["last"]["bias"].any()
    assert frozen["first"]["bias"].any()
