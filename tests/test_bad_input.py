"""A table of bad inputs: the type of the error, and the words that say the way out."""

import ast
import dataclasses
import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune.cli import main

NAN, INF = float("nan"), float("inf")
KEY = jax.random.key(0)
SPACE = jt.Space(
    x=jt.uniform(0.0, 1.0), y=jt.log_uniform(1e-3, 1.0), kind=jt.choice(["a", "b"])
)
X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = np.arange(64) % 3
MLP = jt.models.MLP(classes=3, max_units=8)
RATE = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
SH, HB, PBT = (
    jt.schedulers.successive_halving,
    jt.schedulers.hyperband,
    jt.schedulers.pbt,
)


def one(dimension):
    return lambda: jt.Space(x=dimension())


def changed(array, value, at=(3,)):
    """The array with one entry exchanged."""
    new = np.array(array, np.float64 if isinstance(value, float) else array.dtype)
    new[at] = value
    return new


class Unhashable:
    """A callable that could change after its program was compiled."""

    __hash__ = None

    def __call__(self, key, hparams):
        return hparams["x"]


def search(**changes):
    def objective(key, hparams):
        return hparams["x"] * hparams["y"] + hparams["kind"].index

    arguments = {"key": KEY, "trials": 8, "mode": "max", "verbose": 0}
    arguments |= {"task": objective, "space": SPACE} | changes
    return lambda: jt.search(**arguments)


def classify(**changes):
    arguments = {"model": MLP, "train": (X, Y), "valid": (X, Y)} | changes
    return lambda: jt.classification(**arguments)


def regress(**changes):
    arguments = {"model": MLP, "train": (X, X[:, :3]), "valid": (X, X[:, :3])} | changes
    return lambda: jt.regression(**arguments)


def train(space=RATE, task=None, **changes):
    task = task or classify()
    arguments = {"key": KEY, "trials": 4, "epochs": 1, "verbose": 0} | changes
    return lambda: jt.search(task(), space, **arguments)


BATCHES = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 1.0), batch_size=jt.power_of_two(16, 64)
)


def folded(folds, space=RATE, **changes):
    task = classify(**{"valid": None, "batch_size": 8} | changes)
    return train(space, task, folds=folds)


STREAM = jt.data.stream(lambda epoch: [(X, Y)], examples=64, rows=64)


def plain(searched={}, **changes):
    data = {"x": X, "y": X[:, 0]}
    own = {
        "init": lambda key, hparams: {"w": jnp.zeros(4)},
        "loss": lambda params, batch, key, hparams: jnp.mean(batch["x"] @ params["w"]),
        "evaluate": lambda params, split, hparams: {"mse": jnp.sum(params["w"])},
        "optimizer": lambda hparams: optax.sgd(hparams["learning_rate"]),
        "train": data,
        "valid": data,
        "batch_size": 16,
        "metrics": (("mse", "min"),),
    }
    return train(task=lambda: jt.Task(**own | changes), **searched)


def named(metric, **searched):
    """A task that returns a metric of some name beside its own."""

    def evaluate(params, split, hparams):
        return {"mse": jnp.sum(params["w"]), metric: 1.0}

    return plain(searched, evaluate=evaluate)


def raising(key, hparams):
    raise TypeError("mine")


def points(sampler=jt.samplers.sobol, ask=4):
    def call():
        made = sampler()
        return made.ask(made.init(KEY, SPACE), ask)

    return call


@functools.cache
def found():
    """A result of eight trials of a plain function."""
    return search()()


def zoomed(scores=(0.0, 1.0, 2.0, 3.0), within=None):
    middle = np.full((4, 3), 0.5, np.float32)
    return lambda: jt.zoom(top=2, within=within)(SPACE, middle, scores)


def command(*words):
    """Run a command and raise what it prints."""

    def call():
        result = CliRunner().invoke(main, list(words))
        assert result.exit_code == 2
        raise SystemExit(result.output)

    return call


V, R, K, I = ValueError, jt.RunError, KeyError, IndexError  # noqa: E741
INIT = lambda key, x: {"w": jnp.zeros((x.shape[-1], 3))}  # noqa: E731


def limited(*, given, task=None, space=RATE, **changes):
    """A training under constraints."""
    return train(space, task, constraints=given, **changes)


def aimed(*goals, task=None, **changes):
    """A training with goals."""
    return train(RATE, task, goals=list(goals), **changes)


def two(key, hparams):
    """A function of two metrics."""
    return {"a": hparams["x"] + hparams["kind"].index, "b": hparams["y"]}


def asking(answer):
    """A search with a sampler whose ``ask`` gives an answer for ``n`` points."""
    own = jt.samplers.sobol()._replace(ask=lambda state, n: answer(state, n))
    return search(sampler=own)


def refining(refine):
    """A search whose second round begins in what a function makes of the first."""
    return search(rounds=2, refine=refine)


def ranged(**dimensions):
    """A training with the usual optimiser over some numbers."""
    return train(space=jt.Space(**dimensions))


def exchanged(**data):
    """A task of classification with other data."""
    return train(task=lambda: dataclasses.replace(classify()(), **data))


