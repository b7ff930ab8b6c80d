"""What is of the wrong kind is refused at the door of every public function."""

import inspect
import re
import traceback
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune.door import as_plain, guarded, list_of, real, whole

NAN, INF = float("nan"), float("inf")
SPACE = jt.Space(x=jt.uniform(0.0, 1.0), kind=jt.choice(["a", "b"]))
POINTS = np.full((4, 2), 0.5, np.float32)
HPARAMS = {"x": np.full(4, 0.5, np.float32), "kind": np.zeros(4, np.int32)}
KEY, SCORES = jax.random.key(0), np.arange(4.0)
X, Y = np.ones((8, 2), np.float32), np.arange(8) % 2
MLP = jt.models.MLP(classes=2, max_units=4)
PACKAGE = str(Path(jt.__file__).parent)

NO_ARRAY = {"text": "3", "list": [], "complex": 1j, "class": int}
NO_NUMBERS = NO_ARRAY | {"array": np.ones(2)}
# a value of the wrong kind for each kind, by a name for the test
WRONG = {
    "count": NO_NUMBERS | {"0": 0, "-1": -1, "half": 0.5, "nan": NAN, "True": True},
    "from two": NO_NUMBERS | {"1": 1, "-1": -1, "half": 2.5, "nan": NAN, "True": True},
    "index": NO_NUMBERS | {"-1": -1, "half": 0.5, "inf": INF, "True": True},
    "share": NO_NUMBERS | {"-1": -1, "2": 2.0, "nan": NAN, "True": True},
    "rate": NO_NUMBERS | {"-1": -1.0, "nan": NAN, "inf": INF, "True": True},
    # where a number may be traced, or be several
    "traced": NO_ARRAY | {"-1": -1.0, "nan": NAN, "inf": INF, "True": True},
    "traced share": NO_ARRAY | {"-1": -1, "2": 2.0, "nan": NAN, "True": True},
    "top": NO_NUMBERS | {"1": 1, "-1": -1, "2.5": 2.5, "nan": NAN, "True": True},
    "id": NO_NUMBERS | {"half": 0.5, "nan": NAN, "True": True, "None": None},
    "several": {"number": 3, "text": "f", "None": None},
    "flag": {"text": "no", "0": 0, "list": [], "half": 0.5, "None": None},
    "name": {"number": 3, "list": [], "empty": "", "True": True, "class": int},
    "path": {"number": 3, "empty": "", "list": [], "None": None, "bytes": b"x"},
    "function": {"number": 3, "text": "f", "list": []},
    "mapping": {"number": 3, "text": "a", "list": [], "empty": {}, "None": None},
    "key": {"number": 0, "text": "0", "list": [], "array": np.ones(2)},
    "object": {"number": 3, "text": "a", "list": [], "dict": {}, "class": int},
}
SCHEDULES, MODELS, SCHEDULERS = jt.schedules, jt.models, jt.schedulers
RUN = {"directory": "/no/such"}
# function, what else it gets, and the kind of each argument
DOORS = {
    "integer": (
        lambda **given: jt.Space(q=jt.integer(0, 3, **given)),
        {},
        {"static": "flag"},
    ),
    "choice": (
        lambda **given: jt.Space(q=jt.choice(["a"], **given)),
        {},
        {"static": "flag"},
    ),
    "replace": (SPACE.replace, {}, {"x": "object"}),
    "encode": (SPACE.encode, {}, {"hparams": "mapping"}),
    "active": (SPACE.active, {}, {"hparams": "mapping"}),
    "values": (SPACE.values, {"hparams": HPARAMS, "trial": 0}, {"hparams": "mapping"}),
    "tpe": (
        jt.samplers.tpe,
        {},
        {"share": "share", "most": "count", "draws": "count", "initial": "count"},
    ),
    "gaussian_process": (
        jt.samplers.gaussian_process,
        {},
        {"acquisition": "name", "initial": "count", "rows": "count"},
    ),
    "trust_region": (
        jt.samplers.trust_region,
        {},
        {"length": "share", "acquisition": "name", "rows": "count"},
    ),
    "cma_es": (jt.samplers.cma_es, {}, {"population": "count", "sigma": "share"}),
    "latin_hypercube": (jt.samplers.latin_hypercube, {}, {"size": "count"}),
    "grid": (
        jt.samplers.grid,
        {},
        {"points_per_dim": "index"},
    ),
    "init": (
        lambda key=KEY, space=SPACE: jt.samplers.sobol().init(key, space),
        {},
        {"key": "key", "space": "object"},
    ),
    "ask": (
        lambda n: jt.samplers.uniform().ask(None, n),
        {},
        {"n": "index"},
    ),
    "tell": (
        lambda points=POINTS, scores=SCORES: jt.samplers.sobol().tell(
            None, points, scores
        ),
        {},
        {"points": "object", "scores": "object"},
    ),
    "successive_halving": (
        SCHEDULERS.successive_halving,
        {},
        {"eta": "count", "min_epochs": "count"},
    ),
    "hyperband": (SCHEDULERS.hyperband, {}, {"min_epochs": "count"}),
    "asha": (SCHEDULERS.asha, {}, {"concurrent": "count"}),
    "median_stopping": (SCHEDULERS.median_stopping, {}, {"interval": "count"}),
    "patience": (
        SCHEDULERS.patience,
        {},
        {"epochs": "count", "interval": "count", "min_delta": "rate"},
    ),
    "pbt": (SCHEDULERS.pbt, {}, {"share": "share", "step": "share"}),
    "race": (SCHEDULERS.race, {}, {"top": "from two", "seeds": "from two"}),
    "plan of a scheduler": (
        SCHEDULERS.in_full().plan,
        {"trials": 4, "epochs": 3},
        {"trials": "count", "epochs": "index"},
    ),
    "zoom": (
        jt.zoom,
        {},
        {"top": "top", "margin": "rate", "floor": "share", "evidence": "share"},
    ),
    "zoom's rounds": (jt.zoom, {}, {"within": "object", "rounds": "name"}),
    "refine": (
        lambda space=SPACE, points=POINTS, scores=SCORES: jt.zoom()(
            space, points, scores
        ),
        {},
        {"space": "object", "points": "object", "scores": "object"},
    ),
    "MLP": (
        MODELS.MLP,
        {"classes": 2},
        {"classes": "count", "max_units": "count", "max_layers": "count"},
    ),
    "MLP's names": (
        MODELS.MLP,
        {"classes": 2},
        {"activation": "name", "norm": "name"},
    ),
    "CNN": (
        MODELS.CNN,
        {"classes": 2},
        {"max_channels": "count", "max_layers": "count", "unfolded": "flag"},
    ),
    "MaskedDense": (MODELS.MaskedDense, {}, {"size": "count"}),
    "MaskedConv": (MODELS.MaskedConv, {"size": 2}, {"window": "object"}),
    "MaskedBatchNorm": (MODELS.MaskedBatchNorm, {}, {"momentum": "share"}),
    "MaskedLayerNorm": (MODELS.MaskedLayerNorm, {}, {"epsilon": "rate"}),
    "dropout": (
        MODELS.dropout,
        {"x": X, "rate": 0.5, "key": jax.random.key(0)},
        {"rate": "traced share", "key": "key"},
    ),
    "linear": (
        SCHEDULES.linear,
        {"peak": 0.1, "steps": 9},
        {"peak": "traced", "end": "traced", "begin": "traced"},
    ),
    "warmup_cosine": (
        SCHEDULES.warmup_cosine,
        {"peak": 0.1, "steps": 9, "warmup": 1},
        {"peak": "traced", "warmup": "traced"},
    ),
    "exponential": (
        SCHEDULES.exponential,
        {"peak": 0.1, "steps": 9, "rate": 0.5},
        {"rate": "traced", "staircase": "flag"},
    ),
    "piecewise": (
        SCHEDULES.piecewise,
        {"peak": 0.1, "steps": 9, "at": [0.5]},
        {"peak": "traced", "at": "several", "scale": "traced"},
    ),
    "optimizers": (
        lambda **rates: jt.optimizers.standard(rates),
        {},
        {
            "learning_rate": "traced",
            "momentum": "traced share",
            "weight_decay": "traced",
        },
    ),
    "averaged": (
        jt.optimizers.averaged,
        {"transformation": optax.sgd(0.1)},
        {"transformation": "object", "decay": "traced share", "begin": "traced"},
    ),
    "preset": (jt.presets.standard, {}, {"optimizers": "object"}),
    "classification": (
        jt.classification,
        {"model": MLP, "train": (X, Y), "valid": (X, Y)},
        {"shuffle": "flag", "loss": "function", "augment": "function"},
    ),
    "regression": (
        jt.regression,
        {"model": MLP, "train": (X, X), "valid": (X, X)},
        {"shuffle": "flag", "loss": "function", "preprocess": "function"},
    ),
    "search": (
        jt.search,
        {"task": lambda key, h: h["x"], "space": SPACE, "key": jax.random.key(0)},
        {"rewrite": "flag", "block": "count", "callbacks": "several"},
    ),
    "plan": (
        jt.plan,
        {"task": lambda key, h: h["x"], "space": SPACE, "trials": 4},
        {"seeds": "count", "block": "count", "rewrite": "flag", "memory": "flag"},
    ),
    "resume": (jt.resume, RUN, {"block": "count", "allow": "several"}),
    "rerun": (jt.rerun, RUN | {"trial": 0}, {"trial": "id"}),
    "extend": (jt.extend, RUN | {"trials": 4}, {"allow": "several"}),
    "local": (jt.executors.local, {}, {"shard": "flag"}),
    "ray": (jt.executors.ray, {}, {"mixed": "flag", "resources": "function"}),
    "live": (jt.integrations.live, {"to": "csv", "where": "a"}, {"where": "path"}),
    "from_pandas": (jt.data.from_pandas, {"target": "y"}, {"frame": "object"}),
    "simulate": (
        jt.testing.simulate,
        {"scheduler": SCHEDULERS.in_full(), "score": max, "trials": 4, "epochs": 2},
        {"scheduler": "object", "trials": "count", "epochs": "count"},
    ),
}
ROWS = [
    pytest.param(
        call, others | {argument: wrong}, argument, id=f"{name} {argument} {k}"
    )
    for name, (call, others, kinds) in DOORS.items()
    for argument, kind in kinds.items()
    for k, wrong in WRONG[kind].items()
]


