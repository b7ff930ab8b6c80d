"""Classification and regression: labels, weights, losses, metrics, what stands before.

`tests/user_code/data.py` compares ways of writing with trainings by hand.
"""

import random
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import scipy.sparse

import jaxtune as jt
from jaxtune.tasks import check_data, measuring
from jaxtune.tasks.metrics_argument import read_metrics

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 48)
KEY = jax.random.key(0)
RATE = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
NONE = jt.Hparams({})
MASKED = np.ma.masked_array(X, X > 2)
MASKED_TARGETS = np.ma.masked_array(Y * 1.0, Y == 1)


def linear(outputs=3):
    def init(key, x):
        return 0.1 * jax.random.normal(key, (x.shape[-1], outputs))

    return init, lambda w, x: x @ w


def classify(model=None, x=X, y=Y, vx=None, vy=None, **own):
    vx, vy = x if vx is None else vx, y if vy is None else vy
    own = {"train": (x, y), "valid": (vx, vy), "batch_size": 16, **own}
    return jt.classification(linear() if model is None else model, **own)


def regress(y, model=None, **own):
    model = linear(1) if model is None else model
    own = {"train": (X, y), "valid": (X, y), "batch_size": 16, **own}
    return jt.regression(model, **own)


def search(task, space=RATE, **own):
    own = {"key": KEY, "trials": 2, "epochs": 1, "verbose": 0, **own}
    return jt.search(task, space, **own)


def scored(task, weights, split=None):
    split = task.valid if split is None else split
    found = task.evaluate(jnp.asarray(weights), {}, split, NONE)
    return {name: float(value) for name, value in found.items()}


W = np.asarray([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0] * 3])


LABELS = {
    "0 to 2": (Y, (0, 1, 2)),
    "1 to 3": (Y + 1, (1, 2, 3)),
    "gaps": (Y * 7 - 7, (-7, 0, 7)),
    "bytes": (np.asarray([b"a", b"b", b"c"])[Y], ("a", "b", "c")),
    "strings": (np.asarray(["a", "b", "c"])[Y], ("a", "b", "c")),
    "objects": (np.asarray(["a", "b", "c"], object)[Y], ("a", "b", "c")),
    "a list": (np.asarray(["a", "b", "c"])[Y].tolist(), ("a", "b", "c")),
    "unsigned": (Y.astype(np.uint64), (0, 1, 2)),
    "jax": (jnp.asarray(Y), (0, 1, 2)),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_of_any_kind_are_the_sorted_classes(name):
    labels, classes = LABELS[name]
    task = classify(y=labels)
    assert task.classes == classes
    assert scored(task, W) == scored(classify(), W)


def test_more_outputs_than_labels_count_from_0():
    """Labels 1 to 3 and four outputs: as it was before labels were looked up."""
    wide = np.hstack([np.zeros((4, 1)), W])
    task = classify(linear(4), y=Y + 1)
    logits = X @ wide
    each = -np.asarray(jax.nn.log_softmax(logits))[np.arange(48), Y + 1]
    np.testing.assert_allclose(scored(task, wide)["loss"], each.mean(), rtol=1e-5)


def test_a_label_of_exchanged_data_that_is_no_class_scores_nan():
    task = classify(y=Y * 2 + 1)
    other = {"x": task.valid["x"], "y": task.valid["y"].at[3].set(2)}
    assert np.isnan(scored(task, W, other)["loss"])
    assert np.isnan(scored(task, W, other)["accuracy"])


def test_integer_labels_keep_their_dtype_and_recipe():
    mlp = jt.models.MLP(classes=3, max_units=8)
    assert classify(mlp).recipe is not None
    assert classify(mlp, y=Y.astype(np.uint8)).train["y"].dtype == jnp.uint8
    # a directory keeps numbers, and what they stand for if they are no places
    assert "labels" not in dict(classify(mlp).recipe.arguments)
    for labels in ((1, 2, 3), ("a", "b", "c")):
        recipe = classify(mlp, y=np.asarray(labels)[Y]).recipe
        assert dict(recipe.arguments)["labels"] == labels
    assert classify(mlp, class_weight="balanced").recipe is None
    assert classify(mlp, augment=lambda key, x: x).recipe is None
    assert classify(mlp, metrics={"f": lambda outputs, y: 0.0}).recipe is None


def test_a_run_of_weighted_examples_is_rebuilt_from_its_directory(tmp_path):
    mlp = jt.models.MLP(classes=3, max_units=8)
    weights = np.linspace(0.1, 3.0, 48)
    part = (X[:20], Y[:20], weights[:20])
    task = classify(mlp, train=(X, Y, weights), valid=part, test=part)
    found = search(task, directory=tmp_path / "run")
    rebuilt = jt.load(tmp_path / "run")
    assert rebuilt.test() == found.test()
    assert jt.rerun(tmp_path / "run", 1).same


def test_weights_of_two_are_rows_that_occur_twice():
    weights = RNG.integers(1, 3, 48)
    rows = np.repeat(np.arange(48), weights)
    for make, model, y in ((jt.classification, linear(), Y), (jt.regression, None, X)):
        model = linear(4) if model is None else model
        own = {"batch_size": 16, "train": (X, y)}
        once = make(model, valid=(X, y, weights), **own)
        twice = make(model, valid=(X[rows], y[rows]), **own)
        w = W if y is Y else np.eye(4) * 0.5
        for name, value in scored(twice, w).items():
            np.testing.assert_allclose(scored(once, w)[name], value, rtol=1e-5)


def test_a_metric_with_weights_gets_them():
    def right(outputs, y, weights):
        return jnp.sum(weights * (jnp.argmax(outputs, 1) == y)) / jnp.sum(weights)

    own = {"metrics": {"right": right}}
    weighted = scored(classify(valid=(X, Y, np.arange(48)), **own), W)
    assert weighted["right"] == pytest.approx(weighted["accuracy"], rel=1e-5)
    plain = scored(classify(**own), W)
    assert plain["right"] == pytest.approx(plain["accuracy"], rel=1e-5)
    assert plain["right"] != pytest.approx(weighted["right"], rel=1e-5)


def rank(outputs, y):
    """A metric that is no mean over examples."""
    return jnp.max(outputs[:, 0]) - jnp.median(outputs[:, 1]) + jnp.sum(y)


def per_example(outputs, y):
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y)


