"""Padded models equal the plain ones they stand for, after training too."""

import functools
from collections import Counter

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

import jaxtune as jt
from jaxtune.hardware import SWITCH
from jaxtune.planning.flops import inner_programs

BATCH, CLASSES = 40, 3
LAYERS = {"layer": nn.LayerNorm, "batch": nn.BatchNorm}
NAMES = {"layer": "MaskedLayerNorm", "batch": "MaskedBatchNorm"}


def plain_norm(x, norm, index, train):
    if norm is None:
        return x
    given = {"use_running_average": not train} if norm == "batch" else {}
    return LAYERS[norm](**given, name=f"{NAMES[norm]}_{index}")(x)


class PlainMLP(nn.Module):
    """The network without padding, of Flax's own layers."""

    units: int
    layers: int
    norm: str | None
    rate: float | None

    @nn.compact
    def __call__(self, x, train=False):
        for layer in range(self.layers):
            x = nn.Dense(self.units, name=f"hidden_{layer}")(x)
            x = nn.relu(plain_norm(x, self.norm, layer, train))
            if train and self.rate is not None:
                x = jt.models.dropout(x, self.rate, self.make_rng("dropout"))
        return nn.Dense(CLASSES, name="output")(x)


class PlainCNN(nn.Module):
    """The same for images; ``last`` is the index of the dense layer's norm."""

    channels: int
    layers: int
    units: int
    norm: str | None
    last: int

    @nn.compact
    def __call__(self, x, train=False):
        x = x[..., None]
        for layer in range(self.layers):
            x = nn.Conv(self.channels, (3, 3), name=f"conv_{layer}")(x)
            x = nn.relu(plain_norm(x, self.norm, layer, train))
            x = nn.max_pool(x, (2, 2), (2, 2)) if layer == 0 else x
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = jnp.moveaxis(x, -1, 1).reshape(len(x), -1)
        x = nn.Dense(self.units, name="hidden")(x)
        x = nn.relu(plain_norm(x, self.norm, self.last, train))
        return nn.Dense(CLASSES, name="output")(x)


def mlp(units, layers, norm, rate=None):
    padded = jt.models.MLP(CLASSES, max_units=16, max_layers=3, norm=norm)
    shape = {"hidden_units": jnp.int32(units), "layers": jnp.int32(layers)}
    if rate is not None:
        shape["dropout"] = jnp.asarray(rate)
    return padded, shape, PlainMLP(units, layers, norm, rate), (6,)


def cnn(units, layers, norm, rate=None):
    assert rate is None
    padded = jt.models.CNN(
        CLASSES, max_channels=6, max_layers=2, max_units=16, norm=norm
    )
    channels = min(units, 6)
    shape = {
        "hidden_units": jnp.int32(units),
        "layers": jnp.int32(layers),
        "channels": jnp.int32(channels),
    }
    return padded, shape, PlainCNN(channels, layers, units, norm, 2), (8, 8)


def flat(variables):
    """Path to leaf; the norm inside a masked norm is not a path of its own."""
    inner = ("LayerNorm_0", "BatchNorm_0")
    pairs = flatten_dict(variables).items()
    return {tuple(part for part in p if part not in inner): v for p, v in pairs}


def corner(padded, like):
    """The part in use of padded parameters: the first ones along every axis."""
    padded = flat(padded)
    cut = {
        path: padded[path][tuple(slice(size) for size in leaf.shape)]
        for path, leaf in flatten_dict(like).items()
    }
    return unflatten_dict(cut)


OPTIMIZERS = {
    "momentum": optax.sgd(0.05, 0.9),
    # a bias before a batch norm has no gradient but rounding, which Adam would blow up
    "adamw": optax.adamw(0.01, eps=1e-4, weight_decay=0.1),
}
# The padded network is one program for all sizes that its masks stand for, so these are
# compiled once for a module.
static = functools.partial(jax.jit, static_argnums=0)


@static
def init(module, key, x, shape):
    return module.init(key, x, **shape)


@static
def apply(module, variables, x, shape):
    return module.apply(variables, x, **shape)


@functools.partial(jax.jit, static_argnums=(0, 1))
def step(module, optimizer, params, state, moments, index, x, y, shape):
    def loss(p):
        logits, changed = module.apply(
            {"params": p, "batch_stats": state},
            x,
            train=True,
            rngs={"dropout": jax.random.fold_in(jax.random.key(5), index)},
            mutable=["batch_stats"],
            **shape,
        )
        error = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return error, changed.get("batch_stats", {})

    gradients, state = jax.grad(loss, has_aux=True)(params)
    updates, moments = OPTIMIZERS[optimizer].update(gradients, moments, params)
    return optax.apply_updates(params, updates), state, moments


def train(module, variables, optimizer, x, y, shape, steps=40):
    params, state = variables["params"], variables.get("batch_stats", {})
    moments = OPTIMIZERS[optimizer].init(params)
    for index in range(steps):
        params, state, moments = step(
            module, optimizer, params, state, moments, index, x, y, shape
        )
    return {"params": params} | ({"batch_stats": state} if state else {})


