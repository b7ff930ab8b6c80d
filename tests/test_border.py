"""Code that needs a value when its program is compiled is refused by name."""

import functools
import warnings

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from editing import edit_settings
from flax import nnx
from user_code.models import Deterministic, Sized
from user_code.row import SPLITS

import jaxtune as jt
from jaxtune.planning import preparation
from jaxtune.planning.layout import Layout, groups, lay_out
from jaxtune.programs.block import Listed, Static
from jaxtune.space.arrival import arrived, is_mixed, table_of
from jaxtune.tasks.adapters import as_model

KEY = jax.random.key(0)


def looped(h):
    return sum(h["x"] for _ in range(h["n"]))


def conditional(h):
    return h["x"] if h["x"] > 0.1 else 2.0


def shaped(h):
    return h["x"] + jnp.ones(h["n"]).sum()


def looked_up(h):
    return {"a": 1.0, "b": 2.0}[h["kind"]] + h["x"]


def both(h):
    return h["x"] if h["n"] > 2 and h["m"] > 2 else 0.0


SPACE = {
    "x": jt.uniform(0.0, 1.0),
    "n": jt.integer(1, 4),
    "m": jt.power_of_two(1, 4),
    "kind": jt.choice(["a", "b"]),
}


@pytest.mark.parametrize(
    ("function", "names", "way_out"),
    [
        (looped, ["n"], "n=jt.integer(..., static=True)"),
        (conditional, ["x"], "x=jt.ordinal([0, ..., 1], static=True)"),
        (shaped, ["n"], "n=jt.integer(..., static=True)"),
        (looked_up, ["kind"], "kind=jt.choice(..., static=True)"),
        (both, ["n", "m"], "m=jt.power_of_two(..., static=True)"),
    ],
)
def test_a_dimension_that_must_be_known_is_named(function, names, way_out):
    with pytest.raises(ValueError, match="your code needs the value") as caught:
        jt.search(function, jt.Space(**SPACE), key=KEY, trials=2, mode="min")
    message = str(caught.value)
    assert message.startswith(f"dimension{'s' * (len(names) > 1)} ")
    assert way_out in message
    named = message.split(":")[0]
    assert [n for n in SPACE if repr(n) in named] == names


def test_what_is_no_use_of_a_traced_value_raises_its_own_error():
    def broken(h):
        raise RuntimeError("my own mistake")

    with pytest.raises(RuntimeError, match="my own mistake") as caught:
        jt.search(broken, jt.Space(**SPACE), key=KEY, trials=2, mode="min")
    assert "nothing was trained" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    "function",
    [
        lambda h: float(h["x"] * jnp.ones(3).sum()),
        lambda h: np.asarray(jax.random.normal(KEY) * h["x"]).sum(),
        lambda key, h: (jax.random.normal(key) + h["x"]).item(),
        lambda key, h: 1.0 if jax.random.normal(key) > 0 else h["x"],
    ],
)
def test_a_number_that_is_taken_out_of_the_program_is_refused(function):
    with pytest.raises(ValueError, match=r"needs the value|takes a computed number"):
        jt.search(function, jt.Space(x=jt.uniform(0, 1)), key=KEY, trials=2, mode="min")


class Deep(nn.Module):
    layers: int = 1

    @nn.compact
    def __call__(self, x, units):
        for _ in range(self.layers):
            x = nn.relu(nn.Dense(units)(x))
        return nn.Dense(3)(x)


@pytest.mark.parametrize("more", [{}, {"batch_size": jt.power_of_two(8, 16)}])
@pytest.mark.parametrize(
    ("model", "name", "dimension"),
    [
        (Sized(), "units", jt.integer(64, 512)),
        (Sized(), "units", jt.power_of_two(4, 16)),
        (Sized(), "units", jt.uniform(2.0, 8.0)),
        (Sized(), "units", jt.choice([4, 8])),
        (Sized(), "activation", jt.choice(["relu", "tanh"])),
        (Deep(), "units", jt.integer(2, 4)),
        (
            lambda rngs, units=4: nnx.Sequential(
                nnx.Linear(4, units, rngs=rngs), nnx.Linear(units, 3, rngs=rngs)
            ),
            "units",
            jt.integer(64, 512),
        ),
    ],
)
def test_a_traced_dimension_that_shapes_a_network_is_refused(
    model, name, dimension, more
):
    space = jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1), **{name: dimension}, **more
    )
    task = jt.classification(model, **SPLITS)
    with pytest.raises(ValueError, match=f"dimension '{name}': your code needs") as e:
        jt.search(task, space, key=KEY, trials=2, epochs=1)
    assert "static=True" in str(e.value)