def refused(call, given, argument):
    """The error of a call, which one of our checks must have raised by name."""
    with pytest.raises((ValueError, KeyError)) as raised:
        call(**given)
    last = traceback.extract_tb(raised.tb)[-1]
    assert last.filename.startswith(PACKAGE), "the error is not ours"
    assert re.search(rf"\b{argument}\b", str(raised.value)), raised.value


@pytest.mark.parametrize(("call", "given", "argument"), ROWS)
def test_a_value_of_another_kind_is_refused_by_name(call, given, argument):
    refused(call, given, argument)


def takers(argument):
    """Public functions that have an argument of some name, and what else they need."""
    homes = jt.analysis, jt.report, jt.integrations, jt.testing, jt
    for home in homes:
        for name in home.__all__ if hasattr(home, "__all__") else vars(home):
            thing = getattr(home, name)
            if not inspect.isfunction(thing) or name.startswith("_"):
                continue
            known = inspect.signature(thing).parameters
            if argument in known and thing.__module__.startswith("jaxtune"):
                needed = [n for n, p in known.items() if p.default is p.empty]
                yield pytest.param(thing, needed, id=f"{home.__name__}.{name}")


@pytest.mark.parametrize(("function", "needed"), [*takers("result")])
def test_every_function_of_a_result_takes_nothing_else(function, needed):
    others = dict.fromkeys(needed, "x")
    for wrong in (None, 3, "run", {}, jt.search):
        refused(function, others | {"result": wrong}, "result")


