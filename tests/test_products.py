"""Unfolded convolutions and thin products equal XLA's own, gradients included."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.hardware import SWITCH
from jaxtune.models import unfolded_convolution
from jaxtune.models.products import product, thin_product

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

RNG = np.random.default_rng(0)
LETTERS = {1: ("NWC", "WIO"), 2: ("NHWC", "HWIO"), 3: ("NDHWC", "DHWIO")}


def arrays(*shapes):
    return [jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in shapes]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("space", "window", "strides", "dilation"),
    [
        ((9,), (4,), (2,), (1,)),
        ((8, 8), (3, 3), (1, 1), (1, 1)),
        ((7, 10), (3, 2), (2, 3), (1, 1)),
        ((9, 11), (3, 3), (1, 2), (2, 3)),
        ((8, 8), (1, 1), (2, 2), (1, 1)),
        ((5, 6, 7), (2, 3, 2), (1, 2, 1), (1, 1, 2)),
    ],
)
def test_it_is_the_convolution(space, window, strides, dilation, padding):
    x, kernel = arrays((2, *space, 3), (*window, 3, 4))
    letters = LETTERS[len(space)]
    numbers = (letters[0], letters[1], letters[0])
    own = {"rhs_dilation": dilation, "dimension_numbers": numbers}

    def both(convolve):
        def loss(x, kernel):
            return jnp.sin(convolve(x, kernel, strides, padding, **own)).sum()

        out = convolve(x, kernel, strides, padding, **own)
        return (out, *jax.grad(loss, (0, 1))(x, kernel))

    ours = both(unfolded_convolution)
    theirs = both(jax.lax.conv_general_dilated)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_padding_may_be_given_in_numbers():
    x, kernel = arrays((2, 6, 6, 1), (3, 3, 1, 2))
    pads = [(2, 0), (0, 1)]
    numbers = ("NHWC", "HWIO", "NHWC")
    ours = unfolded_convolution(x, kernel, (1, 1), pads)
    theirs = jax.lax.conv_general_dilated(
        x, kernel, (1, 1), pads, dimension_numbers=numbers
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_network_of_ones_own_may_use_it():
    x = arrays((2, 8, 8, 3))[0]
    plain = nn.Conv(5, (3, 3), strides=2)
    unfolded = nn.Conv(5, (3, 3), strides=2, conv_general_dilated=unfolded_convolution)
    params = plain.init(jax.random.key(0), x)
    np.testing.assert_allclose(
        unfolded.apply(params, x), plain.apply(params, x), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lhs_dilation": (2, 2)}, "lhs_dilation"),
        ({"feature_group_count": 2}, "groups 2 and 1"),
        ({"batch_group_count": 2}, "groups 1 and 2"),
        ({"dimension_numbers": ("NCHW", "HWIO", "NCHW")}, "Channels must be last"),
        ({"dimension_numbers": ("NHWC", "OIHW", "NHWC")}, "Channels must be last"),
    ],
)
def test_what_it_cannot_do_it_refuses(wrong, said):
    x, kernel = arrays((2, 4, 4, 4), (3, 3, 4, 4))
    with pytest.raises(ValueError, match=said):
        unfolded_convolution(x, kernel, (1, 1), "SAME", **wrong)


def test_a_thin_product_has_the_plain_values_and_gradients():
    x, kernel, weights = arrays((7, 64, 30), (7, 30, 5), (7, 64, 5))

    def loss(multiply):
        return lambda x, kernel: (weights * jax.vmap(multiply)(x, kernel)).sum()

    ours = jax.grad(loss(thin_product), (0, 1))(x, kernel)
    plain = jax.grad(loss(jnp.matmul), (0, 1))(x, kernel)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(thin_product(x[0], kernel[0]), x[0] @ kernel[0])


def test_a_product_is_thin_where_outputs_are_few_and_on_a_cpu(monkeypatch):
    monkeypatch.setenv(SWITCH, "cpu")

    def programs(rows, outputs):
        x, kernel = arrays((4, rows), (rows, outputs))
        return "optimization_barrier" in str(
            jax.make_jaxpr(jax.grad(lambda k: product(x, k).sum()))(kernel)
        )

    assert programs(128, 10)
    assert not programs(128, 128)
    assert not programs(8, 10)
    monkeypatch.setenv(SWITCH, "accelerator")
    assert not programs(128, 10)


def digits(precision, batch_size=64):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x[:500] / 16).astype(np.float32)
    return jt.classification(
        jt.models.MLP(classes=10, max_units=16),
        train=(x[:400], y[:400]),
        valid=(x[400:], y[400:500]),
        precision=precision,
        batch_size=batch_size,
    )


@pytest.mark.search
def test_half_precision_computes_the_model_and_keeps_the_rest():
    space = jt.Space(learning_rate=jt.log_uniform(1e-2, 0.1))
    arguments = {
        "key": jax.random.key(0),
        "trials": 8,
        "epochs": 6,
        "metric": "loss",
        "sampler": "sobol",
    }
    whole = jt.search(digits(None), space, **arguments).trials["loss"]
    half = jt.search(digits("bfloat16"), space, **arguments).trials["loss"]
    assert (half != whole).all()
    np.testing.assert_allclose(half, whole, rtol=0.05)
    task = digits("bfloat16")
    params, state = jax.jit(task.init)(jax.random.key(0), {})
    batch = jax.tree.map(lambda a: a[:8], task.train)
    call = (params, state, batch, jax.random.key(1), {})
    slopes = jax.jit(jax.value_and_grad(lambda p: task.loss(p, *call[1:])[0]))
    loss, gradients = slopes(params)
    assert loss.dtype == jnp.float32
    assert {a.dtype.name for a in jax.tree.leaves((params, gradients))} == {"float32"}
    text = str(jax.make_jaxpr(task.loss)(*call))
    assert "bf16[8,16] = dot_general" in text


class LastInput(nn.Module):
    """It remembers an input, in the precision that it computes in."""

    @nn.compact
    def __call__(self, x, train=False):
        last = self.variable("memory", "last", jnp.zeros, x.shape[1:])
        if train:
            last.value = x[0]
        return nn.Dense(10)(x)


def test_running_statistics_keep_their_precision():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x[:300] / 16).astype(np.float32)
    task = jt.classification(
        LastInput(),
        train=(x[:200], y[:200]),
        valid=(x[200:], y[200:300]),
        precision="bfloat16",
    )
    params, state = task.init(jax.random.key(0), {})
    batch = jax.tree.map(lambda a: a[:8], task.train)
    _, new = task.loss(params, state, batch, jax.random.key(1), {})
    assert jax.tree.leaves(state)
    for before, after in zip(*map(jax.tree.leaves, (state, new)), strict=True):
        assert before.dtype == after.dtype == jnp.float32


@pytest.mark.search
def test_a_run_in_half_precision_goes_on_by_itself(tmp_path):
    space = jt.Space(learning_rate=jt.log_uniform(1e-2, 0.1))
    arguments = {"key": jax.random.key(0), "trials": 4, "epochs": 1}
    jt.search(digits("bfloat16"), space, **arguments, directory=tmp_path)
    assert jt.rerun(tmp_path, 2).same


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"precision: got 'int8'.*bfloat16"):
        digits("int8")