def test_a_dimension_that_changes_nothing_is_told_though_it_is_read():
    def half(h):
        return h["x"] + 0 * len(str(h["idle"]))

    space = jt.Space(x=jt.uniform(0, 1), idle=jt.uniform(0, 1))
    with pytest.warns(UserWarning, match="nothing reads idle"):
        jt.search(half, space, key=KEY, trials=2, mode="min")


@pytest.mark.parametrize(
    ("values", "table"),
    [
        ([True, False], np.asarray([True, False])),
        ([1, 5, 3], np.asarray([1, 5, 3], np.int32)),
        ([0.1, 1], np.asarray([0.1, 1], np.float32)),
        ([1.0, float("inf")], np.asarray([1.0, np.inf], np.float32)),
        (["a", "b"], None),
        ([1, 2**31], None),  # an integer of more bits
        ([1.0, 1e300], None),
        ([0.1, 0.1 + 1e-12], None),  # one number in float32
        ([None, 0.1], None),
        ([(1, 2), (3, 4)], None),
    ],
)
def test_numbers_and_booleans_arrive_as_themselves(values, table):
    got = table_of(tuple(values))
    assert (got is None) == (table is None)
    if table is not None:
        assert got.dtype == table.dtype
        np.testing.assert_array_equal(got, table)
        for place, value in enumerate(table):
            assert arrived("x", tuple(values), jnp.int32(place), False) == value


def test_a_choice_is_equal_to_its_values_alone():
    kind = jt.Choice("kind", ("a", "b", "c"), jnp.arange(3)[1])
    assert kind == "b"
    assert kind != "a"
    assert kind == np.str_("b")
    with pytest.raises(ValueError, match="'kind': it is compared with 'd', which is"):
        kind == "d"  # noqa: B015
    with pytest.raises(TypeError, match=r"a choice has no order\. Use ordinal"):
        kind < "c"  # noqa: B015
    for use in (hash, bool, [0, 1].__getitem__, lambda c: c(1.0)):
        with pytest.raises(TypeError, match=r"'kind'.*static=True"):
            use(kind)
    with pytest.raises(ValueError, match="compared with 1, which is not one"):
        kind == 1  # noqa: B015
    for use in (str, "{}".format, jnp.asarray, jnp.exp, lambda c: c * 2, lambda c: -c):
        with pytest.raises(TypeError, match=r"'kind'.*cannot be.*index"):
            use(kind)
    for use in (lambda c: jnp.ones(3) * c, lambda c: jnp.where(c, 1, 2)):
        with pytest.raises(TypeError):
            use(kind)
    assert jax.lax.switch(kind.index, [lambda: 0, lambda: 1, lambda: 2]) == 1
    assert kind == jt.Choice("other", ("a", "b", "c"), jnp.int32(1))
    with pytest.raises(ValueError, match="which has other values"):
        kind == jt.Choice("other", ("a", "b"), jnp.int32(1))  # noqa: B015


@pytest.mark.parametrize("values", [[1, 2**40], [1e-40, 1.0], [1e39, 1.0]])
def test_numbers_that_32_bits_lack_are_constants(values):
    seen = set()

    def function(h):
        seen.add(h["n"])
        return h["x"]

    space = jt.Space(x=jt.uniform(0, 1), n=jt.choice(values))
    found = jt.search(function, space, key=KEY, trials=4, mode="min")
    assert seen == set(values) == set(found.trials["n"])


def test_tuples_of_numbers_are_no_numbers():
    def function(h):
        return jnp.sum(jnp.asarray(h["w"])) + h["x"]

    space = jt.Space(x=jt.uniform(0, 1), w=jt.choice([(1.0, 2.0), (3.0, 4.0)]))
    with pytest.raises(ValueError, match="dimension 'w': your code needs the value"):
        jt.search(function, space, key=KEY, trials=2, mode="min")


