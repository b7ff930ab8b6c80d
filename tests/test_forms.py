"""Other forms of operations compute the same as XLA's, wherever they stand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.experimental import checkify

from jaxtune.forms import TABLES, in_fast_form, rewriting, survey, table_for
from jaxtune.forms.rules import lane_by_lane
from jaxtune.planning.flops import inner_programs

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

ORDERS = {
    1: [("NWC", "WIO", "NWC"), ("NCW", "OIW", "NCW")],
    2: [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("CNHW", "IHWO", "HNWC")],
    3: [("NDHWC", "DHWIO", "NDHWC"), ("NCDHW", "OIDHW", "NCDHW")],
}


@st.composite
def convolutions(draw):
    """Two operands and the arguments of a convolution that has a result."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))

    def per_axis(numbers):
        return tuple(draw(numbers) for _ in range(rank))

    window, dilation = per_axis(st.integers(1, 3)), per_axis(st.sampled_from([1, 1, 2]))
    groups, batch_groups = draw(
        st.sampled_from([(1, 1), (1, 1), (2, 1), (4, 1), (12, 1), (1, 2), (1, 4)])
    )
    each = draw(st.sampled_from([1, 1, 2, 3]))
    inputs = groups * each
    outputs = groups * batch_groups * draw(st.sampled_from([1, 2, 3]))
    batch = batch_groups * draw(st.sampled_from([1, 2]))
    named = draw(st.booleans())
    pairs = st.tuples(*[st.tuples(*[st.integers(-1, 2)] * 2)] * rank)
    padding = draw(st.sampled_from(["SAME", "VALID"]) if named else pairs)
    # a window that reaches beyond the space has no result, nor has an empty space
    space = tuple(
        draw(st.integers((n - 1) * d + 3, (n - 1) * d + 6))
        for n, d in zip(window, dilation, strict=True)
    )
    order = draw(st.sampled_from(ORDERS[rank]))
    letters = {**dict(zip("DHW"[-rank:], space, strict=True)), "N": batch, "C": inputs}
    ends = {**dict(zip("DHW"[-rank:], window, strict=True)), "I": each, "O": outputs}
    seed = draw(st.integers(0, 99))
    random = np.random.default_rng(seed)
    x = random.normal(size=[letters[c] for c in order[0]])
    kernel = random.normal(size=[ends[c] for c in order[1]])
    arguments = {
        "window_strides": per_axis(st.integers(1, 3)),
        "padding": padding,
        # lax refuses both together
        "lhs_dilation": per_axis(st.sampled_from([1] if named else [1, 1, 2])),
        "rhs_dilation": dilation,
        "dimension_numbers": order,
        "feature_group_count": groups,
        "batch_group_count": batch_groups,
    }
    return x, kernel, arguments


def value_and_gradients(function, weights):
    def total(*operands):
        return (function(*operands) * weights).sum()

    def both(*operands):
        return function(*operands), jax.grad(total, argnums=(0, 1))(*operands)

    return both