CASES = [
    *[(mlp, u, k, None, None) for u, k in [(5, 1), (16, 2), (3, 3), (1, 2)]],
    (mlp, 5, 2, None, 0.3),
    *[(mlp, u, k, norm, None) for u, k in [(6, 1), (9, 3)] for norm in LAYERS],
    *[(cnn, 6, 2, None, None), (cnn, 3, 2, None, None), (cnn, 4, 1, None, None)],
    *[(cnn, 4, 1, norm, None) for norm in LAYERS],
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("make", "units", "layers", "norm", "rate"), CASES)
def test_a_padded_network_trains_as_the_plain_one(
    make, units, layers, norm, rate, optimizer
):
    """In float64, where forty steps of training amplify no rounding worth a name."""
    with jax.enable_x64(True):
        compare(*make(units, layers, norm, rate), optimizer)


def compare(padded, shape, plain, inputs, optimizer):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(BATCH, *inputs)))
    y = jnp.asarray(rng.integers(0, CLASSES, BATCH))
    start = init(padded, jax.random.key(0), x, shape)
    start = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), start)
    like = jax.eval_shape(lambda: plain.init(jax.random.key(0), x))
    got = train(padded, start, optimizer, x, y, shape)
    expected = train(plain, corner(start, like), optimizer, x, y, {})
    leaves = zip(
        jax.tree.leaves(corner(got, like)), jax.tree.leaves(expected), strict=True
    )
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)
    outputs = [apply(padded, got, x, shape), apply(plain, expected, x, {})]
    np.testing.assert_allclose(*outputs, rtol=1e-6, atol=1e-8)
    used = sum(leaf.size for leaf in jax.tree.leaves(expected["params"]))
    alive = sum(int((leaf != 0).sum()) for leaf in jax.tree.leaves(got["params"]))
    assert alive <= used, "the padding must stay zero"


@pytest.mark.parametrize("make", [mlp, cnn])
def test_initial_weights_do_not_depend_on_the_padding(make):
    padded, shape, plain, inputs = make(4, 2, "layer")
    x = jnp.zeros((1, *inputs))
    like = jax.eval_shape(lambda: plain.init(jax.random.key(0), x))
    wider = padded.clone(max_units=64, max_layers=4)
    last = {("params", "MaskedLayerNorm_4"): "MaskedLayerNorm_2"}
    one, other = (
        flat(init(model, jax.random.key(0), x, shape)) for model in (padded, wider)
    )
    moved = {(*p[:1], last.get(p[:2], p[1]), *p[2:]): v for p, v in other.items()}
    moved = moved if make is cnn else other
    for path, leaf in flatten_dict(like).items():
        part = tuple(slice(size) for size in leaf.shape)
        np.testing.assert_array_equal(one[path][part], moved[path][part])


@pytest.mark.parametrize("model", [jt.models.MLP, jt.models.CNN])
def test_the_initial_scale_follows_the_true_fan_in(model):
    padded = model(3, max_units=256, max_layers=2)
    x = jnp.zeros((1, 8, 8))
    for units in (32, 64, 256):
        params = padded.init(jax.random.key(0), x, hidden_units=jnp.int32(units))
        name = "hidden_1" if model is jt.models.MLP else "hidden"
        kernel = params["params"][name]["kernel"][:units, :units]
        fan_in = units if model is jt.models.MLP else 16 * 2 * 2
        assert abs(kernel.std() * fan_in**0.5 - 1) < 0.15
    if model is jt.models.CNN:
        params = padded.init(jax.random.key(0), x, channels=jnp.int32(8))
        kernel = params["params"]["conv_1"]["kernel"][:, :, :8, :8]
        assert abs(kernel.std() * (9 * 8) ** 0.5 - 1) < 0.15


class Residual(nn.Module):
    """What a user might write: a residual network whose width and depth are data."""

    size: int = 24
    blocks: int = 3
    limits = {"width": (1, 24), "depth": (1, 3)}  # noqa: RUF012
    padding = {"width": "size", "depth": "blocks"}  # noqa: RUF012

    @nn.compact
    def __call__(self, x, width, depth):
        x = jt.models.MaskedDense(self.size)(x, outputs=width)
        for block in range(self.blocks):
            used = block < depth
            active = jnp.where(used, width, 0)
            new = jt.models.MaskedLayerNorm(name=f"norm_{block}")(x, active)
            new = jt.models.MaskedDense(self.size, name=f"in_{block}")(
                nn.gelu(new), active, active
            )
            x = jt.models.pass_through(used, x + new, x)
        return jt.models.MaskedDense(CLASSES, name="output")(x, width)


