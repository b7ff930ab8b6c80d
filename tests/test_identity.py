"""A run goes on with what it began with: arrays, functions, settings and rows.

Each test begins something, changes it as little as possible, and is refused; with an
equal copy it goes on.
"""

import enum
import functools
import json
import logging
import math
import os
import runpy
import subprocess
import sys
from collections import defaultdict
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from children import environment
from editing import edit_settings
from killed import cut_after

import jaxtune as jt
from jaxtune.storage.captured import callbacks_of, constants_sum
from jaxtune.storage.code_sums import sums_of
from jaxtune.storage.settings import EARLIER, checked_settings

SCALAR = jax.ShapeDtypeStruct((), jnp.float32)


def by_inner_jit(weights):
    inner = jax.jit(lambda x: jnp.sum(x * weights))
    return lambda x: inner(x) + 1.0


def by_two_inner_jits(weights):
    inner = by_inner_jit(weights)
    outer = jax.jit(lambda x: inner(x) * 2.0)
    return lambda x: outer(x) + outer(x + 1.0)


def by_host_array(weights):
    return jax.jit(lambda x: jnp.sum(x * np.asarray(weights)))


def by_scan(weights):
    def step(carry, _):
        return by_inner_jit(weights)(carry), None

    return lambda x: jax.lax.scan(step, x, None, length=3)[0]


def by_branch(weights):
    return lambda x: jax.lax.cond(x > 0, by_inner_jit(weights), lambda x: x, x)


def by_loop(weights):
    inner = by_inner_jit(weights)
    return lambda x: jax.lax.while_loop(lambda x: x < 9.0, lambda x: inner(x) + 9.0, x)


def by_condition_of_a_loop(weights):
    inner = by_inner_jit(weights)
    return lambda x: jax.lax.while_loop(lambda x: inner(x) < 9.0, lambda x: x + 9.0, x)


def by_forward_rule(weights):
    inner = by_inner_jit(weights)

    @jax.custom_jvp
    def function(x):
        return x

    function.defjvp(lambda x, dx: (x[0], dx[0] * inner(x[0])))
    return jax.grad(function)


def by_backward_rule(weights):
    inner = by_inner_jit(weights)

    @jax.custom_vjp
    def function(x):
        return x

    function.defvjp(lambda x: (x, x), lambda x, d: (d * inner(x),))
    return jax.grad(function)


def by_checkpoint(weights):
    return jax.grad(jax.checkpoint(by_inner_jit(weights)))


def by_lanes(weights):
    inner = by_inner_jit(weights)
    return lambda x: jnp.sum(jax.vmap(inner)(x[None]))


def by_keys(weights):
    key = jax.random.key((2 * weights[1]).astype(int))
    draw = jax.jit(lambda x: x + jax.random.uniform(key))
    return lambda x: draw(x)


def by_weights_of_a_model(weights):
    import flax.linen as nn

    class Frozen(nn.Module):
        @nn.compact
        def __call__(self, x):
            return jnp.sum(jax.jit(lambda x: x * weights)(x))

    return lambda x: Frozen().apply({}, x)


def by_schedule_of_an_optimizer(weights):
    import optax

    optimizer = optax.sgd(jax.jit(lambda step: weights[step]))

    def function(x):
        updates, _ = optimizer.update(x, optimizer.init(x))
        return updates

    return function


IN_PROGRAMS = [value for name, value in [*globals().items()] if name.startswith("by_")]


def on_host(function, ordered=False):
    if ordered:
        return lambda x: jax.experimental.io_callback(function, SCALAR, x, ordered=True)
    return lambda x: jax.pure_callback(function, SCALAR, x, vmap_method="sequential")


def host_by_closure(weights):
    def function(x):
        return np.float32(x * weights.sum())

    return on_host(function)


def host_by_default(weights):
    def function(x, weights=weights):
        return np.float32(x * weights.sum())

    return on_host(function)


def host_by_keyword(weights):
    def function(x, *, weights=weights):
        return np.float32(x * weights.sum())

    return on_host(function)


def host_by_partial(weights):
    def function(weights, x):
        return np.float32(x * weights.sum())

    return on_host(functools.partial(function, weights))