PAIRS = [("a", "min"), ("b", "min")]
MANY = dict.fromkeys([f"x{i}" for i in range(1001)], jt.uniform(0.0, 1.0))
HALVES = np.full((2, 3), 0.5, np.float32)
DECODED = {"x": [0.5, 0.5], "y": [0.1, 0.1], "kind": [0, 1]}
# what is refused where it used to pass, to hang or to fail deep inside
DOOR = {
    "space of nothing": (search(space={}), V, "at least one dimension"),
    "space too large": (search(space=MANY), V, "1001 dimensions.*more than 1000"),
    "space from numbers": (search(space={"x": 3}), V, "'x': got 3.*makers"),
    "replace by a number": (lambda: SPACE.replace(x=3), V, "'x': got 3.*makers"),
    "replace by the invalid": (
        lambda: SPACE.replace(x=jt.uniform(1, 0)),
        V,
        "dimension 'x': uniform needs low <= high",
    ),
    "replace by when": (
        lambda: SPACE.replace(x=jt.when(jt.uniform(0, 1), z=1)),
        V,
        "dimension 'x': when: there is no dimension 'z'",
    ),
    "static a text": (one(lambda: jt.choice(["a"], static="no")), V, "static.*'no'"),
    "keep a list": (lambda: SPACE.keep(["x"]), V, "keep: unknown dimension .'x'"),
    "get a list": (lambda: SPACE[["x"]], K, "unknown dimension"),
    "decode complex": (lambda: SPACE.decode(HALVES + 1j), V, "complex64.*real numb"),
    "decode text": (lambda: SPACE.decode(HALVES.astype(str)), V, "points.*real numb"),
    "decode ragged": (lambda: SPACE.decode([[0.5], [0.5, 0.5]]), V, "different length"),
    "encode a number": (lambda: SPACE.encode(3), V, "hparams must be a dict.*decode"),
    "encode past": (
        lambda: SPACE.encode(DECODED | {"kind": [0, 2]}),
        V,
        "kind has 2, which is no index of its 2 values.*from 0 to 1",
    ),
    "encode before": (lambda: SPACE.encode(DECODED | {"kind": [0, -1]}), V, "has -1"),
    "encode between": (
        lambda: SPACE.encode(DECODED | {"kind": [0, 0.5]}),
        V,
        "has 0.5",
    ),
    "encode text": (
        lambda: SPACE.encode(DECODED | {"kind": ["a", "b"]}),
        V,
        "encode: kind: got .*real numbers",
    ),
    "encode other rows": (
        lambda: SPACE.encode(DECODED | {"x": [0.5]}),
        V,
        r"y has shape \(2,\), and x has \(1,\)",
    ),
    "values half": (lambda: SPACE.values(DECODED, 0.5), V, "trial must be.*got 0.5"),
    "asks nothing": (asking(lambda state, n: None), V, "ask returned None. Return a p"),
    "asks fewer": (
        asking(lambda state, n: (state, np.zeros((n - 1, 3)))),
        V,
        r"shape \(7, 3\) for n=8.*Return \(8, 3\)",
    ),
    "asks outside": (
        asking(lambda state, n: (state, np.full((n, 3), 2.0))),
        V,
        r"ask returned 2.0 for x in row 0.*\[0, 1\)",
    ),
    "asks complex": (
        asking(lambda state, n: (state, np.full((n, 3), 0.5j))),
        V,
        "sampler: points: got.*complex128",
    ),
    "sampler not called": (
        search(sampler=jt.samplers.latin_hypercube),
        V,
        r"needs size. Use sampler=jaxtune.samplers.latin_hypercube\(size\)",
    ),
    "refine not called": (search(refine=jt.samplers.sobol), V, "refine: got.*zoom"),
    "refine a class": (search(refine=int), V, "refine: got.*zoom"),
    "refine of a space": (search(refine=lambda space: space), V, "refine: got.*zoom"),
    "refines to nothing": (
        refining(lambda s, p, c: None),
        V,
        "refine: its box: got No",
    ),
    "refines past": (
        refining(lambda s, p, c: s.replace(x=jt.uniform(-5.0, 5.0))),
        V,
        "'x' goes from -5.0 to 5.0, outside",
    ),
    "refines to others": (refining(lambda s, p, c: RATE), V, "dimensions learning_rat"),
    "refines and fixes": (
        refining(lambda s, p, c: s.keep("x")),
        V,
        "its box searches x, and it got one that searches x, y, kind",
    ),
    "zoom of nan": (
        lambda: jt.zoom()(SPACE, np.full((4, 3), NAN), np.arange(4.0)),
        V,
        "points have NaN in every row",
    ),
    "zoom of complex": (
        lambda: jt.zoom()(SPACE, HALVES, np.array([1j, 2])),
        V,
        "zoom: scores: got.*complex",
    ),
    "tiered for ever": (lambda: jt.tiered(SPACE, 99, 10**9), V, "cannot fill 10"),
    "stage of another": (
        search(space=jt.Schedule(SPACE, (jt.Stage(("z",), 8),)), trials=None),
        V,
        "searched has 'z', and the space searches x, y, kind",
    ),
    "schedule of no stage": (
        search(space=jt.Schedule(SPACE, ()), trials=None),
        V,
        r"stages must be a list \(1 or more\), each a Stage",
    ),
    "block huge": (search(block=10**9), V, "block: got 1000000000. Use at most 10485"),
    "plan block -1": (
        lambda: jt.plan(lambda key, h: h["x"], SPACE, trials=8, block=-1),
        V,
        "plan: block must be a whole number from 1 to 1048576, got -1",
    ),
    "plan block huge": (
        lambda: jt.plan(lambda key, h: h["x"], SPACE, trials=8, block=10**9),
        V,
        "plan: block must be",
    ),
    "resume block 0": (lambda: jt.resume("/no", block=0), V, "block must be.*got 0"),
    "resume callbacks": (
        lambda: jt.resume("/no", callbacks=[3]),
        V,
        "callbacks must be a list, each a Callback",
    ),
    "rerun a text": (lambda: jt.rerun("/no", "1"), V, "rerun: trial must be.*got '1'"),
    "rewrite a text": (search(rewrite="no"), V, "rewrite must be True or False.*'no'"),
    "verbose a text": (search(verbose="no"), V, "verbose must be.*got 'no'"),
    "a trial before": (lambda: found().trajectory(-1), I, "trial -1 is not in 0"),
    "epochs of no trial": (lambda: found().model_epochs(99), I, "trial 99 is not in 0"),
    "best_of nothing": (lambda: jt.analysis.best_of(found(), []), V, "counts must be"),
    "replay of a split": (
        lambda: jt.replay(found(), split="examples"),
        V,
        "split must be 'train', 'valid' or 'test', got 'examples'",
    ),
    "MLP of unknown outputs": (
        jt.models.MLP,
        V,
        "got None. It is the number of outputs: classes=1 for a regression",
    ),
    "MLP of no units": (
        lambda: jt.models.MLP(classes=3, max_units=0),
        V,
        "MLP: max_units must be a whole number from 1, got 0",
    ),
    "MLP of -1 layers": (
        lambda: jt.models.MLP(classes=3, max_layers=-1),
        V,
        "MLP: max_layers must be a whole number from 1, got -1",
    ),
    "rate below 0": (
        ranged(learning_rate=jt.uniform(-1.0, 1.0)),
        V,
        "learning_rate must be a number of at least 0, got -1.0",
    ),
    "rates below 0": (
        ranged(learning_rate=jt.choice([0.1, -0.1])),
        V,
        "learning_rate must be a number of at least 0, got -0.1",
    ),
    "momentum of 2": (
        ranged(momentum=jt.uniform(0.0, 2.0)),
        V,
        r"momentum must lie in \[0, 1\], got 2",
    ),
    "dropout of 1.5": (
        ranged(dropout=jt.uniform(0.0, 1.5)),
        V,
        r"dropout must lie in \[0, 1\], got 1.5",
    ),
    "shuffle a text": (
        classify(shuffle="no"),
        V,
        "shuffle must be True or False.*'no'",
    ),
    "shuffle of a task": (
        plain(shuffle="no"),
        V,
        "Task: shuffle must be True or False",
    ),
    "init of a task": (plain(init=3), V, "Task: init must be a function, got 3"),
    "metrics of a task": (
        plain(metrics=[("mse", "min")]),
        V,
        "metrics must be a tuple",
    ),
    "loss a number": (classify(loss=3), V, "loss must be a function, got 3"),
    "targets complex": (
        regress(train=(X, X[:, :3] + 1j)),
        V,
        r"train y.*complex64. Use numbers, such as the real",
    ),
    "data of tuples": (
        plain(train={"x": (1.0, 2.0), "y": (0.0, 1.0)}),
        V,
        r"train\['x'\]\[0\] is one value, .*numpy.asarray",
    ),
    "test of other targets": (
        regress(test=(X, X[:, :2])),
        V,
        r"test\['y'\] has rows of shape \(2,\), but train\['y'\] has \(3,\)",
    ),
    "test of other inputs": (
        classify(test=(X[:, :2], Y)),
        V,
        r"test\['x'\] has rows of shape \(2,\)",
    ),
    "label of 2**31": (
        train(task=classify(train=(X, changed(Y, 2**31)))),
        V,
        "2147483648",
    ),
    "data replaced by a pair": (
        exchanged(train=(X, Y)),
        V,
        r"train: got tuple.*train=\{'x': x, 'y': y\}",
    ),
    "augment of x": (
        classify(augment=lambda x: x),
        V,
        r"augment: the function takes \(x\). Use \(key, x\) or \(key, x, hparams\)",
    ),
    "preprocess of nothing": (
        classify(preprocess=lambda: X),
        V,
        r"preprocess: the function takes \(\). Use \(x\)",
    ),
    "optimizer of a rate": (
        classify(optimizer=lambda learning_rate: optax.sgd(learning_rate)),
        V,
        r"'learning_rate' gets all hyperparameters.*hparams\['learning_rate'\]",
    ),
    "optimizer by a point": (
        train(task=classify(optimizer=lambda hparams: optax.sgd(hparams.lr))),
        AttributeError,
        r"hparams.lr: hyperparameters are a dict. Use hparams\['lr'\]",
    ),
    "trial of Optuna": (
        lambda: jt.integrations.from_optuna_objective(lambda trial: trial.params["x"]),
        AttributeError,
        "trial: got .params.*suggest_float",
    ),
    "stream of None": (
        lambda: jt.data.stream(lambda epoch: None, examples=8),
        V,
        "source returned None. Return batches",
    ),
    "column of nothing": (
        lambda: jt.data.from_grain([{"x": 1.0, "y": 0}], inputs="z"),
        K,
        "inputs: no column 'z'. There are x, y",
    ),
}