def test_values_that_are_tested_by_more_than_a_comparison_are_constants():
    assert is_mixed((None, 0.1))
    assert is_mixed((0.1, "auto"))
    assert is_mixed((1, True))
    assert not is_mixed(("a", ("b", 1)))
    assert not is_mixed((1, 0.5))
    space = jt.Space(x=jt.uniform(0, 1), decay=jt.choice([None, 0.1]))
    rows = {"x": np.zeros(2, np.float32), "decay": np.asarray([0, 1])}
    found = [dict(g.static.values) for g in groups(Layout(), space, rows, 1)]
    assert found == [{"decay": None}, {"decay": 0.1}]


def test_programs_of_version_0_1_0_get_places():
    choices = (Listed("kind", ("a", "b"), False), Listed("rate", (0.1, 0.2), False))
    traced = {"kind": jnp.int32(1), "rate": jnp.int32(1)}
    old = Static(choices=choices, as_places=True).hparams(traced)
    assert old["kind"] is traced["kind"]
    assert old["rate"] is traced["rate"]
    assert old.choices == {"kind": ("a", "b"), "rate": (0.1, 0.2)}
    new = Static(choices=choices).hparams(traced)
    assert new["rate"] == np.float32(0.2)
    assert new["kind"] == "b"
    assert new.choices == {"kind": ("a", "b")}
    space = jt.Space(x=jt.uniform(0, 1), n=jt.fixed(3))
    rows = {"x": np.zeros(1, np.float32), "n": np.full(1, 3)}
    values = [
        groups(Layout(as_places=old), space, rows, 1)[0].static.values
        for old in (True, False)
    ]
    assert values == [(), (("n", 3),)]


PAIRS = [
    (jt.fixed(1), jt.fixed(1.0), lambda n: 0.0 if isinstance(n, int) else 1.0),
    (jt.fixed((1, 2)), jt.fixed((1.0, 2.0)), lambda n: float(isinstance(n[0], float))),
    (jt.fixed(0.0), jt.fixed(-0.0), lambda n: float(np.signbit(n))),
    (jt.choice([0, 1]), jt.choice([False, True]), lambda n: float(n.dtype == bool)),
]


@pytest.mark.parametrize("wrapped", [lambda f: f, jax.jit])
@pytest.mark.parametrize(("one", "other", "told"), PAIRS)
def test_equal_values_of_two_types_do_not_share_a_program(wrapped, one, other, told):
    @wrapped
    def kind(h):
        return h["x"] + told(h["n"])

    def best(dimension):
        space = jt.Space(x=jt.uniform(0, 1), n=dimension)
        return jt.search(kind, space, key=KEY, trials=2, mode="min").trials["score"]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a choice of which the type alone is read
        np.testing.assert_allclose(best(other), best(one) + 1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nnx.Linear(4, 3, rngs=nnx.Rngs(0)), "weights are drawn already.*lambda rngs"),
        (nn.Dense, "got the class Dense. Use an instance"),
        (3, "got 3. Use a Linen module"),
        (lambda: nnx.Linear(4, 3, rngs=nnx.Rngs(0)), "takes no argument.*rngs -> mod"),
        (
            eqx.nn.MLP(4, 3, 8, 1, key=KEY),
            "Equinox module MLP, whose weights",
        ),
        (eqx.nn.MLP, "the Equinox class MLP. Use a pair"),
    ],
)
def test_a_model_that_cannot_be_one_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        as_model(model)


def test_a_function_of_a_key_is_told_from_a_factory_of_nnx():
    model = as_model(lambda key: eqx.nn.MLP(4, 3, 8, 1, key=key))
    with pytest.raises(ValueError, match=r"got nnx.Rngs.* Use a pair \(init, apply\)"):
        model.init(KEY, jnp.zeros((1, 4)), {})


