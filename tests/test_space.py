"""Spaces: exact inverses, equal shares, one tree, errors that name the dimension."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jaxtune as jt
from jaxtune.space.dimension import _cells
from jaxtune.space.ranges import float32_steps

MAKERS = {
    "uniform": lambda: jt.uniform(-3.0, 5.0),
    "narrow": lambda: jt.uniform(1000.0, 1001.0),
    "log": lambda: jt.log_uniform(1e-8, 1e3),
    "reverse_log": lambda: jt.reverse_log_uniform(0.0, 0.9999),
    "integer": lambda: jt.integer(-5, 300),
    "log_integer": lambda: jt.integer(1, 65536, scale="log"),
    "power_of_two": lambda: jt.power_of_two(1, 2**30),
    "ordinal": lambda: jt.ordinal([0.0, 0.1, 1.0, 30]),
    "named_ordinal": lambda: jt.ordinal(["small", "medium", "large"]),
    "choice": lambda: jt.choice(["relu", "tanh", "gelu"]),
    "point": lambda: jt.log_uniform(0.1, 0.1),
}


def decoded(space, points):
    return {name: np.asarray(v) for name, v in space.decode(points).items()}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("jitted", [False, True])
def test_encode_is_the_exact_inverse(name, jitted):
    space = jt.Space(x=MAKERS[name]())
    points = np.random.default_rng(0).random((20_000, 1), dtype=np.float32)
    points[:2, 0] = 0.0, np.nextafter(np.float32(1), np.float32(0))
    decode = jax.jit(jt.Space.decode) if jitted else jt.Space.decode
    once = decode(space, points)
    coordinates = space.encode(once)
    assert ((coordinates >= 0) & (coordinates < 1)).all()
    twice = decode(space, coordinates)
    np.testing.assert_array_equal(twice["x"], once["x"])
    np.testing.assert_array_equal(space.encode(twice), coordinates)


def test_continuous_coordinates_are_on_a_lattice():
    space = jt.Space(x=jt.log_uniform(1e-8, 1e3))
    points = np.random.default_rng(0).random((1000, 1), dtype=np.float32)
    steps = np.asarray(space.encode(space.decode(points)), np.float64) * 2**20
    assert (steps == np.round(steps)).all()


@given(
    low=st.floats(-1e3, 1e3, width=32),
    width=st.floats(2**-20, 1e3, width=32),
    scale=st.sampled_from(["uniform", "log", "reverse_log"]),
    u=st.lists(st.floats(0, 1, exclude_max=True, width=32), min_size=4, max_size=4),
)
@example(low=0.0, width=40.0, scale="log", u=[0.0, 0.0, 0.0, 1 - 2**-24])
@settings(deadline=None, max_examples=150)
def test_any_range_is_inverted_exactly_and_never_left(low, width, scale, u):
    if scale == "uniform":
        low, high, whole = low, low + width, jt.uniform(-1e4, 1e4)
    else:
        ratio = 1 + width
        low = max(abs(low) / 1e3, 1e-6)
        low, high, whole = low, low * ratio, jt.log_uniform(1e-7, 1e4)
        if scale == "reverse_log":
            low, high = max(1 - low * ratio, -10), 1 - low
            whole = jt.reverse_log_uniform(-10.0, 0.9999)
    if not np.float32(low) < np.float32(high) or high > whole.high:
        return
    # a box, since it may be narrower than what a user may search
    space = jt.Space(x=whole).restrict(x=(low, high))
    points = np.asarray(u, np.float32)[:, None]
    values = space.decode(points)["x"]
    assert (values >= np.float32(low)).all()
    assert (values <= np.float32(high)).all()
    again = space.decode(space.encode({"x": values}))["x"]
    np.testing.assert_array_equal(again, values)


def test_the_ends_of_the_cube_are_the_bounds():
    space = jt.Space(**{n: make() for n, make in MAKERS.items() if "ordinal" not in n})
    ends = np.stack([np.zeros(space.dim), np.full(space.dim, 1 - 2**-24)])
    hparams = space.decode(ends)
    for name in space.names:
        low, high = space.bounds[name]
        got = [space.values(hparams, row)[name] for row in (0, 1)]
        if isinstance(low, str):
            assert got == [low, high]
        else:
            np.testing.assert_array_equal(np.float32(got), np.float32([low, high]))


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (lambda: jt.integer(3, 9), range(3, 10)),
        (lambda: jt.power_of_two(16, 256), [16, 32, 64, 128, 256]),
        (lambda: jt.ordinal([0, 5, 7]), [0, 5, 7]),
        (lambda: jt.choice("abc"[i] for i in range(3)), range(3)),
    ],
)
def test_every_listed_value_is_equally_likely(dimension, values):
    space = jt.Space(x=dimension())
    cells = 2520  # divisible by every count here, so the shares are exact
    points = ((np.arange(cells) + 0.5) / cells)[:, None]
    got, counts = np.unique(space.decode(points)["x"], return_counts=True)
    assert got.tolist() == list(values)
    assert set(counts) == {cells // len(got)}


def test_log_integers_have_the_shares_of_the_log_scale():
    space = jt.Space(x=jt.integer(1, 9, scale="log"))
    points = ((np.arange(100_000) + 0.5) / 100_000)[:, None]
    got, counts = np.unique(space.decode(points)["x"], return_counts=True)
    expected = np.log((got + 1) / got) / np.log(10)
    np.testing.assert_allclose(counts / 100_000, expected, atol=2e-5)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: jt.uniform(2.0, 1.0), "low=2.0"),
        (lambda: jt.uniform(float("nan"), 1.0), "nan"),
        (lambda: jt.uniform(0.0, float("inf")), "inf"),
        (lambda: jt.uniform("0", 1.0), "'0'"),
        (lambda: jt.log_uniform(0.0, 0.1), "low=0.0"),
        (lambda: jt.log_uniform(-1.0, 0.1), "low=-1.0"),
        (lambda: jt.reverse_log_uniform(0.5, 1.0), "high=1.0"),
        (lambda: jt.reverse_log_uniform(0.5, 1 - 1e-12), "float32"),
        (lambda: jt.uniform(1.0, 1.0 + 1e-12), "float32"),
        (lambda: jt.uniform(0.0, 1.0, default=2.0), "default=2.0"),
        (lambda: jt.uniform(0.0, 1.0, tier=5), "5"),
        (lambda: jt.integer(1.5, 3), "1.5"),
        (lambda: jt.integer(0, 3, scale="log"), "low=0"),
        (lambda: jt.integer(1, 3, scale="sqrt"), "sqrt"),
        (lambda: jt.integer(0, 2**25), "33554432"),
        (lambda: jt.integer(1, 2**20, scale="log"), "1048576"),
        (lambda: jt.integer(True, 3), "True"),
        (lambda: jt.power_of_two(16, 100), "100"),
        (lambda: jt.power_of_two(16, 64, default=128), "128"),
        (lambda: jt.choice([]), "none"),
        (lambda: jt.choice(["a", "b", "a"]), "'a'"),
        (lambda: jt.choice("abc"), "'abc'"),
        (lambda: jt.choice([[1], [2]]), "[1]"),
        (lambda: jt.choice(["a"], default="b"), "'b'"),
        (lambda: jt.ordinal([1.0, 1.0 + 1e-12]), "float32"),
        (lambda: jt.fixed(float("nan")), "nan"),
        (lambda: 0.1, "0.1"),
    ],
)
def test_a_bad_definition_names_the_dimension_and_the_value(make, value):
    with pytest.raises(ValueError, match="dimension 'learning_rate'") as error:
        jt.Space(learning_rate=make())
    assert value in str(error.value)


@pytest.mark.parametrize("name", ["learning rate", "1st", "lambda", "trial", "score"])
def test_a_bad_name_is_refused(name):
    with pytest.raises(ValueError, match=name):
        jt.Space(**{name: jt.uniform(0, 1)})


def test_a_bad_definition_cannot_be_used_outside_a_space_either():
    with pytest.raises(ValueError, match="low > 0"):
        _ = jt.log_uniform(0.0, 1.0).default


@pytest.fixture
def space():
    return jt.Space(
        rate=jt.log_uniform(1e-4, 1.0, default=1e-2, tier=1),
        units=jt.integer(16, 256, scale="log", default=64),
        batch=jt.power_of_two(16, 256, default=64),
        decay=jt.ordinal([0.0, 0.1, 1.0], default=0.1),
        activation=jt.choice(["relu", "tanh", "gelu"], default="tanh", static=True),
        classes=jt.fixed(10),
        flavour=jt.fixed("plain"),
    )


def test_restrict_keeps_the_tree_and_reaches_the_bounds(space):
    smaller = space.restrict(
        rate=(1e-3, 0.1),
        units=(20, 40),
        batch=(32, 64),
        decay=(0.1, 1.0),
        activation=["gelu", "relu"],
    )
    assert jax.tree.structure(smaller) == jax.tree.structure(space)
    assert smaller.bounds["rate"] == (1e-3, 0.1)
    assert smaller.bounds["units"] == (20, 40)
    assert smaller.bounds["batch"] == (32, 64)
    assert smaller.choices == {
        "decay": (0.1, 1.0),
        "activation": ("relu", "gelu"),
        "flavour": ("plain",),
    }
    points = np.random.default_rng(1).random((500, space.dim))
    values = decoded(smaller, points)
    assert set(values["activation"]) == {0, 2}
    assert values["rate"].min() >= np.float32(1e-3)
    assert values["rate"].max() <= np.float32(0.1)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"rate": (1e-5, 0.1)}, "inside"),
        ({"rate": (0.1, 0.01)}, "in order"),
        ({"rate": 0.1}, "low, high"),
        ({"units": (16.5, 32)}, "whole"),
        ({"batch": (16, 100)}, "power"),
        ({"decay": (0.2, 1.0)}, "0.2"),
        ({"activation": ["sine"]}, "sine"),
        ({"activation": []}, "at least one"),
        ({"classes": (1, 2)}, "fixed"),
        ({"rte": (0.1, 0.2)}, "unknown dimension 'rte'"),
    ],
)
def test_restrict_refuses_what_is_not_smaller(space, bounds, said):
    with pytest.raises(ValueError, match=said):
        space.restrict(**bounds)


def test_keep_fixes_the_others_at_their_defaults(space):
    kept = space.keep("units")
    assert kept.dim == 1
    assert kept.names == space.names
    values = kept.values(kept.decode(np.full((1, 1), 0.5)), 0)
    units = values.pop("units")
    assert 16 <= units <= 256
    assert values == {
        "rate": 0.01,
        "batch": 64,
        "decay": 0.1,
        "activation": "tanh",
        "classes": 10,
        "flavour": "plain",
    }
    for names, said in (((), "none"), (("rte",), "rte"), (("classes",), "fixed")):
        with pytest.raises(ValueError, match=said):
            space.keep(*names)


def test_points_are_checked(space):
    for bad in (np.zeros((3, 2)), np.zeros(5), np.full((1, 5), 1.0)):
        with pytest.raises(ValueError, match="points"):
            space.decode(bad)
    with pytest.raises(ValueError, match="row 1 has units = nan"):
        space.decode([[0.5] * 5, [0.5, np.nan, 0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match="'units'"):
        space.encode({"rate": np.ones(3)})
    with pytest.raises(IndexError, match="-1"):
        space.values(space.decode(np.zeros((2, 5))), -1)


def test_a_value_outside_a_smaller_space_is_not_clamped(space):
    smaller = space.restrict(rate=(1e-2, 0.1), activation=["relu"])
    hparams = space.decode(np.asarray([[0.0, 0.5, 0.5, 0.5, 0.9]]))
    point = np.asarray(smaller.encode(hparams))[0]
    np.testing.assert_allclose(point[0], -2.0, rtol=1e-4)
    assert np.isnan(point[4])


def test_bounds_are_the_only_leaves(space):
    shift = jax.tree.map(lambda leaf: leaf, space)
    assert shift.bounds == space.bounds
    assert len(jax.tree.leaves(jt.Space(x=jt.uniform(0, 1)))) == 2
    assert space.size == float("inf")
    assert space.keep("units", "activation").size == 241 * 3


INF, NAN = float("inf"), float("nan")


def only(dimension):
    return jt.Space(x=dimension)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jt.log_uniform(1e-300, 0.01),
        lambda: jt.log_uniform(1e-39, 0.01),
        lambda: jt.uniform(0.0, 1e-39),
        lambda: jt.uniform(-3e38, 3e38),
        lambda: jt.uniform(2e38, 3e38),
        lambda: jt.uniform(0.0, 1e-36),
        lambda: jt.uniform(1000.0, 1000.01),
        lambda: jt.log_uniform(1.0, 1.0001),
        lambda: jt.reverse_log_uniform(0.9, 0.999999),
        lambda: jt.reverse_log_uniform(0.9, 0.99999),
        lambda: jt.reverse_log_uniform(0.5, 1 - 1e-9),
        lambda: jt.reverse_log_uniform(0.99995, 0.99999),
        lambda: jt.reverse_log_uniform(0.9, 0.90001),
        lambda: jt.uniform(0.0, 1.0, default=1e-40),
        lambda: jt.ordinal([0.0, 1e-46]),
        lambda: jt.ordinal([1.0, 1e39]),
    ],
)
def test_what_float32_cannot_hold_is_refused_with_a_way_out_that_works(make):
    with pytest.raises(ValueError, match=r"'x': .*float32.* (Use|Search) ") as error:
        only(make())
    text = str(error.value)
    way_out = text[max(text.rfind("Use "), text.rfind("Search ")) :]
    for maker, ends in re.findall(r"(\w*uniform)\(([^)]*)\)", way_out):
        only(getattr(jt, maker)(*map(float, ends.split(", "))))
    low = re.search(r"low=([0-9.]+)", text)
    for high in re.findall(r"high=([0-9.]+)", way_out):
        only(jt.reverse_log_uniform(float(low.group(1)), float(high)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: jt.log_uniform(1.2e-38, 0.01),
        lambda: jt.uniform(-1.7e38, 1.7e38),
        lambda: jt.uniform(1e38, 1.7e38),
        lambda: jt.reverse_log_uniform(0.9, 0.9999),
        lambda: jt.reverse_log_uniform(0.99, 0.9999),
        lambda: jt.uniform(1000.0, 1001.0),
    ],
)
def test_a_range_at_the_limit_of_float32_has_values(make):
    space = only(make())
    points = ((np.arange(4096) + 0.5) / 4096)[:, None]
    values = np.asarray(space.decode(points)["x"])
    assert len(np.unique(values)) > 200
    assert np.isfinite(values).all()
    low, high = space.bounds["x"]
    assert low < space["x"].default < high


@pytest.mark.parametrize("name", MAKERS)
def test_the_steps_that_makers_count_are_those_of_the_lattice(name):
    dim = MAKERS[name]()
    if dim.kind == "continuous" and dim.high > dim.low:
        counted = float32_steps(dim.scale, float(dim.low), float(dim.high))
        assert float(_cells(dim)) == min(counted, 2.0**20)


def test_an_ordinal_of_numbers_delivers_the_infinite_ones_too():
    space = only(jt.ordinal([-INF, 1.0, 5.0, INF]))
    hparams = space.decode([[0.1], [0.3], [0.6], [0.9]])
    assert hparams["x"].tolist() == [-INF, 1.0, 5.0, INF]
    assert space.encode(hparams)[:, 0].tolist() == [0.125, 0.375, 0.625, 0.875]
    nearest = space.encode({"x": np.float32([1.2, 4.0])})
    assert space.decode(nearest)["x"].tolist() == [1.0, 5.0]


def test_whole_numbers_of_an_ordinal_keep_all_their_digits():
    values = [-(2**31), 0, 2**24, 2**24 + 1, 2**31 - 1]
    space = only(jt.ordinal(values))
    hparams = space.decode([[0.1], [0.3], [0.5], [0.7], [0.9]])
    assert hparams["x"].tolist() == values
    assert space.decode(space.encode(hparams))["x"].tolist() == values


def test_whole_and_real_numbers_are_never_taken_for_each_other():
    for values in ([1, 2], [1.0, 2.0]):  # equal to Python, and so to a cache
        assert only(jt.ordinal(values)).decode([[0.1]])["x"].dtype == (
            np.int32 if isinstance(values[0], int) else np.float32
        )


@pytest.mark.parametrize("maker", [jt.choice, jt.ordinal])
def test_none_can_be_the_default(maker):
    assert maker([0.1, None, 2.0]).default == (0.1 if maker is jt.choice else None)
    assert maker([0.1, 2.0, None], default=None).default is None
    assert maker(["a", "b"], default=None).default == maker(["a", "b"]).default
    kept = jt.Space(x=maker([0.1, 2, None], default=None), y=jt.uniform(0, 1)).keep("y")
    assert kept.values(kept.decode([[0.5]]), 0)["x"] is None


@pytest.mark.parametrize(
    ("values", "default", "expected"),
    [
        (np.float32([0.1, 0.2]), np.float32(0.2), (0.1, 0.2)),
        (np.int64([1, 2]), np.int64(2), (1, 2)),
        (jnp.arange(1, 3), jnp.int32(2), (1, 2)),
        (np.asarray(["a", "b"]), np.str_("b"), ("a", "b")),
        (np.asarray([False, True]), np.True_, (False, True)),
        ((v for v in ("a", "b")), "b", ("a", "b")),
        (range(1, 3), 2, (1, 2)),
    ],
)
def test_listed_values_may_be_arrays_and_iterators(values, default, expected):
    dim = jt.choice(values, default=default)
    assert (dim.choices, dim.default) == (expected, expected[1])
    assert [type(v) for v in dim.choices] == [type(v) for v in expected]
    assert type(dim.default) is type(expected[1])


def test_bounds_may_be_scalars_of_numpy_and_jax():
    dim = jt.uniform(np.float32(0.1), jnp.float32(0.5), default=np.asarray(0.3))
    assert (dim.bounds, dim.default) == ((0.1, 0.5), 0.3)
    assert jt.integer(np.int64(1), np.asarray(4)).members == (1, 2, 3, 4)
    power = jt.power_of_two(np.int32(8), 64.0, default=np.int64(16))
    assert (power.members, type(power.default)) == ((8, 16, 32, 64), int)
    space = only(power).restrict(x=np.asarray([8, 32]))
    assert space.choices == {}
    assert space.bounds == {"x": (8, 32)}


def test_the_default_of_an_ordinal_is_one_of_its_values():
    steps = np.arange(0, 1.1, 0.1)  # 0.30000000000000004 among them
    for count in range(1, 11):
        dim = jt.ordinal(steps[:count])
        assert dim.default in dim.choices
        kept = jt.Space(x=dim, y=jt.uniform(0, 1)).keep("y")
        assert kept["x"].bounds == (dim.default, dim.default)


def test_a_space_may_be_given_as_a_dict():
    space = jt.Space({"rate": jt.log_uniform(1e-3, 1.0)})
    assert space.names == ("rate",)
    with pytest.raises(ValueError, match="keywords, or one dict"):
        jt.Space(["rate"])
    with pytest.raises(ValueError, match="1: not a Python identifier"):
        jt.Space({1: jt.uniform(0, 1)})


def test_a_space_is_read_as_a_dict_of_its_dimensions():
    space = jt.Space(rate=jt.log_uniform(1e-3, 1.0), units=jt.integer(2, 9))
    assert list(space) == list(space.keys()) == ["rate", "units"]
    assert len(space) == 2
    assert "rate" in space
    assert "momentum" not in space
    assert str(jt.Space(dict(space))) == str(jt.Space(**space)) == str(space)