# constraints and goals
GOALS = {
    "constraints a number": (limited(given=3), V, "constraints: got 3.*require"),
    "constraints a function": (
        limited(given=lambda h: True),
        V,
        "constraints: got the function.*jt.require",
    ),
    "constraints a pair": (limited(given=("<=", 3)), V, "constraints: got '<='.*list"),
    "limit of a number": (limited(given={3: ("<=", 3)}), V, "got the name 3"),
    "limit a number": (limited(given={"loss": 3}), V, "'loss' has 3. Use a pair"),
    "limit <": (limited(given={"loss": ("<", 3)}), V, r"has \('<', 3\).*'<=' or '>='"),
    "limit nan": (limited(given={"loss": ("<=", NAN)}), V, "bound nan.*finite"),
    "limit text": (limited(given={"loss": ("<=", "3")}), V, "bound '3'.*number"),
    "limit true": (limited(given={"loss": ("<=", True)}), V, "bound True.*number"),
    "limit of nothing": (
        limited(given={"los": ("<=", 3)}),
        V,
        "constraints: got 'los'. Use one of: accuracy, loss, parameters, flops",
    ),
    "limit of a hyperparameter": (
        limited(given={"learning_rate": ("<=", 0.1)}),
        V,
        "'learning_rate' is a hyperparameter.*jt.require",
    ),
    "limit that nothing meets": (
        limited(given={"parameters": ("<=", 3)}),
        V,
        r"parameters <= 3 holds for none of 64 trials.*which have \d+ to \d+",
    ),
    "size of a function": (
        search(constraints={"parameters": ("<=", 3)}),
        V,
        "a plain function has no 'parameters'.*dict",
    ),
    "size that is a metric": (
        named("flops", constraints={"flops": ("<=", 3)}),
        V,
        "'flops' is a size of the model and the name of a metric.*Rename",
    ),
    "require a number": (lambda: jt.require(3), V, "require: got 3.*function"),
    "require what is not there": (
        search(constraints=jt.require(lambda h: h["z"] > 0)),
        V,
        "reads 'z', and the space has x, y, kind",
    ),
    "require no bool": (
        search(constraints=jt.require(lambda h: h["x"])),
        V,
        "require: the function returned 0.*Return True or False",
    ),
    "require that raises": (
        search(constraints=jt.require(lambda h: h["kind"] < 3)),
        TypeError,
        "not supported",
    ),
    "require the impossible": (
        search(constraints=jt.require(lambda h: h["x"] > 2)),
        V,
        "0.00% of the space meets.*Require less",
    ),
    "goals a text": (train(goals="accuracy"), V, "goals: got 'accuracy'.*list"),
    "goals a pair": (train(goals=("loss", "min")), V, "goals: got .*list of names"),
    "one goal": (aimed("accuracy"), V, "Use two or more.*metric="),
    "no goals": (aimed(), V, "Use two or more"),
    "a goal twice": (aimed("loss", ("loss", "max")), V, "Use each name once"),
    "a goal that is a number": (aimed("loss", 3), V, "goals: got 3.*pair"),
    "a goal of another mode": (aimed("loss", ("accuracy", "up")), V, "has 'up'"),
    "a goal without a mode": (
        search(task=two, mode=None, goals=["a", "b"]),
        V,
        r"say whether 'a' is better.*\('a', 'min'\)",
    ),
    "a goal of nothing": (aimed("loss", ("f1", "max")), V, "got 'f1'. Use one of: acc"),
    "a goal that is a hyperparameter": (
        aimed("loss", ("learning_rate", "min")),
        V,
        "goals: 'learning_rate' is a hyperparameter",
    ),
    "goals of sizes alone": (aimed("parameters", "flops"), V, "known without training"),
    "goals of a scalar": (
        search(mode=None, goals=[("a", "min"), ("b", "min")]),
        V,
        "goals: got 'a'. Use one of: value. A plain function may return a dict",
    ),
    "goals and a metric": (
        aimed("accuracy", "loss", metric="loss"),
        V,
        "take the place of metric='loss'",
    ),
    "goals and a bound": (
        aimed("accuracy", "loss", epochs=9, scheduler=SH(bound=1.0)),
        V,
        "bound=1.0 adds standard errors to one score",
    ),
    "a dict without a metric": (search(task=two), V, "returns a, b. Say which"),
    "an empty dict": (search(task=lambda key, h: {}), V, "an empty dict"),
    "a dict of arrays": (
        search(task=lambda key, h: {"a": jnp.zeros(3)}, metric="a"),
        V,
        r"objective\['a'\] has shape \(3,\)",
    ),
    "a volume of one goal": (
        lambda: search()().hypervolume(),
        V,
        "the search has one goal. Use goals=",
    ),
    "a volume to another reference": (
        lambda: search(task=two, mode=None, goals=PAIRS)().hypervolume([1.0]),
        V,
        r"the reference is \[1.0\]. Give a finite number for each of a, b",
    ),
    "a volume to other goals": (
        lambda: search(task=two, mode=None, goals=PAIRS)().hypervolume({"c": 1.0}),
        V,
        "the reference has c, and the goals are a, b",
    ),
}
CASES = {
    # a space
    "no dimension": (jt.Space, V, "at least one dimension"),
    "no dimension but a number": (lambda: jt.Space(x=3.0), V, "'x'.*3.0"),
    "no identifier": (lambda: jt.Space(**{"a b": jt.uniform(0, 1)}), V, "a b.*letters"),
    "a keyword": (lambda: jt.Space(**{"lambda": jt.uniform(0, 1)}), V, "lambda"),
    "a reserved name": (lambda: jt.Space(score=jt.uniform(0, 1)), V, "score.*another"),
    "reversed": (one(lambda: jt.uniform(1, 0)), V, "'x'.*low <= high.*Swap"),
    "not a number": (one(lambda: jt.uniform("a", 1)), V, "'x'.*number for low.*'a'"),
    "nan": (one(lambda: jt.uniform(NAN, 1)), V, "'x'.*finite low"),
    "inf": (one(lambda: jt.uniform(0, INF)), V, "'x'.*finite high"),
    "past float32": (one(lambda: jt.uniform(0, 1e39)), V, "float32"),
    "log of 0": (one(lambda: jt.log_uniform(0.0, 1)), V, "low > 0.*uniform"),
    "log of less": (one(lambda: jt.log_uniform(-1, 1)), V, "low > 0, got low=-1"),
    "momentum 1": (one(lambda: jt.reverse_log_uniform(0.5, 1)), V, "high < 1.*0.999"),
    "nearly 1": (one(lambda: jt.reverse_log_uniform(0.5, 1 - 1e-9)), V, "float32"),
    "same in float32": (one(lambda: jt.uniform(1, 1 + 1e-9)), V, "same number"),
    "default outside": (one(lambda: jt.uniform(0, 1, default=2)), V, "default=2.*outs"),
    "default no number": (one(lambda: jt.uniform(0, 1, default="a")), V, "default"),
    "tier 0": (one(lambda: jt.uniform(0, 1, tier=0)), V, "tier of 1.*got 0"),
    "tier True": (one(lambda: jt.uniform(0, 1, tier=True)), V, "tier.*True"),
    "half an integer": (
        one(lambda: jt.integer(1.5, 3)),
        V,
        "whole number.*1.5.*uniform",
    ),
    "integer scale": (one(lambda: jt.integer(1, 3, scale="ln")), V, "'ln'.*'log'"),
    "log integer 0": (one(lambda: jt.integer(0, 3, scale="log")), V, "low >= 1"),
    "integers too many": (one(lambda: jt.integer(0, 10**7)), V, "power_of_two"),
    "power 12": (one(lambda: jt.power_of_two(12, 64)), V, "power of two.*12"),
    "power 0": (one(lambda: jt.power_of_two(0, 64)), V, "power of two.*got 0"),
    "power default": (
        one(lambda: jt.power_of_two(8, 64, default=24)),
        V,
        "default.*24",
    ),
    "choice of none": (one(lambda: jt.choice([])), V, "at least one value"),
    "choice of a string": (
        one(lambda: jt.choice("abc")),
        V,
        "list of values, got 'abc'",
    ),
    "choice twice": (one(lambda: jt.choice(["a", "a"])), V, "'a' twice"),
    "choice of lists": (one(lambda: jt.choice([[1], [2]])), V, "Use tuples"),
    "choice default": (one(lambda: jt.choice(["a"], default="b")), V, "'b' is not one"),
    "choice of bytes": (one(lambda: jt.choice(b"ab")), V, "list of values, got b'ab'"),
    "choice of a set": (
        one(lambda: jt.choice({"b", "a"})),
        V,
        r"no order.*Use a list: \['a', 'b'\]",
    ),
    "choice of a dict": (one(lambda: jt.choice({"a": 1})), V, r"list of its keys.*'a'"),
    "choice of nan": (
        one(lambda: jt.choice([NAN, 1.0])),
        V,
        "nan equals nothing.*None",
    ),
    "choice 1 and True": (one(lambda: jt.choice([1, True])), V, "1 and True.*equal in"),
    "choice 0 and False": (one(lambda: jt.choice([0, False])), V, "0 and False.*equal"),
    "choice 1 and 1.0": (one(lambda: jt.choice([1, 1.0])), V, "1 and 1.0.*equal in"),
    "choice default list": (one(lambda: jt.choice([1], default=[1])), V, "default=.1."),
    "ordinal of nan": (one(lambda: jt.ordinal([NAN, 1.0])), V, "nan equals nothing"),
    "ordinal of 2**31": (
        one(lambda: jt.ordinal([1, 2**31])),
        V,
        "2147483648 does not fit into the 32 bits.*2147483648.0",
    ),
    "ordinal rounded": (
        one(lambda: jt.ordinal([2**24 + 1, 0.5])),
        V,
        "16777217 among real numbers becomes 16777216",
    ),
    "ordinal True and 2": (one(lambda: jt.ordinal([True, 2])), V, "True.*Use 1"),
    "integer huge": (one(lambda: jt.integer(1, 10**400)), V, "at most"),
    "uniform huge": (one(lambda: jt.uniform(0, 10**400)), V, "finite high"),
    "ordinal twice": (one(lambda: jt.ordinal([1, 1])), V, "1 twice"),
    "ordinal in float32": (one(lambda: jt.ordinal([1.0, 1 + 1e-9])), V, "same number"),
    "fixed nan": (one(lambda: jt.fixed(NAN)), V, "'x'"),
    "fixed list": (one(lambda: jt.fixed([1])), V, "'x'.*tuples"),
    "when without": (one(lambda: jt.when(jt.uniform(0, 1))), V, "needs a condition"),
    "when unknown": (
        one(lambda: jt.when(jt.uniform(0, 1), z=1)),
        V,
        "no dimension 'z'",
    ),
    "when fixed": (one(lambda: jt.when(jt.fixed(1), z=1)), V, "searched dimension"),
    "when of a real": (
        lambda: jt.Space(a=jt.uniform(0, 1), b=jt.when(jt.uniform(0, 1), a=0.5)),
        V,
        "no list of values",
    ),
    "when no value": (
        lambda: jt.Space(a=jt.choice(["u"]), b=jt.when(jt.uniform(0, 1), a="v")),
        V,
        "'v' is not one of",
    ),
    "restrict unknown": (lambda: SPACE.restrict(z=(0, 1)), V, "unknown dimension 'z'"),
    "restrict wider": (lambda: SPACE.restrict(x=(-1, 1)), V, "'x'.*only shrink"),
    "restrict no pair": (lambda: SPACE.restrict(x=3), V, r"'x'.*\(low, high\)"),
    "restrict choice": (lambda: SPACE.restrict(kind=["c"]), V, "'c' is not one of"),
    "restrict by a string": (
        lambda: SPACE.restrict(kind="ab"),
        V,
        r"'kind'.*list of the choices to keep, got 'ab'. Use \['ab'\]",
    ),
    "restrict by a number": (lambda: SPACE.restrict(kind=3), V, "list of the choices"),
    "restrict by text": (lambda: SPACE.restrict(x="ab"), V, r"\(low, high\).*fixed"),
    "restrict by words": (lambda: SPACE.restrict(x=("a", "b")), V, "needs numbers"),
    "restrict by NaN": (lambda: SPACE.restrict(x=(0.1, NAN)), V, "only shrink"),
    "when of none": (
        lambda: jt.Space(a=jt.choice([1, 2]), b=jt.when(jt.uniform(0, 1), a=[])),
        V,
        "no value at all",
    ),
    "restrict to none": (lambda: SPACE.restrict(kind=[]), V, "at least one choice"),
    "keep none": (SPACE.keep, V, "at least one of"),
    "keep unknown": (lambda: SPACE.keep("z"), V, "unknown dimension 'z'"),
    "keep fixed": (lambda: SPACE.keep("x").keep("y"), V, "'y' is fixed"),
    "replace unknown": (lambda: SPACE.replace(z=jt.uniform(0, 1)), V, "'z'"),
    "get unknown": (lambda: SPACE["z"], K, "'z'.*has x, y"),
    "decode flat": (lambda: SPACE.decode(np.zeros(3)), V, r"shape \(3,\).*\(n, 3\)"),
    "decode columns": (lambda: SPACE.decode(np.zeros((2, 2))), V, "needs"),
    "decode 1": (
        lambda: SPACE.decode(np.ones((1, 3))),
        V,
        r"row 0 has x = 1.0.*\[0, 1",
    ),
    "decode nan": (lambda: SPACE.decode(np.full((1, 3), NAN)), V, "x = nan"),
    "encode missing": (lambda: SPACE.encode({"x": np.zeros(1)}), V, "value for 'y'"),
    "values past": (lambda: SPACE.values({"x": np.zeros(2)}, 2), I, "2 is not in 0"),
    "values before": (lambda: SPACE.values({"x": np.zeros(2)}, -1), I, "-1 is not in"),
    "preset": (lambda: jt.presets.standard(["lion"]), V, "adam.*lion"),
    "tiered budget": (lambda: jt.tiered(SPACE, 0), V, "budget: got 0"),
    "tiered too little": (lambda: jt.tiered(jt.presets.standard(), 5), V, "larger bud"),
    # samplers and zoom
    "sobol too many": (points(ask=2**22 + 1), V, "4194304 points.*uniform"),
    "latin 0": (lambda: jt.samplers.latin_hypercube(0), V, "latin_hypercube.*0"),
    "latin too many": (points(lambda: jt.samplers.latin_hypercube(3)), V, "3 points"),
    "grid 0": (lambda: jt.samplers.grid(0), V, "grid: points_per_dim.*0"),
    "grid of other size": (points(lambda: jt.samplers.grid([2, 2])), V, "grid"),
    "grid too many": (points(lambda: jt.samplers.grid(1)), V, "grid has 1 points"),
    "zoom top 1": (lambda: jt.zoom(top=1), V, "whole number from 2.*got 1"),
    "zoom top 0.0": (lambda: jt.zoom(top=0.0), V, "share in"),
    "zoom top text": (lambda: jt.zoom(top="8"), V, "a share in .0, 1., got '8'"),
    "zoom margin": (lambda: jt.zoom(margin=-1), V, "margin.*-1"),
    "zoom floor": (lambda: jt.zoom(floor=2), V, "floor.*got 2"),
    "zoom evidence": (lambda: jt.zoom(evidence=-0.1), V, "evidence.*-0.1"),
    "zoom within": (lambda: jt.zoom(within=(0, 1)), V, "within must be a Space"),
    "zoom within others": (zoomed(within=RATE), V, "x, y, kind, the space has learn"),
    "zoom within less": (
        zoomed(within=SPACE.restrict(x=(0, 0.5))),
        V,
        "'x' goes from 0.0 to 1.0, outs",
    ),
    "start no space": (search(start={"x": (0, 0.5)}), V, "start: got.*restrict"),
    "start others": (search(start=RATE), V, "start: it has the dimensions learning"),
    "start scale": (
        search(start=SPACE.replace(x=jt.log_uniform(0.1, 1.0))),
        V,
        "'x'.*log.*linear",
    ),
    "start larger": (
        search(start=SPACE.replace(x=jt.uniform(0.0, 2.0))),
        V,
        "'x' goes.*2.0, outside",
    ),
    "start choice": (
        search(space=SPACE.restrict(kind=["b"]), start=SPACE),
        V,
        "'kind' goes from a",
    ),
    "start fixes": (search(start=SPACE.keep("x")), V, "start: it searches x, the"),
    "zoom scores": (zoomed(scores=np.arange(3.0)), V, "do not match"),
    "zoom all nan": (zoomed(scores=np.full(4, NAN)), V, "two finite scores, got 0"),
    # analysis
    "edges top": (lambda: jt.analysis.edges(found(), top=0), V, "top must be a whole"),
    "edges share": (
        lambda: jt.analysis.edges(found(), top=1.5),
        V,
        "a share in .0, 1., got 1.5",
    ),
    "best_of 0": (
        lambda: jt.analysis.best_of(found(), [0]),
        V,
        "counts must be .*from 1, got .0.",
    ),
    "best_of round": (lambda: jt.analysis.best_of(found(), round=3), V, "round=3"),
    "noise of one seed": (lambda: jt.analysis.noise(found()), V, "one seed.*seeds=2"),
    "reevaluate seeds": (
        lambda: jt.analysis.reevaluate(found(), seeds=1),
        V,
        "seeds must be a whole number from 2, got 1",
    ),
    "importances of few": (
        lambda: jt.analysis.importances(found()),
        V,
        "8 trials have a score.*needs 20",
    ),
    "operations of a function": (
        lambda: jt.analysis.operations(found()),
        V,
        "no task whose training",
    ),
    "export tool": (
        lambda: jt.integrations.export(found(), "excel", "x"),
        V,
        "got 'excel'.*csv",
    ),
    # metrics
    "metric score": (
        named("score"),
        V,
        "metric has the name 'score'.*tables use trial.*Rename",
    ),
    "metric scores": (named("scores"), V, "metric has the name 'scores'"),
    "metric trial": (named("trial"), V, "metric has the name 'trial'"),
    "metric round": (named("round"), V, "metric has the name 'round'"),
    "metric status": (named("status"), V, "metric has the name 'status'"),
    "metric epochs": (named("epochs"), V, "metric has the name 'epochs'"),
    "metric score_12": (named("score_12"), V, "metric has the name 'score_12'"),
    "metric learning_rate": (
        named("learning_rate"),
        V,
        "'learning_rate' has the name of a hyperp",
    ),
    "metric 3": (
        plain(evaluate=lambda p, split, h: {3: jnp.sum(p["w"])}, metrics=((3, "min"),)),
        V,
        "name 3. Use a string",
    ),
    "dimension score_0": (
        search(
            space=jt.Space(score_0=jt.uniform(0, 1)),
            task=lambda key, h: h["score_0"],
            seeds=2,
        ),
        V,
        "dimension 'score_0'.*another",
    ),
    # schedulers
    "eta 1": (lambda: SH(eta=1), V, "eta.*1"),
    "eta text": (lambda: SH(eta="3"), V, "eta"),
    "no epochs to halve": (lambda: SH().plan(8, 1), V, "epochs"),
    "hyperband min": (lambda: HB(min_epochs=0), V, "min_epochs.*0"),
    "pbt interval": (lambda: PBT(interval=0), V, "interval.*from 1, got 0"),
    "pbt share": (lambda: PBT(share=0.9), V, r"share.*\[0, 0.5\], got 0.9"),
    "pbt of one": (lambda: PBT().plan(1, 20), V, "at least two trials"),
    # data and tasks
    "nan in x": (
        classify(train=(changed(X, NAN, (3, 1)), Y)),
        V,
        r"train.*row 3 has nan",
    ),
    "inf past float32": (
        classify(valid=(changed(X, 1e39, (3, 1)), Y)),
        V,
        "valid.*row 3",
    ),
    "label 3 of 3": (
        train(task=classify(train=(X, changed(Y, 3)))),
        V,
        "train y in row 3",
    ),
    "label -1": (
        classify(train=(X, changed(Y, -1))),
        V,
        "train y in row 3 is -1.*from 0",
    ),
    "labels real": (classify(train=(X, Y + 0.5)), V, "dtype float64.*integer labels"),
    "labels one-hot": (classify(train=(X, np.eye(3)[Y])), V, "not one-hot"),
    "labels fewer": (classify(train=(X, Y[:9])), V, "64 rows.*9|9 rows.*64"),
    "labels none": (classify(train=(X[:0], Y[:0])), V, "empty"),
    "no pair": (classify(train=X), V, r"train.*pair \(x, y\)"),
    "train None": (classify(train=None), V, "train.*None"),
    "folds zero": (folded(0), V, "folds: got 0.*from 2"),
    "folds one": (folded(1), V, "folds: got 1.*from 2"),
    "folds true": (folded(True), V, "folds: got True.*from 2"),
    "folds real": (folded(2.5), V, "folds: got 2.5.*from 2"),
    "folds text": (folded("five"), V, "folds: got 'five'.*pairs"),
    "folds many": (folded(65), V, "folds=65: train has 64 rows.*at most 64"),
    "folds object": (folded(object()), V, "folds: got <object.*KFold"),
    "folds empty": (folded([]), V, "folds: got no folds.*pairs"),
    "folds no pair": (folded([(range(9), range(9), 1)]), V, "fold 0 is no pair"),
    "folds of rows": (folded([np.arange(3)]), V, "fold 0 is no pair"),
    "folds shared": (
        folded([(range(40), range(39, 64))]),
        V,
        "fold 0 trains on row 39 and is scored on it.*apart",
    ),
    "folds outside": (
        folded([(range(40), [64])]),
        V,
        "valid rows of fold 0 name row 64.*0 to 63",
    ),
    "folds negative": (folded([([-1, 3], [4])]), V, "train rows.*name row -1"),
    "folds twice": (folded([([1, 2, 2], [4])]), V, "row 2 twice"),
    "folds real rows": (folded([([1.0, 2.0], [4])]), V, "train rows.*float64"),
    "folds no rows": (folded([([1, 2], [])]), V, "valid rows of fold 0.*some rows"),
    "folds small": (
        folded(16, batch_size=61),
        V,
        "batch_size=61 is larger than the training part of a fold, which has 60",
    ),
    "folds batch": (
        folded(2, space=BATCHES),
        V,
        "batch_size.*up to 64, but the training part of a fold has 32",
    ),
    "folds of a function": (search(folds=5), V, "folds: a plain function.*seeds=5"),
    "folds of a stream": (
        train(task=classify(train=STREAM), folds=2),
        V,
        "folds: a stream.*Use arrays",
    ),
    "groups few": (
        lambda: jt.folds(5, groups=[0, 1, 2, 0]),
        V,
        "3 groups for 5 folds.*at most 3",
    ),
    "groups table": (
        lambda: jt.folds(2, groups=X),
        V,
        r"groups have shape \(64, 4\)",
    ),
    "groups short": (
        folded(jt.folds(2, groups=np.arange(60))),
        V,
        "60 groups, and train has 64 rows",
    ),
    "groups count": (lambda: jt.folds(1, groups=Y), V, "folds: got 1.*from 2"),
    "plan folds": (
        lambda: jt.plan(classify(valid=None)(), RATE, trials=4, folds=1),
        V,
        "folds: got 1.*from 2",
    ),
    "valid None": (
        train(task=classify(valid=None)),
        V,
        r"valid: .*no rows.*valid=\(x, y\), or search with folds=5",
    ),
    "text": (classify(train=(X.astype(str), Y)), V, "dtype <U.*Use numbers"),
    "batch 0": (classify(batch_size=0), V, "batch_size.*got 0"),
    "batch 65 of 64": (
        train(task=classify(batch_size=65)),
        V,
        "batch_size=65.*64.*smaller",
    ),
    "batch a half": (classify(batch_size=0.5), V, "batch_size.*0.5"),
    "no model": (classify(model=3), V, "model: got 3.*Linen"),
    "targets": (train(task=regress(train=(X, X), valid=(X, X))), V, "targets.*same"),
    "target nan": (
        regress(train=(X, changed(X[:, :3], NAN, (3, 1)))),
        V,
        "row 3 has nan",
    ),
    "apply raises": (
        train(task=classify(model=(INIT, lambda params, x: x @ params["v"]))),
        K,
        "'v'",
    ),
    "outputs flat": (
        train(task=classify(model=(INIT, lambda params, x: (x @ params["w"])[:, 0]))),
        V,
        r"outputs have.*\(batch, classes\)",
    ),
    "loss a vector": (
        plain(loss=lambda params, batch, key, hparams: batch["x"] @ params["w"]),
        V,
        r"loss has shape \(16,\).*scalar",
    ),
    "loss whole": (
        plain(loss=lambda params, batch, key, hparams: jnp.int32(3)),
        V,
        "loss has dtype int32.*gradient",
    ),
    "loss None": (
        plain(loss=lambda params, batch, key, hparams: None),
        V,
        "loss is a NoneType",
    ),
    "loss complex": (
        plain(loss=lambda params, batch, key, hparams: jnp.complex64(1j)),
        V,
        "loss has dtype complex64",
    ),
    "metric a vector": (
        plain(evaluate=lambda params, split, hparams: {"mse": params["w"]}),
        V,
        r"metric 'mse' has shape \(4,\).*mean",
    ),
    "metric text": (
        plain(evaluate=lambda params, split, hparams: {"mse": "low"}),
        V,
        "metric 'mse' is a str",
    ),
    "metrics no dict": (
        plain(evaluate=lambda params, split, hparams: params["w"][0]),
        V,
        "evaluate.*dict",
    ),
    "metric missing": (
        plain(evaluate=lambda params, split, hparams: {"mae": params["w"][0]}),
        V,
        "metric: got 'mse'.*returns mae",
    ),
    "optimizer none": (
        plain(optimizer=lambda hparams: None),
        V,
        "the function returned NoneType. Return an optax transformation",
    ),
    "optimizer unread": (
        plain(optimizer=lambda hparams: optax.sgd(hparams["rate"])),
        K,
        "'rate' is needed.*has learning_rate",
    ),
    # search
    "key a number": (search(key=0), V, r"key: got 0.*jax.random.key\(0\)"),
    "key raw": (search(key=jax.random.PRNGKey(0)), V, "key"),
    "keys": (search(key=jax.random.split(KEY)), V, "array of keys.*one key"),
    "key rbg": (search(key=jax.random.key(0, impl="rbg")), V, "threefry"),
    "trials missing": (search(trials=None), V, "trials: say how many"),
    "trials 0": (search(trials=0), V, "trials: got 0"),
    "trials True": (search(trials=True), V, "trials: got True"),
    "trials half": (search(trials=2.5), V, "trials: got 2.5"),
    "rounds 0": (search(rounds=0), V, "rounds: got 0"),
    "rounds too many": (search(rounds=9), V, "trials=8 cannot fill rounds=9"),
    "seeds 0": (search(seeds=0), V, "seeds: got 0"),
    "block 0": (search(block=0), V, "block: got 0"),
    "programs 0": (search(programs=0), V, "programs: got 0"),
    "mode missing": (search(mode=None), V, "mode.*'max' or 'min'"),
    "mode other": (search(mode="up"), V, "'up'"),
    "metric of a function": (search(metric="loss"), V, "only its value"),
    "epochs of a function": (search(epochs=3), V, "not trained"),
    # the epoch that a trial is judged by
    "score a word": (train(score="first"), V, 'score: got .first.. Use "last", "best"'),
    "score zero": (train(score=0), V, "score: got 0. Use .*whole number from 1"),
    "score a bool": (train(score=True), V, "score: got True"),
    "score a share": (train(score=0.5), V, "score: got 0.5"),
    "score nothing": (train(score=None), V, "score: got None"),
    "score of too many": (train(score=3, epochs=2), V, "a training has 2 epochs"),
    "score of a function": (search(score="best"), V, "no epochs. Leave it out"),
    "history a number": (train(history=1), V, "history: got 1. Use True or False"),
    "history a word": (train(history="all"), V, "history: got 'all'"),
    "history of a function": (
        search(history=True),
        V,
        "history=True: a plain function",
    ),
    "history that was not kept": (lambda: search()().history, V, "kept none. Use jax"),
    "history to export": (
        lambda: jt.integrations.export(search()(), "history", "/no/such.csv"),
        V,
        "kept no history. Use jax",
    ),
    "metric best_epoch": (
        named("best_epoch", score="best"),
        V,
        "a metric has the name 'best_epoch'",
    ),
    "dimension best_epoch": (
        train(
            space=jt.Space(
                learning_rate=jt.log_uniform(0.1, 1.0), best_epoch=jt.uniform(0.0, 1.0)
            ),
            score="best",
        ),
        V,
        "dimension 'best_epoch': jaxtune's own tables use",
    ),
    "patience none": (lambda: jt.schedulers.patience(0), V, "epochs must be a whole"),
    "patience a word": (
        lambda: jt.schedulers.patience("5"),
        V,
        "epochs must be a whole",
    ),
    "patience no number": (
        lambda: jt.schedulers.patience(None),
        V,
        "epochs must be a wh",
    ),
    "patience interval": (
        lambda: jt.schedulers.patience(5, interval=0),
        V,
        "interval must be a whole number from 1, got 0",
    ),
    "patience min_delta": (
        lambda: jt.schedulers.patience(5, min_delta=-0.1),
        V,
        "min_delta must lie in",
    ),
    "patience min_delta nan": (
        lambda: jt.schedulers.patience(5, min_delta=NAN),
        V,
        "min_delta must lie in",
    ),
    "patience min_epochs": (
        lambda: jt.schedulers.patience(5, min_epochs=1.5),
        V,
        "min_epochs must be a whole",
    ),
    "patience without an end": (
        train(scheduler=jt.schedulers.patience(5), epochs=6),
        V,
        "a training of 6 epochs ends before a trial could stop.*Train longer",
    ),
    **GOALS,
    **DOOR,
    "scheduler of a function": (search(scheduler=SH()), V, "no epochs to stop at"),
    "scheduler a name": (search(scheduler="asha"), V, "no epochs to stop at"),
    "scheduler a number": (search(scheduler=3), V, "schedulers.hyperband"),
    "plan of no trials": (
        lambda: jt.plan(lambda key, h: h["x"], SPACE, trials=0),
        V,
        "plan: trials must be a whole number from 1, got 0",
    ),
    "plan of no space": (
        lambda: jt.plan(lambda key, h: h["x"], 3, trials=8),
        V,
        "space: got 3",
    ),
    "tiered no space": (lambda: jt.tiered([SPACE], 9), V, "space: got .*Use a Space"),
    "no task": (search(task=3), V, "task: got 3"),
    "nothing searched": (
        lambda: jt.tiered(jt.Space(x=jt.fixed(1)), 9),
        V,
        "nothing is searched",
    ),
    "returns a vector": (
        search(task=lambda key, hparams: jnp.zeros(3)),
        V,
        r"objective has shape \(3,\).*one scalar",
    ),
    "returns None": (search(task=lambda key, hparams: None), V, "objective is a NoneT"),
    "returns text": (search(task=lambda key, hparams: "a"), V, "objective is a str"),
    "returns complex": (
        search(task=lambda key, hparams: 1j * hparams["x"]),
        V,
        "dtype complex64",
    ),
    "raises": (search(task=raising), TypeError, "mine"),
    "reads another": (
        search(task=lambda key, hparams: hparams["z"]),
        K,
        "'z'.*has kind, x, y",
    ),
    "epochs missing": (train(epochs=None), V, "epochs: got None"),
    "epochs 0": (train(epochs=0), V, "epochs: got 0"),
    "unhashable": (
        search(task=Unhashable()),
        V,
        "Unhashable objects cannot be hashed.*frozen",
    ),
    "metric unknown": (train(metric="auc"), V, "'auc'.*accuracy, loss"),
    "mode of a task": (train(mode="best"), V, "'best'"),
    "too wide": (
        train(space=jt.Space(hidden_units=jt.integer(1, 9))),
        V,
        "'hidden_units'.*1 to 8.*larger",
    ),
    "batch of a real": (
        train(space=jt.Space(batch_size=jt.uniform(1, 9))),
        V,
        "'batch_size'.*whole numbers",
    ),
    "batch past data": (
        train(space=jt.Space(batch_size=jt.power_of_two(16, 128))),
        V,
        "'batch_size'.*up to 128.*64 examples",
    ),
    "name of a metric": (
        train(space=jt.Space(loss=jt.uniform(0, 1))),
        V,
        "'loss' is a metric",
    ),
    "executor a number": (search(executor=3), V, "executor: got 3.*executors"),
    "executor nought": (search(executor=0), V, "executor: got 0"),
    "executor not called": (
        search(executor=jt.executors.ray),
        V,
        r"got <function ray.*executors.ray\(\)",
    ),
    "ray address": (lambda: jt.executors.ray(6379), V, "address=6379.*host:port"),
    "ray no workers": (lambda: jt.executors.ray(workers=0), V, "workers=0.*from 1"),
    "ray no tries": (lambda: jt.executors.ray(tries=0), V, "tries=0.*from 1"),
    "ray workers there": (
        lambda: jt.executors.ray("auto", workers=2),
        V,
        "workers=2 is for a cluster that is started here",
    ),
    "ray half cores": (lambda: jt.executors.ray(cpus=1.5), V, "cpus=1.5.*fraction"),
    "ray no gpus": (lambda: jt.executors.ray(gpus=-1), V, "gpus=-1.*fraction"),
    "ray nothing": (lambda: jt.executors.ray(cpus=0), V, "needs a core or a GPU"),
    "pod alone": (
        search(executor=jt.executors.pod()),
        RuntimeError,
        "jax.distributed.initialize",
    ),
    "directory a number": (search(directory=3), V, "directory: got 3.*path"),
    "directory empty": (search(directory=""), V, "directory: got ''"),
    "resume nothing": (lambda: jt.resume("/no/such"), R, "/no/such is no directory"),
    "resume allow": (lambda: jt.resume("/no", allow=["data"]), V, "'data'.*version"),
    "resume allow text": (lambda: jt.resume("/no", allow="block"), V, "Use a list"),
    "load nothing": (lambda: jt.load("/no/such"), R, "/no/such is no directory"),
    "load a number": (lambda: jt.load(3), V, "directory: got 3"),
    "rerun nothing": (lambda: jt.rerun("/no/such", 0), R, "/no/such is no directory"),
    # the command line
    "no command": (command("fly"), SystemExit, "No such command 'fly'"),
    "show nothing": (
        command("show", "/no/such"),
        SystemExit,
        "/no/such is no directory",
    ),
    "show where": (command("show"), SystemExit, "Missing argument 'DIRECTORY'"),
    "resume where": (command("resume", "/no"), SystemExit, "/no is no directory"),
    "resume what": (
        command("resume", "/no", "--allow", "data"),
        SystemExit,
        "'data' is not one of 'version'",
    ),
    "rerun what": (command("rerun", "/no"), SystemExit, "Missing argument 'TRIAL'"),
    "rerun which": (command("rerun", "/no", "x"), SystemExit, "'x' is not a valid int"),
    "report nothing": (command("report", "/no"), SystemExit, "/no is no directory"),
    "task nowhere": (
        command("rerun", "/no", "1", "--task", "train.py"),
        SystemExit,
        "use FILE.py:NAME",
    ),
    "task no file": (
        command("rerun", "/no", "1", "--task", "none.py:task"),
        SystemExit,
        "none.py: there is no such file",
    ),
    # a run that grows
    "extend nothing": (lambda: jt.extend("/no", trials=4), R, "/no is no directory"),
    "extend no path": (lambda: jt.extend(3, trials=4), V, "directory: got 3"),
    "extend for a word": (
        lambda: jt.extend("/no", trials=4, stop="2h"),
        V,
        "stop: got '2h'",
    ),
    "extend the command": (
        command("extend", "/no", "--trials", "4"),
        SystemExit,
        "/no is no directory",
    ),
    # a reason to stop
    "stop a number": (search(stop=3), V, "stop: got 3.*jaxtune.stop.at"),
    "stop a maker": (search(stop=jt.stop.stalled), V, "stop: got.*stalled"),
    "stop a list of words": (search(stop=["2h"]), V, "'2h'"),
    "stop at a word": (lambda: jt.stop.at("a"), V, "at: got 'a'"),
    "stop at nan": (lambda: jt.stop.at(NAN), V, "at: got nan"),
    "stop after nothing": (lambda: jt.stop.after(0), V, "after: got 0.*'2h'"),
    "stop after words": (lambda: jt.stop.after("2 weeks"), V, "'2 weeks'.*seconds"),
    "stop after true": (lambda: jt.stop.after(True), V, "after: got True"),
    "stop after no round": (lambda: jt.stop.stalled(0), V, "rounds=0.*from 1"),
    # an earlier search
    "prior a number": (search(prior=3), V, "prior: got 3. Use a result, a run"),
    "prior no run": (search(prior="/no"), R, "/no is no directory"),
    "prior in a list": (search(prior=[None]), V, "prior: got None"),
    # known settings
    "first a dict": (search(first={"x": 0.5}), V, "list of dicts"),
    "first a word": (search(first="best"), V, "'best'.*'defaults'"),
    "first unknown": (search(first=[{"z": 1}]), V, r"first\[0\].*'z'.*x, y, kind"),
    "first outside": (search(first=[{}, {"x": 2}]), V, r"first\[1\].*'x'.*\[0.0, 1.0"),
    "first a string": (search(first=[{"x": "a"}]), V, "'a' is not a finite number"),
    "first a bool": (search(first=[{"x": True}]), V, "True is not a finite number"),
    "first nan": (search(first=[{"x": NAN}]), V, "nan is not a finite number"),
    "first no choice": (search(first=[{"kind": "c"}]), V, r"'c' is not one of \['a'"),
    "first too many": (
        search(first=[{"x": i / 9} for i in range(9)]),
        V,
        "9 settings do not fit into the 8 trials",
    ),
    "first twice": (search(first=[{"x": 0.5}, {}]), V, "same configuration as first"),
    "task no name": (
        command("resume", "/no", "--task", f"{__file__}:nothing"),
        SystemExit,
        "has no 'nothing'",
    ),
}