@pytest.mark.parametrize("make", [jt.classification, jt.regression])
def test_a_loss_that_takes_the_targets_first_is_told(make):
    def poisson(y_true, y_pred):
        return jnp.exp(y_pred) - y_true * y_pred

    model = (lambda key: jnp.zeros(3), lambda params, x: x @ params)
    splits = {"train": (np.eye(3), [0, 1, 1]), "valid": (np.eye(3), [0, 1, 1])}
    with pytest.warns(UserWarning, match=r"Use lambda outputs, y: poisson\(y, outputs"):
        make(model, **splits, batch_size=2, loss=poisson)


def test_a_parameter_that_nothing_is_known_for_is_named():
    def apply(params, x, mask):
        return x

    model = as_model((lambda key: {}, apply))
    with pytest.raises(ValueError, match="apply needs 'mask', which is neither"):
        model.apply({}, {}, jnp.ones((2, 3)), KEY, {}, True)


def test_several_inputs_are_given_as_the_function_names_them():
    def apply(params, left, right, train):
        return left - right

    model = as_model((lambda key: {}, apply))
    left, right = jnp.full((2, 3), 5.0), jnp.ones((2, 3))
    for x in ((left, right), {"right": right, "left": left}):
        out, _ = model.apply({}, {}, x, KEY, {}, True)
        assert (out == 4).all()
    whole = as_model((lambda key: {}, lambda params, x: x["right"]))
    out, _ = whole.apply({}, {}, {"right": right, "left": left}, KEY, {}, True)
    assert (out == 1).all()


def test_inputs_by_name_may_be_optional_and_have_any_name():
    def apply(params, image, meta=None, key=None, train=False):
        return image - meta + key

    model = as_model((lambda key: {}, apply))
    x = {"image": jnp.ones(3), "meta": jnp.ones(3) * 2, "key": jnp.ones(3) * 5}
    out, _ = model.apply({}, {}, x, KEY, {"meta": jnp.float32(9)}, True)
    assert (out == 4).all()


class Parts(nnx.Module):
    def __init__(self, din, dmid, dout, *, rngs):
        self.first = nnx.Linear(din, dmid, rngs=rngs)
        self.last = nnx.Linear(dmid, dout, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.first(x)))


class Places(Parts):
    def __init__(self, din, dmid, dout, rngs):
        super().__init__(din, dmid, dout, rngs=rngs)


@pytest.mark.parametrize(
    "factory",
    [
        functools.partial(Parts, din=4, dout=3),
        functools.partial(Parts, 4, dout=3),
        functools.partial(Places, 4, dout=3),
        functools.partial(Parts, 4, 5, 3),
        functools.partial(Places, 4, 5, 3),
    ],
)
def test_an_nnx_factory_may_be_a_partial_class(factory):
    model = as_model(factory)
    params, state = model.init(KEY, None, {"dmid": 5})
    out, _ = model.apply(params, state, jnp.ones((2, 4)), None, {"dmid": 5}, False)
    assert out.shape == (2, 3)


class Hidden(nn.Module):
    """The flag is hidden in keywords that are passed on."""

    @nn.compact
    def __call__(self, x, **keywords):
        return Deterministic()(x, **keywords)


class Keywords(nn.Module):
    """Keywords without a flag."""

    @nn.compact
    def __call__(self, x, **keywords):
        return nn.Dense(3)(x)


def test_a_flag_that_is_hidden_in_keywords_is_refused():
    def search(model):
        space = jt.Space(learning_rate=jt.log_uniform(0.01, 0.1))
        task = jt.classification(model, **SPLITS)
        return jt.search(task, space, key=KEY, trials=2, epochs=1)

    with pytest.raises(ValueError, match=r"takes 'deterministic' in its \*\*keywords"):
        search(Hidden())
    assert search(Keywords()).best.trial in (0, 1)


def test_the_methods_of_a_linen_module_are_the_module():
    module = Deterministic()
    space = jt.Space(learning_rate=jt.log_uniform(0.01, 0.1))
    losses = [
        jt.search(
            jt.classification(model, **SPLITS), space, key=KEY, trials=2, epochs=1
        ).trials["loss"]
        for model in (module, (module.init, module.apply))
    ]
    np.testing.assert_array_equal(losses[0], losses[1])


class Kept(nnx.Module):
    """A traced number is kept as an attribute."""

    def __init__(self, slope, rngs):
        self.slope = slope
        self.norm = nnx.BatchNorm(4, momentum=slope, rngs=rngs)
        self.last = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.norm(x) * self.slope)