def per_batch(outputs, y):
    return jnp.sqrt(jnp.mean(per_example(outputs, y)))


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        (None, None),
        (per_example, None),
        (per_batch, None),
        (None, np.arange(1, 49)),
        (per_example, np.arange(1, 49)),
    ],
)
def test_a_metric_sees_the_whole_split_whatever_the_chunks(loss, weights, monkeypatch):
    split = (X, Y) if weights is None else (X, Y, weights)
    metric = rank if weights is None else lambda o, y, weights: rank(o, y) * weights[5]
    task = classify(valid=split, loss=loss, metrics={"rank": metric})
    whole = scored(task, W)
    for chunk in (7, 16, 47):
        monkeypatch.setattr(measuring, "CHUNK", chunk)
        assert scored(task, W) == pytest.approx(whole, rel=1e-5)


def test_a_lane_without_numbers_has_no_metrics_of_the_user():
    task = classify(metrics={"ones": lambda outputs, y: jnp.ones(())})
    assert scored(task, W)["ones"] == 1
    assert np.isnan(scored(task, W * np.nan)["ones"])


def test_augment_is_for_training_and_preprocess_for_all():
    seen = []

    def doubled(x):
        seen.append("preprocess")
        return 2 * x

    def shifted(key, x):
        seen.append("augment")
        return x + 1

    task = classify(augment=shifted, preprocess=doubled)
    batch = jax.tree.map(lambda a: a[:16], task.train)
    seen.clear()
    loss, _ = task.loss(jnp.asarray(W), {}, batch, KEY, NONE)
    assert seen == ["preprocess", "augment"]
    bare = classify()
    moved = {"x": 2 * batch["x"] + 1, "y": batch["y"]}
    np.testing.assert_allclose(loss, bare.loss(jnp.asarray(W), {}, moved, KEY, NONE)[0])
    seen.clear()
    assert scored(task, W) == pytest.approx(scored(bare, 2 * W), rel=1e-5)
    assert seen == ["preprocess"]


def test_functions_get_hyperparameters_only_if_they_ask():
    def three(key, x, strength):
        return x * strength["scale"]

    def named(key, x, *, hparams):
        return x * hparams["scale"]

    def default(key, x, scale=5.0):
        return x * scale

    hparams = jt.Hparams({"scale": 3.0})
    for function, factor in ((three, 3), (named, 3), (default, 5)):
        inputs = classify(augment=function)
        batch = jax.tree.map(lambda a: a[:16], inputs.train)
        loss, _ = inputs.loss(jnp.asarray(W), {}, batch, KEY, hparams)
        scaled = classify().loss(jnp.asarray(W * factor), {}, batch, KEY, NONE)[0]
        np.testing.assert_allclose(loss, scaled, rtol=1e-6)