def host_by_number(weights):
    scale = float(weights[1])
    return on_host(lambda x: np.float32(x * scale))


def host_by_settings(weights):
    settings = {"name": "a", "scales": [1.0, float(weights[1])]}
    return on_host(lambda x: np.float32(x * settings["scales"][1]))


def host_by_inner_function(weights):
    def inner(x):
        return x * weights.sum()

    return on_host(lambda x: np.float32(inner(x)))


def host_by_written_function(weights):
    scale = float(weights[1])

    def function(x):
        def inner(y):
            return y * scale

        return np.float32(inner(x))

    return on_host(function)


class Scaled:
    def __init__(self, weights):
        self.weights = weights

    def __call__(self, x):
        return np.float32(x * self.weights.sum())

    def scaled(self, x):
        return self(x)


def host_by_object(weights):
    return on_host(Scaled(weights))


def host_by_method(weights):
    return on_host(Scaled(weights).scaled)


def host_by_cached_function(weights):
    @functools.lru_cache
    def function(x):
        return np.float32(x * weights.sum())

    return on_host(lambda x: function(float(x)))


def host_by_decorated_function(weights):
    def scaled(function):
        @functools.wraps(function)
        def run(x):
            return np.float32(function(x) * weights.sum())

        return run

    return on_host(scaled(lambda x: x))


def host_in_order(weights):
    def function(x):
        return np.float32(x * weights.sum())

    return on_host(function, ordered=True)


def host_in_a_loop(weights):
    inner = host_by_closure(weights)
    return lambda x: jax.lax.fori_loop(0, 3, lambda i, x: inner(x), x)


ON_HOST = [value for name, value in [*globals().items()] if name.startswith("host_")]


def traced(function):
    """The program of a function as searches trace it, with an outer jit."""
    return (SimpleNamespace(jaxpr=jax.make_jaxpr(function)(jnp.float32(1.0))),)


def sums(function):
    programs = traced(function)
    return constants_sum(programs), callbacks_of(programs)


W0, W1 = jnp.arange(4.0), jnp.arange(4.0).at[1].set(1.5)


@pytest.mark.parametrize("make", IN_PROGRAMS, ids=lambda make: make.__name__)
def test_an_array_in_a_program_is_in_its_sum(make):
    again = jnp.asarray(np.array(W0))
    assert sums(make(W0)) == sums(make(again))
    assert sums(make(W0))[0] != sums(make(W1))[0]
    # a jaxpr that JAX has traced before is the same one
    kept = make(W0)
    assert sums(kept) == sums(kept)


@pytest.mark.parametrize("make", ON_HOST, ids=lambda make: make.__name__)
def test_a_value_of_a_hosts_function_is_in_its_sum(make):
    first, other = np.asarray(W0), np.asarray(W1)
    known = sums(make(first))[1]
    assert sums(make(first.copy()))[1] == known
    assert not known.unknown
    assert sums(make(other))[1].sums != known.sums


def test_what_only_shows_is_left_out():
    def shown(text):
        def function(x):
            jax.debug.print(text + " {}", x)
            jax.debug.callback(lambda x: print(text, x), x)
            return x

        return function

    assert sums(shown("a"))[1] == sums(shown("b"))[1]
    assert not sums(shown("a"))[1].sums


SCALE, HISTORY, COUNT, TABLE, TOTAL = 2.0, [], 0, {}, np.zeros(1)
SETTINGS = {"b": 1, "a": {"x", "y", "z"}}


def odd(n):
    return n != 0 and even(n - 1)


def even(n):
    """Be a function that calls another one that calls it."""
    return n == 0 or odd(n - 1)


def scaled(x):
    return x * SCALE * math.pi + len(SETTINGS) * np.sin(x) + even(3)


def counted(x):
    global COUNT
    COUNT += 1
    HISTORY.append(x)
    TABLE["a"] = x
    TOTAL[0] += x
    return x


def test_globals_are_values_too(monkeypatch):
    known = sums_of("f", scaled)
    assert {"f", "f.SCALE", "f.math.pi", "f.SETTINGS", "f.even"} <= set(known.sums)
    assert not known.unknown
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    changed = sums_of("f", scaled).sums
    assert [n for n in changed if changed[n] != known.sums[n]] == ["f.SCALE"]