@pytest.mark.usefixtures("exact_products")
def test_a_model_of_ones_own_has_its_width_and_depth_as_data():
    """Padded to any size, or to none, it is the same network."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 5)), rng.integers(0, CLASSES, 48)
    task = jt.classification(Residual(), train=(x, y), valid=(x, y), batch_size=16)
    tables = []
    for static, programs in ((False, 1), (True, None)):
        space = jt.Space(
            learning_rate=jt.log_uniform(1e-3, 1e-2),
            # a layer norm over two units magnifies any rounding
            width=jt.integer(4, 24, scale="log", static=static),
            depth=jt.ordinal([1, 3], static=static),
        )
        result = jt.search(
            task,
            space,
            key=jax.random.key(0),
            trials=2,
            epochs=3,
            metric="loss",
            programs=programs,
        )
        tables.append(result.trials["score"])
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4)


class Written(nn.Module):
    """The network as a person writes it."""

    units: int = 24

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.Dense(self.units)(x))
        return nn.Dense(CLASSES)(x)


def operations(jaxpr, found):
    """Count the operations of a program by name, those of inner programs included."""
    for equation in jaxpr.eqns:
        found[equation.primitive.name] += 1
        for inner in inner_programs(equation):
            operations(inner, found)
    return found


@pytest.mark.parametrize("fixed", [{}, {"hidden_units": 24, "layers": 2}])
def test_where_no_shape_is_searched_the_program_is_the_plain_one(fixed, monkeypatch):
    """One training step of a lane; on a CPU, the last layer has a form of its own."""
    monkeypatch.setenv(SWITCH, "accelerator")
    padded = jt.models.MLP(CLASSES, max_units=24, max_layers=2)
    x, y = jnp.ones((BATCH, 6)), jnp.zeros(BATCH, int)
    found = []
    for model, shape in ((Written(), {}), (padded, fixed)):
        params = jax.eval_shape(model.init, jax.random.key(0), x)

        def loss(params, model=model, shape=shape):
            logits = model.apply(params, x, **shape)
            error = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return error.mean()

        jaxpr = jax.make_jaxpr(jax.vmap(jax.grad(loss)))(
            jax.tree.map(lambda p: jnp.zeros((4, *p.shape)), params)
        )
        found.append(operations(jaxpr.jaxpr, Counter()))
    assert found[0] == found[1]
    assert found[0]["dot_general"] == 8


def test_dropout_keeps_the_mean_and_drops_the_share():
    x = jnp.ones((200, 500))
    for rate in (0.0, 0.3, 0.9):
        out = jt.models.dropout(x, jnp.float32(rate), jax.random.key(0))
        assert abs(float((out == 0).mean()) - rate) < 0.01
        assert abs(float(out.mean()) - 1) < 0.02
    assert (jt.models.dropout(x, 0.0, jax.random.key(0)) == x).all()


def test_an_activation_chosen_by_a_number_is_the_named_one():
    x = jnp.linspace(-2, 2, 9)
    choices = {"activation": ("gelu", "relu", "silu", "tanh")}
    many = jax.vmap(lambda i: jt.models.activate(x, i, choices))(jnp.arange(4))
    for name, row in zip(choices["activation"], many, strict=True):
        np.testing.assert_array_equal(row, getattr(nn, name)(x))
    with pytest.raises(ValueError, match="without its list"):
        jt.models.activate(x, jnp.int32(0))


@pytest.mark.parametrize("static", [True, False])
def test_an_activation_may_be_static_or_traced(small_task, static):
    space = jt.Space(
        learning_rate=jt.log_uniform(0.05, 0.1),
        activation=jt.choice(["relu", "tanh"], static=static),
    )
    before = jt.testing.compilations()
    result = jt.search(
        small_task, space, key=jax.random.key(0), trials=8, epochs=1, sampler="sobol"
    )
    used = len(set(result.trials["activation"])) if static else 1
    assert jt.testing.compilations() - before == 3 * used
    assert result.best.hparams["activation"] in ("relu", "tanh")


def test_a_space_larger_than_the_model_is_refused(small_task):
    space = jt.Space(learning_rate=jt.uniform(0.1, 1), hidden_units=jt.integer(8, 17))
    with pytest.raises(ValueError, match=r"'hidden_units'.*\(8, 17\).*1 to 16"):
        jt.search(small_task, space, key=jax.random.key(0), trials=2, epochs=1)


@pytest.mark.parametrize(
    ("model", "shape", "said"),
    [
        (jt.models.CNN(3), (1, 64), r"x: got shape \(1, 64\)"),
        (jt.models.CNN(3), (1, 3, 8), r"at least 4 x 4"),
    ],
)
def test_a_model_says_what_it_cannot_take(model, shape, said):
    with pytest.raises(ValueError, match=said):
        model.init(jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"activation": "sine"}, "MLP: activation must be .*, got 'sine'"),
        ({"norm": "group"}, "MLP: norm must be .*, got 'group'"),
    ],
)
def test_a_model_is_refused_when_it_is_made(fields, said):
    with pytest.raises(ValueError, match=said):
        jt.models.MLP(3, **fields)