def test_an_nnx_module_may_keep_a_traced_number():
    space = jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1), slope=jt.uniform(0.5, 0.9)
    )
    task = jt.classification(Kept, **SPLITS)
    found = jt.search(task, space, key=KEY, trials=3, epochs=2)
    values = found.trials.row(0)
    alone = space.replace(
        learning_rate=jt.fixed(values["learning_rate"]), slope=jt.fixed(values["slope"])
    )
    same = jt.search(task, alone, key=KEY, trials=1, epochs=2)
    np.testing.assert_allclose(same.trials["loss"][0], values["loss"], rtol=1e-4)


def test_functions_may_change_their_hyperparameters():
    """Each call gets its own; a search with and without micro-batches agrees."""

    def doubled(h):
        h["scale"] = h["scale"] * 2
        return optax.sgd(h.pop("learning_rate") * h["scale"])

    def plain(h):
        return optax.sgd(h["learning_rate"] * h["scale"] * 2)

    space = jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1),
        scale=jt.fixed(1.5),
        batch_size=jt.power_of_two(8, 16),
    )
    losses = [
        jt.search(
            jt.classification(Sized(), **SPLITS, optimizer=optimizer),
            space,
            key=KEY,
            trials=3,
            epochs=2,
        ).trials["loss"]
        for optimizer in (doubled, plain)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_a_key_with_a_default_is_given():
    def noisy(h, key=None):
        return h["x"] + jax.random.normal(key)

    def named(x, *, rng=KEY):
        return x + jax.random.normal(rng)

    space = jt.Space(x=jt.uniform(0, 1))
    more = {"key": KEY, "trials": 4, "mode": "min"}
    expected = jt.search(lambda key, h: noisy(h, key), space, **more)
    for function in (noisy, named):
        found = jt.search(function, space, **more)
        np.testing.assert_array_equal(found.trials["score"], expected.trials["score"])
    with pytest.raises(ValueError, match=r"the function needs \(a, b, c\)"):
        jt.search(lambda a, b, c: a, space, **more)


def test_hyperparameters_that_set_arrays_of_an_nnx_module_are_no_state():
    """Population based training changes them while a lane trains."""

    class Scaled(nnx.Module):
        def __init__(self, scale, rngs):
            self.dropout = nnx.Dropout(scale, rngs=rngs)
            self.scale = scale * 2
            self.table = jax.random.normal(rngs.params(), (3,))

        def __call__(self, x):
            return self.dropout(x * self.scale + self.table)

    model = as_model(Scaled)

    def outputs(first, then):
        params, state = model.init(KEY, None, {"scale": first})
        assert not any(
            np.shape(leaf) == () and leaf.dtype == jnp.float32
            for leaf in jax.tree.leaves(state)
        )
        out, _ = model.apply(params, state, jnp.ones(3), None, {"scale": then}, False)
        return out

    half, quarter = jnp.float32(0.5), jnp.float32(0.25)
    changed = jax.jit(outputs)(half, quarter) - jax.jit(outputs)(half, half)
    np.testing.assert_allclose(changed, -0.5, rtol=1e-6)


def test_a_run_of_an_earlier_version_goes_on_with_places(tmp_path, monkeypatch):
    """Its functions got the places of choices, and fixed numbers as data."""

    def older(key, h):
        kind = h["kind"] if isinstance(h["kind"], jax.Array) else h["kind"].index
        return h["x"] * kind + h["n"]

    space = jt.Space(x=jt.uniform(0, 1), kind=jt.choice(["a", "b"]), n=jt.fixed(3))
    task = {"task": older, "space": space, "key": KEY, "trials": 4, "mode": "min"}
    with monkeypatch.context() as patched:
        patched.setattr(
            preparation,
            "lay_out",
            lambda *given: lay_out(*given)._replace(as_places=True),
        )
        first = jt.search(**task, directory=tmp_path)
    edit_settings(tmp_path, lambda settings: settings["layout"].pop("as_places"))
    again = jt.search(**task, directory=tmp_path)
    assert again.setup.workload.layout.as_places
    np.testing.assert_array_equal(first.trials["score"], again.trials["score"])
    assert jt.rerun(tmp_path, 2, older).same


class Odd(nn.Module):
    """Dropout behind a flag of a name of its own, and a harmless flag."""

    @nn.compact
    def __call__(self, x, noise_on: bool = False, residual: bool = True):
        x = nn.Dropout(0.5, deterministic=not noise_on)(x)
        return nn.Dense(3)(x) + (1.0 if residual else 0.0)


class OddStatistics(nn.Module):
    @nn.compact
    def __call__(self, x, moving: bool = True):
        return nn.Dense(3)(nn.BatchNorm(use_running_average=moving)(x))


class Field(nn.Module):
    stochastic: bool = False

    @nn.compact
    def __call__(self, x, learn=0):
        return nn.Dense(3)(nn.Dropout(0.5, deterministic=not self.stochastic)(x))


class OddNNX(nnx.Module):
    def __init__(self, rngs):
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x, noise_on=False):
        return self.last(self.dropout(x, deterministic=not noise_on))