def test_what_jax_traces_passes_where_a_function_may_be_traced():
    @jax.jit
    def traced(rate, steps):
        schedule = jt.schedules.linear(rate, steps, begin=steps / 2)
        return schedule(3), jt.optimizers.standard({"momentum": rate}), jt.models.MLP(2)

    with pytest.raises(TypeError, match="not a valid JAX type"):
        traced(0.1, 9)  # all was made; a transformation is no output

    @jax.jit
    def computed(rate, key):
        kept = jt.models.dropout(jnp.ones((2, 3)), rate, key)
        state = jt.samplers.uniform().init(key, SPACE)
        return kept, jt.samplers.uniform().ask(state, 3)[1]

    kept, points = computed(0.5, jax.random.key(0))
    assert (kept.shape, points.shape) == ((2, 3), (3, 2))
    scores = jnp.arange(4.0)
    assert jax.jit(lambda p, s: jt.zoom()(SPACE, p, s))(POINTS, scores).dim == 2


@pytest.mark.parametrize(
    "given", [np.int64(3), np.uint8(3), jnp.int32(3), np.array(3)], ids=type
)
def test_a_scalar_of_a_library_is_a_number(given):
    assert guarded(count=whole(1))(lambda count: count)(given) == 3
    assert type(as_plain(given)) is int
    assert jt.samplers.latin_hypercube(given)
    assert jt.schedulers.patience(given).plan(4, given * 3).epochs == 36


def test_a_default_is_not_checked_and_a_call_fails_as_ever():
    @guarded(count=whole(1), share=real(0, 1))
    def half(count, share=None):
        return count, share

    assert half(2) == (2, None)
    assert half(count=2, share=np.float32(0.5)) == (2, 0.5)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        half()
    with pytest.raises(ValueError, match=r"half: share must lie in \[0, 1\], got 2"):
        half(1, 2)


def test_a_message_does_not_print_a_million_numbers():
    with pytest.raises(ValueError, match="list") as raised:
        guarded(of=list_of(whole(1)))(lambda of: of)([0] * 10**6)
    assert len(str(raised.value)) < 400