def test_equal_models_and_functions_share_what_was_compiled():
    def make(augment):
        return classify(jt.models.MLP(classes=3, max_units=8), augment=augment)

    def augment(key, x):
        return x

    first, second = make(augment), make(augment)
    assert (first.init, first.loss) == (second.init, second.loss)
    assert first.loss != make(lambda key, x: x).loss
    assert first.loss != make(None).loss


def test_data_on_the_device_are_not_held_twice():
    x, y = jnp.asarray(X), jnp.asarray(Y)
    task = classify(x=x, y=y)
    assert task.train["x"] is x
    assert task.train["y"] is y
    again = check_data(task)
    assert again.train["x"] is x
    assert classify(x=(X > 0).astype(np.uint8)).train["x"].dtype == jnp.uint8


def aligned(array):
    """The array at an address where JAX on a CPU could share the memory of NumPy."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int32])
def test_arrays_that_change_later_do_not_change_the_task(dtype):
    x = aligned((X > 0).astype(dtype))
    task = classify(x=x)
    x[:] = 7
    assert int(task.train["x"].max()) == 1


def test_modes_of_metrics_follow_from_their_names_or_are_given():
    f = max
    given = {"auc": f, "log_loss": f, "rmse": f, "lossless": f, "cost": (f, "max")}
    _, modes = read_metrics(given | {"depth": (f, "min")}, ())
    assert modes == (
        ("auc", "max"),
        ("log_loss", "min"),
        ("rmse", "min"),
        ("lossless", "max"),
        ("cost", "max"),
        ("depth", "min"),
    )


def test_a_search_by_a_metric_of_the_user_takes_its_mode():
    size = {"size": (lambda outputs, y: jnp.mean(outputs**2), "min")}
    found = search(classify(metrics=size), metric="size", trials=4)
    assert found.best.score == found.trials["size"].min()
    first = search(regress(X[:, 0], loss=lambda outputs, y: (outputs[:, 0] - y) ** 2))
    np.testing.assert_allclose(first.trials["score"], first.trials["mse"], rtol=1e-6)


SIZES = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.1), batch_size=jt.power_of_two(8, 16)
)
STATIC = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 0.1),
    batch_size=jt.power_of_two(8, 16, static=True),
)


def root_of_mean_square(outputs, y):
    return jnp.sqrt(jnp.mean((outputs[:, 0] - y) ** 2))


def squares(outputs, y):
    return (outputs[:, 0] - y) ** 2


@pytest.mark.parametrize("stream", [False, True])
def test_one_loss_for_a_batch_that_is_computed_in_parts_gives_a_warning(stream):
    train = X, X[:, 0]
    if stream:
        rows = train
        train = jt.data.stream(lambda epoch: [rows], examples=48, rows=48)
    task = regress(X[:, 0], loss=root_of_mean_square, train=train)
    with pytest.warns(UserWarning, match="for 8 example.*one number for each"):
        search(task, SIZES)


@pytest.mark.parametrize(
    ("loss", "space"),
    [(squares, SIZES), (None, SIZES), (root_of_mean_square, STATIC)],
)
def test_a_loss_that_may_be_computed_in_parts_gives_no_warning(loss, space):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(regress(X[:, 0], loss=loss), space)


def host(outputs, y):
    from sklearn.metrics import balanced_accuracy_score

    return balanced_accuracy_score(y, outputs.argmax(1))


def test_scikit_learn_measures_through_a_callback():
    def balanced(outputs, y):
        def on_host(outputs, y):
            return np.float32(host(np.asarray(outputs), np.asarray(y)))

        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(on_host, shape, outputs, y, vmap_method="sequential")

    task = classify(metrics={"balanced": balanced})
    expected = host(X @ W, Y)
    assert scored(task, W)["balanced"] == pytest.approx(expected, rel=1e-6)
    assert search(task, metric="balanced").best.score <= 1


def two(w, x):
    return x @ w, x


def test_labels_of_a_small_type_may_be_few():
    """Other splits may have labels that the type of one does not hold."""
    y = np.arange(len(X)) % 2
    task = jt.classification(
        linear(3),
        train=(X, y.astype(np.int8)),
        valid=(X, np.where(y, 200, 0)),
        batch_size=16,
    )
    assert np.isfinite(scored(task, jnp.zeros((4, 3)))["loss"])


def test_outputs_may_hold_a_python_number():
    task = jt.regression(
        (linear(1)[0], lambda w, x: (x @ w, 0.5)),
        train=(X, X[:, 0]),
        valid=(X, X[:, 0]),
        batch_size=16,
        loss=lambda outputs, y: outputs[1] * (outputs[0][:, 0] - y) ** 2,
    )
    expected = np.mean(0.5 * (X @ W[:, :1] - X[:, :1]) ** 2)
    found = scored(task, jnp.asarray(W[:, :1]))["loss"]
    assert found == pytest.approx(float(expected), rel=1e-5)


def mean_square(outputs, y):
    return jnp.mean((outputs - y) ** 2)


flat = (linear(1)[0], lambda w, x: (x @ w)[:, 0])
named = (linear(1)[0], lambda w, x: {"mean": x @ w, "spread": x @ w})


SPARSE = scipy.sparse.coo_array(([1.0], ([0], [0])), shape=(10**6, 10**6))
F = linear()[0]
REFUSED = {
    "masked": (lambda: classify(x=MASKED), "masked values, the first in row"),
    "masked labels": (lambda: classify(y=np.ma.masked_array(Y, Y == 1)), "masked"),
    "masked task": (
        lambda: check_data(jt.Task(F, F, F, train=MASKED, valid=X)),
        "train has .* masked",
    ),
    "masked targets": (lambda: regress(MASKED_TARGETS), "masked"),
    "dates": (lambda: regress(np.datetime64("2020") + np.arange(48)), "days: .dates"),
    "spans": (lambda: regress(np.arange(48).astype("m8[s]")), "spans / "),
    "digits": (lambda: regress(Y.astype(str)), "astype.float"),
    "digits in objects": (lambda: regress(Y.astype(str).astype(object)), "astype"),
    "complex": (lambda: regress(Y + 1j), "real and the imaginary"),
    "an id": (lambda: classify(x=2.0**40 + np.arange(48)[:, None]), "tell 1 apart"),
    "an id as float": (lambda: regress(1.7e9 + np.arange(48.0)), "48 different"),
    "a sparse matrix too large": (
        lambda: classify(x=SPARSE),
        "GiB as an array. Use jaxtune.data.stream",
    ),
    "ragged": (lambda: classify(x=[[1, 2], [3]] * 24), "rows differ in their shapes"),
    "mixed labels": (lambda: classify(y=["a", 1] * 24), "int, str"),
    "missing label": (lambda: classify(y=["a", "b", None] * 16), "row 2 has None"),
    "labels of two kinds": (lambda: classify(vy=["a"] * 48), "integers, but valid y"),
    "another width": (lambda: classify(vx=X[:, :2]), r"\(2,\).*train.*\(4,\)"),
    "another dtype": (lambda: classify(vx=X.astype(int)), "integers.*real numbers"),
    "another tree": (
        lambda: classify(x={"a": X}, vx={"b": X}, model=(F, two)),
        r"x has \['b'\], but x of train has \['a'\]",
    ),
    "a dict for MLP": (
        lambda: classify(jt.models.MLP(classes=3), x={"a": X}),
        "MLP takes one array",
    ),
    "rows of inputs": (lambda: classify(x={"a": X, "b": X[:9]}), "9 rows and"),
    "no array": (lambda: classify(x=3.0), "several arrays"),
    "metric of a column": (lambda: classify(metrics={"score": max}), "'score' already"),
    "metric name": (lambda: classify(metrics={"loss": max}), "'loss' already"),
    "metric mode": (lambda: classify(metrics={"f": (max, "up")}), "'max' or 'min'"),
    "metric list": (lambda: classify(metrics=[max]), "Use a dict"),
    "class weight": (lambda: classify(class_weight="even"), "'balanced'"),
    "class weight of none": (lambda: classify(class_weight={9: 1.0}), "9 is none of"),
    "class weight below 0": (lambda: classify(class_weight={0: -1}), "0 has -1"),
    "weights below 0": (lambda: classify(train=(X, Y, Y - 1)), "from -1 to 1"),
    "weights of 0": (lambda: classify(train=(X, Y, Y * 0)), "all weights are 0"),
    "weights in two axes": (lambda: classify(train=(X, Y, X)), "one number for each"),
    "four parts": (lambda: classify(train=(X, Y, Y, Y)), "tuple of 4"),
    "a column for pandas": (
        lambda: jt.data.from_pandas(
            pd.DataFrame({"id": 2**40 + np.arange(9), "y": range(9)}), "y"
        ),
        "column 'id': row 0 has 1099511627776",
    ),
    "a float column for pandas": (
        lambda: jt.data.from_pandas(
            pd.DataFrame({"id": 2.0**40 + np.arange(9), "y": range(9)}), "y"
        ),
        "column 'id' has 9 different values, of which float32 can tell 1",
    ),
    "missing values of pandas": (
        lambda: classify(x=pd.DataFrame({"a": [1.0, None] * 24})),
        r"train\['x'\]: column 'a' misses 24 of 48",
    ),
}
REFUSED_IN_A_SEARCH = {
    "a tuple of outputs": (lambda: classify((F, two)), "tuple of 2.*loss= and metrics"),
    "a loss of its own": (
        lambda: classify((F, lambda w, x: {"logits": x @ w, "loss": x})),
        "logits, loss",
    ),
    "loss of pairs": (
        lambda: regress(X[:, 0], loss=lambda outputs, y: jnp.mean((outputs - y) ** 2)),
        r"loss combines outputs of shape \(16, 1\) .* Use outputs\[..., 0\]",
    ),
    "metric of pairs": (
        lambda: regress(X[:, 0], metrics={"r": lambda o, y: jnp.mean((o - y) ** 2)}),
        "'r' combines",
    ),
    "loss of hyperparameters": (
        lambda: classify(loss=lambda outputs, y, hparams: hparams["x"]),
        r"loss: it gets \(outputs, y\)",
    ),
    "loss of pairs of a row": (
        lambda: regress(X[:, :1], model=flat, loss=mean_square),
        r"loss combines outputs of shape \(16,\) with y of shape \(16, 1\).* y\[",
    ),
    "loss of pairs in a dict": (
        lambda: regress(
            X[:, 0], model=named, loss=lambda o, y: mean_square(o["mean"], y)
        ),
        r"outputs of shape \(16, 1\) with y of shape \(16,\)",
    ),
    "jitted loss of pairs in a tuple": (
        lambda: regress(
            X[:, 0],
            model=(linear(1)[0], two),
            loss=jax.jit(lambda o, y: jnp.abs(o[0] - y).mean()),
        ),
        r"outputs of shape \(16, 1\)",
    ),
    "metric of pairs with weights": (
        lambda: regress(
            X[:, 0], metrics={"r": lambda o, y, weights: mean_square(o, y)}
        ),
        "'r' combines",
    ),
    "loss of a matrix": (
        lambda: classify(loss=lambda outputs, y: outputs**2),
        r"loss: got shape \(16, 3\)",
    ),
    "weights and one number": (
        lambda: classify(loss=per_batch, train=(X, Y, Y + 1)),
        "weights belong to examples",
    ),
    "metric of examples": (lambda: classify(metrics={"f": per_example}), "whole split"),
    "metric without weights": (
        lambda: classify(metrics={"f": rank}, valid=(X, Y, Y + 1)),
        r"\(outputs, y, weights\)",
    ),
    "host code": (lambda: classify(metrics={"f": host}), "'f' looks .*pure_callback"),
    "a mask": (
        lambda: classify(metrics={"f": lambda o, y: o[y == 1].mean()}),
        "jnp.where",
    ),
    "numpy in augment": (
        lambda: classify(augment=lambda key, x: x + np.random.rand()),  # noqa: NPY002
        "augment: it draws from numpy.random",
    ),
    "random in augment": (
        lambda: classify(augment=lambda key, x: x + random.random()),
        "augment: it draws",
    ),
    "numpy in preprocess": (
        lambda: classify(preprocess=lambda x: np.asarray(x) / 2),
        "preprocess looks",
    ),
    "a branch": (
        lambda: classify(loss=lambda o, y: o.sum() if y[0] else o.mean()),
        "loss looks",
    ),
    "a crop in training": (
        lambda: classify(augment=lambda key, x: x[:, :2]),
        r"\(16, 4\) and returned \(16, 2\)",
    ),
    "three classes and one logit": (lambda: classify(linear(1)), "one number for each"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("name", REFUSED_IN_A_SEARCH)
def test_what_has_no_meaning_is_refused_when_it_is_traced(name):
    call, words = REFUSED_IN_A_SEARCH[name]
    with pytest.raises(ValueError, match=f"(?s){words}"):
        search(call())


def test_a_stream_with_a_label_unknown_at_the_start_is_refused():
    def source(epoch):
        yield X[:24], np.asarray(["a", "b"])[Y[:24] % 2]
        yield X[24:], np.asarray(["a", "b", "new"])[Y[24:]]

    train = jt.data.stream(source, examples=48, rows=24)
    task = classify(linear(2), train=train, valid=(X[:2], ["a", "b"]))
    with pytest.raises(ValueError, match=r"'new', but those in valid .* 'a', 'b'"):
        search(task)


class Softmax(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.softmax(nn.Dense(3)(x))


def by_hand(w, x):
    powers = jnp.exp(x @ w)
    return powers / jnp.sum(powers, -1, keepdims=True)


def nll(outputs, y):
    return -jnp.log(jnp.take_along_axis(outputs, y[:, None], 1))[:, 0]


def attention(w, x):
    return (jax.nn.softmax(x * 2.0) * x) @ w


PROBABILITIES = {
    "Flax": lambda: classify(Softmax()),
    "by hand": lambda: classify((F, by_hand)),
    "in bfloat16": lambda: classify((F, by_hand), precision="bfloat16"),
    "sigmoid": lambda: classify(
        (linear(1)[0], lambda w, x: jax.nn.sigmoid(x @ w)), y=Y > 0
    ),
    "in a dict": lambda: classify((F, lambda w, x: {"logits": by_hand(w, x)})),
}
LOGITS = {
    "logits": classify,
    "log_softmax": lambda: classify((F, lambda w, x: jax.nn.log_softmax(x @ w))),
    "attention": lambda: classify((F, attention)),
    "loss of probabilities": lambda: classify(Softmax(), loss=nll),
    "one logit": lambda: classify(linear(1), y=Y > 0),
    "regression": lambda: regress(X[:, :3], (F, by_hand)),
}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_under_the_cross_entropy_give_a_warning(name):
    with pytest.warns(UserWarning, match="take logits"):
        search(PROBABILITIES[name]())


@pytest.mark.parametrize("name", LOGITS)
def test_logits_give_no_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search(LOGITS[name]())


@pytest.mark.parametrize("chunk", [20, 2048])
def test_probabilities_are_found_in_every_form_of_evaluation(chunk, monkeypatch):
    monkeypatch.setattr(measuring, "CHUNK", chunk)
    with pytest.warns(UserWarning, match="take logits"):
        search(PROBABILITIES["by hand"]())


FLAT = (
    lambda key, x: F(key, x.reshape(len(x), -1)),
    lambda w, x: x.reshape(len(x), -1) @ w,
)
PIXELS = RNG.integers(0, 256, (48, 8, 8))
IMAGES = {
    "bytes": (PIXELS.astype(np.uint8), True),
    "floats": (PIXELS.astype(np.float32), True),
    "flat floats": (PIXELS.reshape(48, 64) * 1.0, True),
    "scaled": (PIXELS / 255.0, False),
    "flat bytes, perhaps text": (PIXELS.reshape(48, 64).astype(np.uint8), False),
    "numbers of words": (PIXELS.reshape(48, 64), False),
    "a small table of whole numbers": (PIXELS[:, :3, 0] * 1.0, False),
    "signed": (PIXELS - 128.0, False),
    "no whole numbers": (PIXELS * 0.99, False),
}


@pytest.mark.parametrize("name", IMAGES)
def test_unscaled_images_give_a_warning(name):
    x, warned = IMAGES[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classify(FLAT, x=x)
        classify(FLAT, x=x, preprocess=lambda x: x / 255)
    messages = [str(one.message) for one in caught]
    assert ["preprocess=lambda x: x / 255" in m for m in messages] == [True] * warned


def test_a_batch_of_a_stream_may_have_no_weight():
    def source(epoch):
        yield X[:24], Y[:24], np.ones(24)
        yield X[24:], Y[24:], np.zeros(24)

    train = jt.data.stream(source, examples=48, rows=24)
    assert np.isfinite(search(classify(train=train, valid=(X, Y))).best.score)


def test_the_contract_of_a_task_with_everything():
    task = classify(
        train=(X, Y, np.arange(1, 49)),
        class_weight={0: 2.0},
        loss=per_example,
        metrics={"rank": rank},
        preprocess=lambda x: x / 2,
        augment=lambda key, x: x + jax.random.normal(key, x.shape),
    )
    jt.testing.check_task(task, RATE)