def test_what_a_function_changes_itself_is_told_and_not_compared():
    known = sums_of("f", counted)
    assert known.unknown == tuple(
        f"{name} of f, which it changes"
        for name in ("COUNT", "HISTORY", "TABLE", "TOTAL")
    )
    counted(1.0)
    assert sums_of("f", counted) == known


class Counting:
    """An object that counts its calls, and computes into an array."""

    def __init__(self, weights):
        self.weights, self.calls, self.seen = weights, 0, []

    def __call__(self, x):
        out = np.zeros(2)
        out[0] = self.weights.sum()
        self.calls += 1
        self.seen.append(x)
        return out


def test_what_an_object_changes_itself_is_told_and_the_rest_is_compared():
    first = Counting(np.asarray(W0))
    known = sums_of("f", first)
    assert known.unknown == tuple(
        f"{name} of f, which it changes" for name in ("calls", "seen")
    )
    first(1.0)
    assert sums_of("f", first) == known
    assert sums_of("f", Counting(np.asarray(W1))).sums != known.sums


class Touchy:
    """An object that does not like to be asked."""

    __slots__ = ("a",)

    def __getattr__(self, name):
        raise RuntimeError(name)


def test_what_cannot_be_looked_into_is_told():
    assert sums_of("f", Touchy()).unknown == ("f: an object of Touchy",)

    generator = np.random.default_rng(0)

    def function(x):
        return x + generator.random()

    (found,) = sums_of("f", function).unknown
    assert "generator of f: an object of numpy.random" in found


LOG = logging.getLogger("test")


def noisy(x):
    LOG.info("x")
    print(x, file=sys.stderr)
    return x * len(os.environ)


def test_what_computes_nothing_and_what_packages_hold_are_left_out(monkeypatch):
    known = sums_of("f", noisy)
    monkeypatch.setenv("SOME_NAME", "value")
    monkeypatch.setattr(sys, "stderr", None)
    assert sums_of("f", noisy) == known
    assert not known.unknown


def fills(x):
    out = np.zeros(3)
    for place, scale in enumerate(SCALES):
        out[place] = x * scale
    return out


SCALES = [1.0, 2.0]


def test_a_list_beside_an_array_that_is_filled_is_compared(monkeypatch):
    known = sums_of("f", fills)
    assert not known.unknown
    monkeypatch.setattr(sys.modules[__name__], "SCALES", [1.0, 3.0])
    assert sums_of("f", fills).sums["f.SCALES"] != known.sums["f.SCALES"]


def written(source):
    known = {}
    exec(source, known)
    return sums_of("f", known["f"]).sums


def test_a_comment_changes_nothing_and_an_operation_does():
    plain = written("def f(x):\n    return x + 1\n")
    assert plain == written('def f(x):\n    """Add."""\n    # one\n    return (x\n+ 1)')
    for other in ("x - 1", "x + 2", "x.y + 1", "x + 1.0", "1 + x", "y + 1"):
        assert plain != written(f"def f(x):\n    return {other}\n")


SCRIPT = """
import dataclasses, enum, functools, typing

class Kind(enum.Enum):
    A = 1

@dataclasses.dataclass(frozen=True, order=True)
class Settings:
    scale: float = 2.0
    kind: Kind = Kind.A

class Pair(typing.NamedTuple):
    one: float
    two: object

class Model:
    def __init__(self):
        self.settings, self.pair = Settings(), Pair(1.0, self)
    @property
    def scale(self):
        return self.settings.scale
    def __call__(self, x):
        return x * self.scale * inner(x)

@functools.lru_cache
def inner(x):
    return x + 1

model = Model()
def f(x):
    return model(x)
"""