@pytest.mark.parametrize(
    ("model", "flag"),
    [
        (Odd(), "noise_on"),
        (OddStatistics(), "moving"),
        (OddNNX, "noise_on"),
        (Field(), "stochastic"),
    ],
)
def test_a_flag_of_an_unknown_name_that_switches_noise_is_told(model, flag):
    task = jt.classification(model, **SPLITS)
    space = jt.Space(learning_rate=jt.log_uniform(0.01, 0.1))
    with pytest.warns(UserWarning, match=f"flag '{flag}' of .* is left at") as caught:
        jt.search(task, space, key=KEY, trials=2, epochs=1)
    assert not any("residual" in str(warning.message) for warning in caught)


def test_a_table_is_read_by_the_place_of_a_choice():
    table = jnp.asarray([3.0, 1.0])
    space = jt.Space(x=jt.uniform(0, 1), kind=jt.choice(["a", "b"]))
    more = {"key": KEY, "trials": 4, "mode": "min"}
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        jt.search(lambda h: table[h["kind"]] + h["x"], space, **more)
    assert 'h["x"].index is its place' in "".join(caught.value.__notes__)
    found = jt.search(lambda h: table[h["kind"].index] + h["x"], space, **more)
    assert found.best.hparams["kind"] == "b"


@pytest.mark.parametrize("sizes", [[16, 4, 8], [8, 16]])
def test_a_choice_of_numbers_may_set_the_width_of_a_padded_network(sizes):
    task = jt.classification(jt.models.MLP(classes=3, max_units=16), **SPLITS)
    space = jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1), hidden_units=jt.choice(sizes)
    )
    found = jt.search(task, space, key=KEY, trials=6, epochs=1, programs=1)
    assert set(found.trials["hidden_units"]) <= set(sizes)
    same = jt.Space(
        learning_rate=jt.log_uniform(0.01, 0.1),
        hidden_units=jt.choice(sizes, static=True),
    )
    again = jt.search(task, same, key=KEY, trials=6, epochs=1)
    np.testing.assert_allclose(found.trials["loss"], again.trials["loss"], rtol=1e-4)
    with pytest.raises(ValueError, match=r"has \(8, 64\), but the model takes 1 to 16"):
        jt.search(
            task,
            jt.Space(hidden_units=jt.choice([64, 8])),
            key=KEY,
            trials=2,
            epochs=1,
        )


@pytest.mark.parametrize("value", [2**24 + 1, -(2**31) + 1, 2**40, 1e-300, 3, 0.1])
def test_a_fixed_number_is_exact_everywhere(value):
    seen = []

    def function(h):
        seen.append(h["fixed"])
        return h["x"]

    space = jt.Space(x=jt.uniform(0, 1), fixed=jt.fixed(value))
    found = jt.search(function, space, key=KEY, trials=2, mode="min")
    assert set(map(type, seen)) == {type(value)}
    assert set(seen) == {value}
    assert {value} == {found.best.hparams["fixed"]}
    decoded = space.decode(np.zeros((2, 1), np.float32))
    assert space.values(decoded, 1)["fixed"] == value
    if 2**24 < abs(value) < 2**31:  # float32 does not have it
        assert decoded["fixed"].tolist() == [value, value]