def check(call, error, words):
    """Fail unless a call raises an error of just this type, with these words."""
    assert not re.search(words, "of another matter"), "words that are always there"
    with pytest.raises(error, match=f"(?s){words}") as raised:
        call()
    assert type(raised.value) in (error if isinstance(error, tuple) else (error,))


@pytest.mark.parametrize("name", CASES)
def test_a_bad_input_is_named_with_the_way_out(name):
    check(*CASES[name])


@pytest.mark.parametrize(
    "row",
    [
        (lambda: None, V, "low <= high"),
        (lambda: int("a"), V, "low <= high"),
        (lambda: int("a"), K, "invalid literal"),
        (lambda: {}["a"], LookupError, "'a'"),
        (lambda: int("a"), V, "."),
    ],
    ids=["no error", "other words", "another type", "a type below", "any words"],
)
def test_a_row_that_does_not_hold_fails(row):
    with pytest.raises((AssertionError, KeyError, V, pytest.fail.Exception)):
        check(*row)


def test_every_row_is_run():
    """A name that is written twice would hide the first row."""
    source = ast.parse(Path(__file__).read_text())
    (table,) = (
        node.value
        for node in source.body
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", None) == "CASES"
    )
    written = [key.value for key in table.keys if key is not None]
    assert len(set(written)) == len(written)
    assert set(written) <= set(CASES)
    assert len(CASES) >= 400


def test_what_a_users_function_raises_says_when():
    with pytest.raises(TypeError) as raised:
        search(task=raising)()
    assert "nothing was trained" in "".join(raised.value.__notes__)