def test_a_script_and_a_module_have_the_same_sums(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    names = ("__main__", "script")
    one, other = (runpy.run_path(str(path), run_name=name)["f"] for name in names)
    assert sums_of("f", one) == sums_of("f", other)
    assert not sums_of("f", one).unknown
    path.write_text(SCRIPT.replace("scale: float = 2.0", "scale: float = 3.0"))
    changed = runpy.run_path(str(path))["f"]
    assert sums_of("f", one).sums["f.model"] != sums_of("f", changed).sums["f.model"]


CHILD = """
import test_identity as t
print(t.sums_of("f", t.scaled).sums)
print([t.sums(make(t.W0)) for make in t.IN_PROGRAMS])
print([t.sums(make(t.np.asarray(t.W0)))[1].sums for make in t.ON_HOST])
"""


def test_sums_are_the_same_in_every_process():
    said = [
        subprocess.run(
            [sys.executable, "-c", CHILD],
            env=environment(PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert said[0].count("\n") == 3


SPACE, KEY = jt.Space(x=jt.uniform(0.0, 1.0)), jax.random.key(0)


def searched(task, directory, **own):
    arguments = {"key": KEY, "trials": 12, "rounds": 2, "mode": "min"}
    arguments |= {"sampler": "sobol", "block": 2, "verbose": 0}
    return jt.search(task, SPACE, directory=directory, **arguments | own)


def objective_of(make, weights):
    inner = make(weights)

    def objective(key, hparams):
        return inner(hparams["x"]) + 0.0 * jax.random.normal(key)

    return objective


REFUSED = [
    (by_inner_jit, W0, W1, "task.constants"),
    (host_by_closure, np.asarray(W0), np.asarray(W1), "task.callbacks.*weights"),
]


@pytest.mark.parametrize(("make", "first", "other", "told"), REFUSED)
def test_a_run_is_not_mixed_of_two_sets_of_weights(make, first, other, told, tmp_path):
    def one(weights):
        return objective_of(make, weights)

    straight = searched(one(first), None)
    with cut_after(2):
        searched(one(first), tmp_path)
    before = (tmp_path / "run.sqlite").read_bytes()
    ways = (
        lambda task: searched(task, tmp_path),
        lambda task: jt.resume(tmp_path, task, verbose=0),
        lambda task: jt.load(tmp_path, task),
        lambda task: jt.rerun(tmp_path, 0, task),
        lambda task: jt.resume(tmp_path, task, verbose=0, allow=["version", "flags"]),
    )
    for way in ways:
        with pytest.raises(jt.RunError, match=f"another {told}.*or another directory"):
            way(one(other))
    assert (tmp_path / "run.sqlite").read_bytes() == before
    found = jt.resume(tmp_path, one(first + 0), verbose=0)
    np.testing.assert_array_equal(found.trials.scores, straight.trials.scores)
    for way in ways:  # of the finished run
        with pytest.raises(jt.RunError, match=f"another {told}"):
            way(one(other))
    assert searched(one(first + 0), tmp_path).finished
    assert jt.rerun(tmp_path, 3, one(first + 0)).same


def test_runs_of_earlier_versions_are_compared_as_far_as_they_go(tmp_path):
    with cut_after(2):
        searched(objective_of(by_inner_jit, W0), tmp_path)

    def earlier(settings):
        for name in ("jax", "code", "not_compared"):
            assert name in EARLIER
            del settings[name]
        for name in ("constants", "callbacks"):
            del settings["task"][name]
        del settings["device"]["host"]
        kept = ("XLA_FLAGS", "jax_enable_x64", "jax_default_matmul_precision")
        settings["flags"] = {name: settings["flags"][name] for name in kept}

    edit_settings(tmp_path, earlier)
    # the text of the program is on record, the array in it is not
    other = objective_of(lambda w: lambda x: by_inner_jit(w)(x) * 2.0, W0)
    with pytest.raises(jt.RunError, match=r"another task\.program"):
        jt.resume(tmp_path, other, verbose=0)
    task = objective_of(by_inner_jit, W0)
    assert jt.resume(tmp_path, task, verbose=0).finished


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2 + 0.1 * jax.random.normal(key)


OTHER = {
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 3,
    "jax_high_dynamic_range_gumbel": True,
    "jax_softmax_custom_jvp": True,
    "jax_default_prng_impl": "rbg",
    "jax_use_direct_linearize": False,
    "jax_allow_f16_reductions": False,
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    path = tmp_path_factory.mktemp("begun")
    with cut_after(2):
        searched(bowl, path)
    return path


@pytest.mark.parametrize("name", OTHER)
def test_a_setting_of_jax_that_changes_numbers_is_compared(name, begun):
    was = getattr(jax.config, name)
    jax.config.update(name, OTHER[name])
    try:
        for way in (
            lambda: searched(bowl, begun),
            lambda: jt.resume(begun, bowl, verbose=0, allow=["flags", "code"]),
            lambda: jt.rerun(begun, 0, bowl),
        ):
            with pytest.raises(jt.RunError) as told:
                way()
            told.match(f"another setting of JAX: {name}={was!r}, now {name}=")
            told.match(rf"jax\.config\.update\('{name}', {was!r}\)")
        with pytest.warns(UserWarning, match=f"{name}=.*differs from its table"):
            jt.load(begun)
    finally:
        jax.config.update(name, was)
    assert jt.rerun(begun, 0, bowl).same


def test_the_settings_that_are_compared_are_those_that_change_numbers(begun):
    assert {"jax_threefry_partitionable"} <= set(checked_settings(begun)["jax"])
    settings = checked_settings(begun)
    assert set(settings["jax"]) - {"jax_default_dtype_bits"} == set(OTHER)


@pytest.mark.parametrize(
    ("name", "value"), [("flags.jax_disable_jit", True), ("device.host", "abacus")]
)
def test_what_changes_last_bits_may_be_allowed(name, value, tmp_path):
    with cut_after(2):
        searched(bowl, tmp_path)
    word, setting = name.split(".")
    edit_settings(tmp_path, lambda s: s[word].update({setting: value}))
    with pytest.raises(jt.RunError, match=rf"{name}.*allow=\['{word}'\]"):
        jt.resume(tmp_path, bowl, verbose=0)
    assert jt.resume(tmp_path, bowl, verbose=0, allow=[word]).finished


def own_sampler(shift):
    inner = jt.samplers.uniform()

    def ask(state, n):
        state, points = inner.ask(state, n)
        return state, (points + shift) % 1.0

    return {"sampler": inner._replace(ask=ask)}


def sampler_of_ours(shift):
    inner = jt.samplers.grid(round(shift * 64))
    return {"sampler": inner._replace(tell=lambda state, points, scores: state)}


def own_refiner(shift):
    def refine(space, points, scores):
        del points, scores
        return space.replace(x=jt.uniform(0.0, 1.0 - shift))

    return {"refine": refine}


def own_requirement(shift):
    return {"constraints": jt.require(lambda h: h["x"] > shift)}


PARTS = {
    "sampler": (own_sampler, r"code of its sampler: ask\.shift"),
    "sampler of ours": (sampler_of_ours, r"code of its sampler: init"),
    "refine": (own_refiner, r"code of its refine: refine\.shift"),
    "constraints": (own_requirement, r"code of its constraints: <lambda>#0\.shift"),
}


@pytest.mark.parametrize("part", PARTS)
def test_functions_of_the_users_own_are_compared(part, tmp_path):
    make, told = PARTS[part]
    with cut_after(2):
        searched(bowl, tmp_path, **make(0.25))
    # under the same name and with the same source
    changed = make(0.375)
    with pytest.raises(jt.RunError, match=rf"another {told}.*allow=\['code'\]"):
        searched(bowl, tmp_path, **changed)
    with pytest.raises(jt.RunError, match=rf"another {told}"):
        jt.resume(tmp_path, bowl, verbose=0, allow=["version"], **changed)
    assert jt.resume(tmp_path, bowl, verbose=0, **make(0.25)).finished
    assert jt.resume(tmp_path, bowl, verbose=0, allow=["code"], **changed).finished


def test_what_cannot_be_compared_is_told_once(tmp_path):
    state = np.random.default_rng(0)

    def refine(space, points, scores):
        del points, scores
        return space if state is not None else None

    with pytest.warns(UserWarning, match="refine: state of refine: an object of numpy"):
        searched(bowl, tmp_path, refine=refine, trials=4)
    assert searched(bowl, tmp_path, refine=refine, trials=4).finished  # without it


X = np.random.default_rng(0).normal(size=(96, 3)).astype(np.float32)


def streamed(size=24, changed=None):
    """A task on a stream; the last row may be another one from some epoch on."""

    def rows(epoch):
        x = X.copy()
        if changed is not None and epoch >= changed:
            x[-1, 0] += 1.0
        for begin in range(0, 96, size):
            yield {"x": x[begin : begin + size], "y": x[begin : begin + size, 0]}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    import optax

    return jt.Task(
        init=lambda key, hparams: {"w": jax.random.normal(key, (3,))},
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=lambda hparams: optax.sgd(0.1 * hparams["x"]),
        train=jt.data.stream(rows, examples=96, rows=48),
        valid={"x": X, "y": X[:, 0]},
        batch_size=16,
        metrics=(("mse", "min"),),
    )


STREAM = {"mode": None, "epochs": 4, "rounds": 1, "trials": 4}


def test_a_stream_with_other_rows_is_refused(tmp_path):
    straight = searched(streamed(), None, **STREAM)
    with cut_after(4):  # two blocks an epoch: the first two epochs are on record
        searched(streamed(), tmp_path, **STREAM)
    told = "other rows of epoch {}.*or another directory"
    # what is read no more, too
    with pytest.raises(jt.RunError, match=told.format(1)):
        jt.resume(tmp_path, streamed(changed=1), verbose=0)
    # an equal one, however it is cut into batches
    found = jt.resume(tmp_path, streamed(size=32), verbose=0)
    np.testing.assert_array_equal(found.trials.scores, straight.trials.scores)
    assert jt.rerun(tmp_path, 2, streamed(size=96)).same
    for epoch in range(4):
        with pytest.raises(jt.RunError, match=told.format(epoch)):
            jt.rerun(tmp_path, 2, streamed(changed=epoch))


def test_a_stream_may_be_used_again_after_a_refusal(tmp_path):
    with cut_after(4):
        searched(streamed(), tmp_path / "run", **STREAM)
    other = streamed(changed=1)
    with pytest.raises(jt.RunError, match="other rows"):
        jt.resume(tmp_path / "run", other, verbose=0)
    assert searched(other, tmp_path / "other", **STREAM).finished


def whole(examples=96, size=16):
    """A plain task whose optimiser asks for the length of a training."""
    import optax

    data = {"x": X[:examples], "y": X[:examples, 0]}

    def error(params, batch):
        return jnp.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    def optimizer(hparams, steps):
        return optax.sgd(optax.linear_schedule(0.1, 0.0, steps))

    return jt.Task(
        init=lambda key, hparams: {"w": hparams["x"] * jnp.ones(3)},
        loss=lambda params, batch, key, hparams: error(params, batch),
        evaluate=lambda params, split, hparams: {"mse": error(params, split)},
        optimizer=optimizer,
        train=data,
        valid=data,
        batch_size=size,
        metrics=(("mse", "min"),),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("examples", 80), ("epochs", 3), ("micro", 8), ("micro", 0), ("whole", False)],
)
def test_an_edited_layout_is_refused(name, value, tmp_path):
    with cut_after(1):
        searched(whole(), tmp_path, **STREAM)
    edit_settings(tmp_path, lambda s: s["layout"]["batching"].update({name: value}))
    for way in (
        lambda: jt.resume(tmp_path, whole(), verbose=0),
        lambda: searched(whole(), tmp_path, **STREAM),
    ):
        with pytest.raises(jt.RunError, match=r"run\.json is damaged"):
            way()
    if name in ("examples", "epochs"):
        with pytest.raises(jt.RunError, match=r"run\.json is damaged"):
            jt.rerun(tmp_path, 0, whole())


@pytest.mark.parametrize("epochs", [3, 5])
def test_edited_epochs_are_refused(epochs, tmp_path):
    own = STREAM | {"rounds": 2, "trials": 8}
    with cut_after(9):  # the first round has ended
        searched(streamed(), tmp_path, **own)
    edit_settings(tmp_path, lambda s: s.update(epochs=epochs))
    with pytest.raises(jt.RunError, match=rf"epochs are {epochs}, .*trained for 4"):
        jt.resume(tmp_path, streamed(), verbose=0)


def test_nothing_of_a_run_is_compared_by_an_address(tmp_path):
    with cut_after(2):
        searched(objective_of(host_by_method, np.asarray(W0)), tmp_path)
    text = json.dumps(checked_settings(tmp_path))
    assert "0x" not in text


@pytest.mark.parametrize(
    ("before", "now"),
    [((1, 2), (1.0, 2.0)), (0.0, -0.0), (True, 1)],
)
def test_values_that_are_equal_in_python_are_others(before, now, tmp_path):
    def seek(value):
        space = jt.Space(x=jt.uniform(0.0, 1.0), fixed=jt.fixed(value))
        arguments = {"key": jax.random.key(0), "trials": 4, "sampler": "sobol"}
        arguments |= {"mode": "min", "verbose": 0, "directory": tmp_path}
        return jt.search(lambda key, h: h["x"], space, **arguments)

    seek(before)
    seek(before)
    with pytest.raises(jt.RunError, match="another space"):
        seek(now)


WEIGHT = 1.0


def weighed(key, hparams):
    return hparams["x"] * WEIGHT


def test_a_value_that_changed_in_the_process_is_used(monkeypatch, tmp_path):
    """As a cell of a notebook that is run again."""
    space = jt.Space(x=jt.uniform(0.5, 1.0))
    arguments = {"key": jax.random.key(0), "trials": 4, "sampler": "sobol"}
    arguments |= {"mode": "min", "verbose": 0}
    once = jt.search(weighed, space, **arguments, directory=tmp_path)
    before = jt.testing.compilations()
    again = jt.search(weighed, space, **arguments)
    assert jt.testing.compilations() == before
    np.testing.assert_array_equal(again.trials.scores, once.trials.scores)
    monkeypatch.setitem(globals(), "WEIGHT", 2.0)
    for refused in (
        lambda: jt.search(weighed, space, **arguments, directory=tmp_path),
        lambda: jt.rerun(tmp_path, 0, weighed),
        lambda: jt.load(tmp_path, weighed),
    ):
        with pytest.raises(jt.RunError, match="another task"):
            refused()
    twice = jt.search(weighed, space, **arguments)
    np.testing.assert_array_equal(twice.trials.scores, 2 * once.trials.scores)


@pytest.mark.parametrize(
    "dimension",
    [
        jt.integer(1, 8, static=True),
        jt.ordinal([1, 3, 5, 8], static=True),
        jt.power_of_two(1, 8, static=True),
    ],
)
def test_programs_of_static_numbers_are_compared_up_to_the_ends(dimension, tmp_path):
    def seek(last):
        table = {n: float(n) for n in range(8)} | {8: last}
        space = jt.Space(x=jt.uniform(0.0, 1.0), n=dimension)
        arguments = {"key": jax.random.key(0), "trials": 6, "sampler": "sobol"}
        arguments |= {"mode": "min", "verbose": 0, "directory": tmp_path}
        return jt.search(lambda key, h: h["x"] + table[h["n"]], space, **arguments)

    seek(8.0)
    seek(8.0)
    with pytest.raises(jt.RunError, match="another task"):
        seek(80.0)


class Loud(float):
    factor = 1.0

    def __call__(self, x):
        return x * self.factor


class Pair(list):
    pass


def by_enum(value):
    kind = enum.Enum("Kind", {"A": value})
    return lambda x: x * kind.A.value


def by_attribute(value):
    def helper(x):
        return x * helper.scale

    helper.scale = value
    return lambda x: helper(x)


def by_default(value):
    held = defaultdict(lambda: value)
    return lambda x: x * held["missing"]


def by_mask(value):
    held = np.ma.masked_array([1.0, 2.0], mask=[False, value > 1])
    return lambda x: x * held.sum()


def by_subclass(value):
    pair = Pair([1.0])
    pair.scale = value
    return lambda x: x * pair.scale


def by_class_of_number(value):
    loud = type("Loud", (Loud,), {"factor": value})(1.0)
    return lambda x: loud(x)


@pytest.mark.parametrize(
    "make",
    [by_enum, by_attribute, by_default, by_mask, by_subclass, by_class_of_number],
)
def test_values_of_many_kinds_are_summed(make):
    one, same, other = [sums_of("f", make(value)) for value in (1.0, 1.0, 2.0)]
    assert one.sums == same.sums
    assert one.sums != other.sums
    assert not one.unknown


def test_a_ufunc_of_a_function_is_not_known():
    known = sums_of("f", np.frompyfunc(lambda a: a, 1, 1))
    assert "an object" in known.unknown[0]
    assert not sums_of("f", np.add).unknown