def assert_close(found, expected, tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        scale = np.abs(b).max(initial=1e-3)
        np.testing.assert_allclose(a / scale, b / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("table", [name for name in TABLES if name])
@given(case=convolutions())
@settings(max_examples=20, derandomize=True)
def test_a_convolution_and_its_gradients_are_those_of_lax(table, case):
    x, kernel, arguments = case
    with jax.enable_x64(True):
        # in float64 no order of a sum hides a wrong term

        def convolve(x, kernel):
            return lax.conv_general_dilated(x, kernel, **arguments)

        expected = convolve(x, kernel)
        weights = np.random.default_rng(0).normal(size=expected.shape)
        both = value_and_gradients(convolve, weights)
        fast = jax.jit(in_fast_form(both, table))
        assert_close(fast(x, kernel), both(x, kernel), 1e-12)
        # lanes with kernels of their own, and examples that all lanes share
        kernels = np.stack([kernel, 2 * kernel, kernel - 1])
        lanes = jax.vmap(in_fast_form(both, table), in_axes=(None, 0))(x, kernels)
        plain = [both(x, each) for each in kernels]
        assert_close(lanes, jax.tree.map(lambda *a: jnp.stack(a), *plain), 1e-12)


@pytest.mark.parametrize("table", [name for name in TABLES if name])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("groups", [1, 8])
def test_a_convolution_keeps_dtype_and_precision(table, dtype, groups):
    random = np.random.default_rng(1)
    x = jnp.asarray(random.normal(size=(4, 7, 7, 8)), dtype)
    kernel = jnp.asarray(random.normal(size=(3, 3, 8 // groups, 8)), dtype)

    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    both = value_and_gradients(convolve, jnp.ones((4, 7, 7, 8), dtype))
    found = in_fast_form(both, table)(x, kernel)
    exact = value_and_gradients(convolve, 1.0)(
        x.astype(jnp.float32), kernel.astype(jnp.float32)
    )
    eps = float(jnp.finfo(dtype).eps)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        assert a.dtype == dtype
        assert_close(a.astype(jnp.float32), b, 8 * eps)


@pytest.mark.parametrize(("dtype", "large"), [("bfloat16", 256), ("float16", 2048)])
def test_shifted_products_are_added_up_in_float32(dtype, large):
    """One large term and 24 ones, of which half precision would lose each."""
    x, kernel = np.ones((1, 5, 5, 8)), np.ones((5, 5, 1, 8))
    kernel[0, 0] = large

    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            ((0, 0), (0, 0)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=8,
        )

    operands = jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)
    found = survey(jax.make_jaxpr(convolve)(*operands), "cpu-1")[0]
    assert found == {"convolutions as shifted products": 1}
    result = in_fast_form(convolve, "cpu-1")(*operands)
    np.testing.assert_array_equal(result.astype(jnp.float32), large + 24)


def test_integers_and_complex_numbers_stay_as_they_are():
    for dtype in (jnp.int8, jnp.complex64):
        x, kernel = jnp.ones((1, 2, 5), dtype), jnp.ones((3, 2, 3), dtype)

        def convolve(x, kernel):
            return lax.conv(x, kernel, (1,), "SAME")

        assert survey(jax.make_jaxpr(convolve)(x, kernel), "cpu-1") == ({}, "")
        found = in_fast_form(convolve, "cpu-1")(x, kernel)
        np.testing.assert_array_equal(found, convolve(x, kernel))


def pool(kind, window, strides, padding):
    start, combine = {
        "max": (-jnp.inf, lax.max),
        "sum": (0.0, lax.add),
        "min": (jnp.inf, lax.min),
    }[kind]

    def pooled(x):
        sizes, steps = (1, *window, 1), (1, *strides, 1)
        return lax.reduce_window(x, start, combine, sizes, steps, padding)

    return pooled


@pytest.mark.parametrize("kind", ["max", "sum", "min"])
@given(
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from(["SAME", "VALID", ((0, 0), (1, 0), (0, 2), (0, 0))]),
    size=st.integers(5, 7),
    seed=st.integers(0, 99),
)
@settings(max_examples=12, derandomize=True)
def test_a_pool_is_that_of_lax_and_ties_go_to_the_first(
    kind, window, strides, padding, size, seed
):
    # few values, so that most windows have ties
    x = np.random.default_rng(seed).integers(0, 3, (2, size, size, 2))
    x = x.astype(np.float32)
    function = pool(kind, window, strides, padding)
    weights = jax.random.normal(jax.random.key(seed), function(x).shape)

    def both(x):
        value, back = jax.vjp(function, x)
        return value, back(weights)

    found = jax.jit(in_fast_form(both, "cpu-1"))(x)
    expected = jax.jit(both)(x)
    np.testing.assert_array_equal(found[0], expected[0])
    assert_close(found[1], expected[1], 1e-6)


def test_pools_that_tile_have_the_gradient_of_xla_to_the_bit():
    x = jax.random.randint(jax.random.key(0), (3, 8, 8, 4), 0, 3).astype(jnp.float32)

    def both(x):
        value, back = jax.vjp(pool("max", (2, 2), (2, 2), "VALID"), x)
        return value, back(jnp.arange(value.size, dtype=x.dtype).reshape(value.shape))

    forms, why = survey(jax.make_jaxpr(both)(x), "cpu-1")
    assert sum(forms.values()) == 2, (forms, why)
    found, expected = in_fast_form(both, "cpu-1")(x), both(x)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


KERNEL = np.random.default_rng(0).normal(size=(3, 3, 2, 2)).astype(np.float32)


def convolve(x, kernel=KERNEL):
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers
    )


@jax.custom_jvp
def by_jvp(x):
    return convolve(x)


@by_jvp.defjvp
def _by_jvp(primals, tangents):
    return by_jvp(*primals), convolve(*tangents)


@jax.custom_vjp
def by_vjp(x):
    return convolve(x)


by_vjp.defvjp(lambda x: (convolve(x), x), lambda x, g: (convolve(g) + 0 * x,))


def by_scan(x):
    def body(x, step):
        return convolve(x) * step, x.sum()

    return lax.scan(body, x, jnp.arange(1.0, 4.0), reverse=True)


def by_while(x):
    def far(carry):
        # a convolution in the condition as well
        return (carry[0] < 3) & (jnp.abs(convolve(carry[1])).max() > 0)

    return lax.while_loop(far, lambda c: (c[0] + 1, convolve(c[1])), (0, x))


def training(x):
    """Stand in for a plain function that trains inside."""

    def loss(kernel):
        return jnp.mean((convolve(x, kernel) - x) ** 2)

    def step(kernel, _):
        return kernel - 0.01 * jax.grad(loss)(kernel), None

    return lax.scan(step, jnp.asarray(KERNEL), None, length=4)[0]


def noisy(x):
    key = jax.random.key(3)
    return convolve(x) * jax.random.bernoulli(key, 0.5, x.shape), jax.random.split(key)


def with_remat(x):
    return jax.checkpoint(lambda y: jnp.sin(convolve(y)))(x).sum()


JITTED = jax.jit(convolve)
PLACES = {
    "jit": JITTED,
    "the same jit twice": lambda x: JITTED(JITTED(x)),
    "remat": jax.grad(with_remat),
    "scan": by_scan,
    "gradient of a scan": jax.grad(lambda x: by_scan(x)[0].sum()),
    "while": by_while,
    "cond": lambda x: lax.cond(x.sum() > 0, convolve, lambda y: -convolve(y), x),
    "switch": lambda x: lax.switch(2, [jnp.sin, convolve, by_jvp], x),
    "custom jvp": by_jvp,
    "gradient of custom jvp": jax.grad(lambda x: by_jvp(x).sum()),
    "custom vjp": by_vjp,
    "gradient of custom vjp": jax.grad(lambda x: by_vjp(x).sum()),
    "vmap inside": lambda x: jax.vmap(lambda one: convolve(one[None])[0])(x),
    "ensemble inside": lambda x: jax.vmap(convolve, (None, 0))(
        x, np.stack([KERNEL, -KERNEL])
    ),
    "training": training,
    "random numbers": noisy,
}


@pytest.mark.parametrize("name", PLACES)
def test_operations_are_found_wherever_they_stand(name):
    function = PLACES[name]
    x = jax.random.normal(jax.random.key(1), (3, 5, 5, 2))
    forms, why = survey(jax.make_jaxpr(function)(x), "cpu-1")
    assert forms, "nothing was found"
    assert not why
    fast = in_fast_form(function, "cpu-1")
    written = [e.primitive.name for e in equations(jax.make_jaxpr(fast)(x).jaxpr)]
    assert "custom_vmap_call" in written
    real = [a for a in jax.tree.leaves(jax.jit(fast)(x))]
    plain = jax.tree.leaves(jax.jit(function)(x))
    for found, expected in zip(real, plain, strict=True):
        if jnp.issubdtype(found.dtype, jax.dtypes.prng_key):
            found, expected = map(jax.random.key_data, (found, expected))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    lanes = jnp.stack([x, x + 1])
    for found, expected in zip(
        jax.tree.leaves(jax.vmap(fast)(lanes)),
        jax.tree.leaves(jax.vmap(function)(lanes)),
        strict=True,
    ):
        if not jnp.issubdtype(found.dtype, jax.dtypes.prng_key):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def equations(jaxpr):
    """Every operation of a program, those of inner programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_programs(equation):
            yield from equations(inner)


def test_remat_still_computes_the_forward_pass_again():
    x = jnp.ones((1, 4, 4, 2))
    fast = jax.make_jaxpr(in_fast_form(jax.grad(with_remat), "cpu-1"))(x)
    remats = [e for e in fast.jaxpr.eqns if e.primitive.name.startswith("remat")]
    assert remats
    assert all(e.params["prevent_cse"] for e in remats)


def test_unknown_operations_stay_as_they_are():
    seen = []

    def function(x):
        y = jax.pure_callback(lambda a: np.asarray(a) * 2, x, x)
        return checkify.checkify(convolve)(y)[1]

    x = jnp.ones((1, 4, 4, 2))
    found = in_fast_form(lambda x: seen.append(1) or function(x), "cpu-1")(x)
    np.testing.assert_allclose(found, convolve(2 * x), rtol=1e-6)
    assert len(seen) == 1, "a function of the user is called once"


def test_a_function_without_slow_operations_is_the_same_program():
    def function(x):
        return jnp.tanh(x @ x).sum()

    x = jnp.ones((4, 4))
    fast = jax.make_jaxpr(in_fast_form(function, "cpu-1"))(x)
    assert str(fast) == str(jax.make_jaxpr(function)(x))


def test_a_pass_that_fails_leaves_the_function_as_written(monkeypatch):
    def broken(*operands):
        raise RuntimeError("no such form")

    rules = tuple(rule._replace(compute=broken) for rule in TABLES["cpu-1"])
    monkeypatch.setitem(TABLES, "broken", rules)
    x = jnp.ones((1, 4, 4, 2))
    forms, why = survey(jax.make_jaxpr(convolve)(x), "broken")
    assert (forms, why) == ({}, "RuntimeError: no such form")
    found = in_fast_form(convolve, "broken")(x)
    np.testing.assert_array_equal(found, convolve(x))


def test_a_form_of_another_shape_or_dtype_is_refused(monkeypatch):
    wrong = {
        "shape": lambda params, x, kernel: convolve(x, kernel)[:, 1:],
        "dtype": lambda params, x, kernel: convolve(x, kernel).astype(jnp.bfloat16),
    }
    x = jnp.ones((1, 4, 4, 2))
    for name, compute in wrong.items():
        rule = TABLES["cpu-1"][3]._replace(compute=compute)
        monkeypatch.setitem(TABLES, name, (rule,))
        assert (
            "the program has float32[1, 4, 4, 2]"
            in survey(jax.make_jaxpr(convolve)(x), name)[1]
        )


def test_errors_of_the_users_function_are_its_own():
    def function(x):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        in_fast_form(function, "cpu-1")(jnp.ones(3))


def test_lanes_that_share_an_operand_do_not_copy_it():
    function = lane_by_lane(lambda x, y: x * y)
    shared, own = jnp.arange(3.0), jnp.arange(6.0).reshape(2, 3)
    mapped = jax.vmap(function, in_axes=(None, 0))
    np.testing.assert_array_equal(mapped(shared, own), [[0, 1, 4], [0, 4, 10]])
    shapes = [
        v.aval.shape
        for e in equations(jax.make_jaxpr(mapped)(shared, own).jaxpr)
        for v in e.outvars
        if e.primitive.name == "broadcast_in_dim"
    ]
    assert (2, 3) not in shapes
    (loop,) = [
        e
        for e in equations(jax.make_jaxpr(mapped)(shared, own).jaxpr)
        if e.primitive.name == "scan"
    ]
    # what goes through the loop row by row loses its first axis within it
    handed = [v.aval.shape for v in loop.invars]
    within = [aval.shape for aval in loop.params["jaxpr"].in_avals]
    assert ((2, 3), (3,)) in zip(handed, within, strict=True)
    assert ((3,), (3,)) in zip(handed, within, strict=True)


def test_an_effect_without_a_result_still_happens():
    told = []

    def function(x):
        jax.debug.callback(lambda value: told.append(float(value)), x.sum())
        return convolve(x)

    x = jnp.ones((1, 4, 4, 2))
    assert survey(jax.make_jaxpr(function)(x), "cpu-1")[0]
    fast = jax.jit(in_fast_form(function, "cpu-1"))
    jax.block_until_ready(fast(x))
    jax.effects_barrier()
    assert told == [32.0]


def test_unknown_tables_are_refused():
    with pytest.raises(ValueError, match=r"'cpu-9'.*Use a newer jaxtune"):
        rewriting.in_fast_form(convolve, "cpu-9")
    assert table_for("quantum") == ""


def test_nothing_is_traced_while_jit_is_disabled():
    seen = []

    def function(x):
        seen.append(x)
        return convolve(x)

    with jax.disable_jit():
        in_fast_form(function, "cpu-1")(jnp.ones((1, 4, 4, 2)))
    assert not isinstance(seen[0], jax.core.Tracer)


EMPTY = {
    "convolution": lambda x: lax.conv(x, jnp.ones((2, 3, 3, 3)), (1, 1), "VALID"),
    "strides": lambda x: lax.conv(x, jnp.ones((2, 3, 3, 3)), (2, 2), "VALID"),
    "depthwise": lambda x: lax.conv_general_dilated(
        x, jnp.ones((3, 1, 3, 3)), (1, 1), "VALID", feature_group_count=3
    ),
    "max pool": lambda x: lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 1, 4, 4), (1, 1, 2, 2), "VALID"
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_operation_without_a_result_stays_as_it_is(name):
    function, x = EMPTY[name], jnp.ones((2, 3, 1, 2))
    assert 0 in function(x).shape
    assert survey(jax.make_jaxpr(function)(x), "cpu-1") == ({}, "")


def with_callback(x):
    jax.debug.callback(lambda: CALLS.append(1))
    return convolve(x)


CALLS: list[int] = []


def test_a_pass_that_fails_calls_a_callback_once(monkeypatch):
    def broken(*operands):
        raise RuntimeError("no such form")

    rules = tuple(rule._replace(compute=broken) for rule in TABLES["cpu-1"])
    monkeypatch.setitem(TABLES, "broken", rules)
    CALLS.clear()
    jax.jit(in_fast_form(with_callback, "broken"))(jnp.ones((1, 4, 4, 2)))
    jax.effects_barrier()
    assert len(CALLS) == 1


def test_an_operation_that_takes_a_reference_stays_as_it_is():
    def function(x):
        total = jax.new_ref(0.0)

        def body(y, _):
            total[...] += 1.0
            return convolve(y), None

        y, _ = lax.scan(body, x, None, length=2)
        return convolve(y) + total[...]

    x = jnp.ones((1, 4, 4, 2))
    forms, why = survey(jax.make_jaxpr(function)(x), "cpu-1")
    assert (forms, why) == ({"convolutions lane by lane": 1}, "")
    found = in_fast_form(function, "cpu-1")(x)
    np.testing.assert_allclose(found, function(x), rtol=1e-6)
