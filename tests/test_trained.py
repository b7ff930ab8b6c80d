"""The model of a trial: what the search trained, handed over, saved and loaded."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest
from click.testing import CliRunner
from conftest import digits
from flax import nnx

import jaxtune as jt
from jaxtune.cli import main
from jaxtune.programs import block as block_program
from jaxtune.trained.parts import arrays_of

X, Y = digits(360)
DATA = {"train": (X[:200], Y[:200]), "valid": (X[200:280], Y[200:280])}
TEST = (X[280:], Y[280:])
KEY = jax.random.key(3)


def task(model=None, **more):
    model = model or jt.models.MLP(classes=10, max_units=24, max_layers=3, norm="batch")
    return jt.classification(model, **DATA, test=TEST, **more)


SPACE = jt.Space(
    learning_rate=jt.log_uniform(1e-2, 0.5),
    hidden_units=jt.integer(4, 24),
    layers=jt.integer(1, 3),
    activation=jt.choice(["relu", "tanh"]),
)


@pytest.fixture(scope="module")
def found():
    return jt.search(task(), SPACE, key=KEY, trials=6, epochs=2, seeds=2, verbose=0)


def plain(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def leaves_equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(plain(a), plain(b)) for a, b in pairs)


def is_score(score, guess, y):
    """Whether an accuracy is the share of labels that were guessed."""
    return round(float(score) * len(y), 3) == (np.asarray(guess) == y).sum()


def test_its_scores_and_predictions_are_those_of_the_search(found):
    x, y = DATA["valid"]
    for trial in range(6):
        for seed in range(2):
            model = found.train(trial, seed=seed)
            score = found.trials.scores[trial, seed]
            assert np.float32(model.metrics["accuracy"]) == score
            assert is_score(score, model.predict(x), y)


def test_its_parameters_are_those_of_the_block_to_the_bit(found):
    """The programs of a block, called by hand at the search's width."""
    workload, trial = found.setup.workload, found.best.trial
    model = found.train(trial, seed=1)
    static = model.setting.static
    padded = dict(static.values)
    for bucket in workload.layout.buckets:
        size = padded[bucket.field]
        padded[bucket.field] = next(top for top in bucket.tops if top >= size)
    static = static._replace(values=tuple(padded.items()))
    ones = np.ones(workload.width, np.uint32)
    block = block_program.Block(
        trial * ones,
        ones,
        {n: np.repeat(v, len(ones)) for n, v in model.setting.traced.items()},
    )
    state = block_program.start(workload.task, KEY, block, static)
    state = block_program.advance(workload.task, KEY, block, state, 2, static)
    units = model.hparams["hidden_units"]
    kernel = state.params["hidden_0"]["kernel"][0]
    assert np.array_equal(kernel[:, :units], model.params["hidden_0"]["kernel"])
    assert not kernel[:, units:].any()


def test_it_has_no_padding(found):
    for trial in range(6):
        model = found.train(trial)
        units, layers = (model.hparams[n] for n in ("hidden_units", "layers"))
        shapes = jax.tree.map(jnp.shape, model.params)
        wanted = {
            f"hidden_{i}": {"kernel": (units if i else 64, units), "bias": (units,)}
            for i in range(layers)
        }
        wanted["output"] = {"kernel": (units, 10), "bias": (10,)}
        assert {n: shapes[n] for n in wanted} == wanted
        assert set(shapes) - set(wanted) == {
            f"MaskedBatchNorm_{i}" for i in range(layers)
        }
        sizes = [np.prod(s) for name in wanted for s in wanted[name].values()]
        assert model.parameters == sum(sizes) + 2 * layers * units


def test_the_network_without_padding_computes_the_same(found):
    """A plain network of the trial's size, in NumPy, with the model's parameters."""
    for trial in range(6):
        model = found.train(trial)
        x = X[280:].reshape(-1, 64).astype(np.float64)
        act = {"relu": lambda a: np.maximum(a, 0), "tanh": np.tanh}
        for i in range(model.hparams["layers"]):
            dense = model.params[f"hidden_{i}"]
            x = x @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
            name = f"MaskedBatchNorm_{i}"
            norm = model.params[name]["BatchNorm_0"]
            seen = model.state["batch_stats"][name]["BatchNorm_0"]
            mean, var, scale, bias = map(
                np.asarray, (seen["mean"], seen["var"], norm["scale"], norm["bias"])
            )
            x = (x - mean) / np.sqrt(var + 1e-5) * scale + bias
            x = act[model.hparams["activation"]](x)
        output = model.params["output"]
        x = x @ np.asarray(output["kernel"]) + np.asarray(output["bias"])
        np.testing.assert_allclose(model.apply(X[280:]), x, rtol=2e-4, atol=2e-4)


def test_a_cnn_is_cut_too():
    images = X.reshape(-1, 8, 8)
    data = {n: (x.reshape(-1, 8, 8), y) for n, (x, y) in DATA.items()}
    space = jt.Space(
        learning_rate=jt.log_uniform(0.05, 0.1),
        channels=jt.integer(2, 5),
        layers=jt.integer(1, 2),
        hidden_units=jt.integer(4, 9),
    )
    model = jt.models.CNN(classes=10, max_channels=5, max_units=9)
    found = jt.search(
        jt.classification(model, **data), space, key=KEY, trials=3, epochs=1, verbose=0
    )
    for trial in range(3):
        one = found.train(trial)
        units, channels = one.hparams["hidden_units"], one.hparams["channels"]
        assert one.params["hidden"]["kernel"].shape == (4 * channels, units)
        guess = one.predict(images[200:280])
        assert is_score(found.trials["score"][trial], guess, Y[200:280])


def test_a_model_that_cannot_be_cut_keeps_its_padding_and_says_so():
    class Backwards(nn.Module):
        size: int = 8
        limits: ClassVar = {"width": (1, 8)}
        padding: ClassVar = {"width": "size"}

        @nn.compact
        def __call__(self, x, width):
            x = jt.models.MaskedDense(self.size)(x, outputs=width)[..., ::-1]
            return nn.Dense(10)(nn.relu(x))

    space = jt.Space(learning_rate=jt.fixed(0.1), width=jt.integer(2, 6))
    found = jt.search(
        task(Backwards()), space, key=KEY, trials=2, epochs=1, programs=1, verbose=0
    )
    with pytest.warns(UserWarning, match="with its padding"):
        model = found.train()
    x, y = DATA["valid"]
    assert is_score(found.best.score, model.predict(x), y)


@pytest.mark.parametrize("name", ["successive_halving", "hyperband", "asha", "pbt"])
def test_a_trial_of_any_scheduler_is_trained_as_far_as_it_was(name):
    space = SPACE.keep("learning_rate")
    found = jt.search(
        task(),
        space,
        key=KEY,
        trials=8,
        epochs=8,
        scheduler=name,
        verbose=0,
        sampler="sobol",
    )
    for trial in range(8):
        model = found.train(trial)
        assert model.epochs == found.trials.epochs[trial]
        assert np.float32(model.metrics["accuracy"]) == found.trials["score"][trial]
    longer = found.train(0, epochs=9)
    assert longer.epochs == 9


def test_more_epochs_are_a_longer_search():
    space = jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5))

    def schedule(hparams, steps):
        return optax.sgd(optax.cosine_decay_schedule(hparams["learning_rate"], steps))

    arguments = {"key": KEY, "trials": 3, "verbose": 0, "block": 3}
    made = task(optimizer=schedule)
    short = jt.search(made, space, epochs=2, **arguments)
    long = jt.search(made, space, epochs=5, **arguments)
    model, wanted = short.train(1, epochs=5), long.train(1)
    assert leaves_equal(model.params, wanted.params)
    assert model.metrics == wanted.metrics


def test_both_splits_together_are_a_task_with_their_rows():
    space = jt.Space(learning_rate=jt.log_uniform(1e-2, 0.5))
    arguments = {"key": KEY, "trials": 3, "epochs": 2, "verbose": 0, "block": 3}
    found = jt.search(task(), space, **arguments)
    both = jt.classification(
        jt.models.MLP(classes=10, max_units=24, max_layers=3, norm="batch"),
        train=(X[:280], Y[:280]),
        valid=DATA["valid"],
    )
    wanted = jt.search(both, space, **arguments).train(2)
    model = found.train(2, data="train+valid")
    assert leaves_equal(model.params, wanted.params)
    assert model.data == "train+valid"
    assert not model.metrics  # its validation split was trained on


def test_weights_of_one_split_are_ones_in_the_other():
    weights = np.linspace(0.5, 1, 200)
    one = jt.classification(
        jt.models.MLP(classes=10, max_units=8),
        train=(*DATA["train"], weights),
        valid=DATA["valid"],
    )
    two = jt.classification(
        jt.models.MLP(classes=10, max_units=8),
        train=(X[:280], Y[:280], np.append(weights, np.ones(80))),
        valid=(*DATA["valid"], np.ones(80)),
    )
    space = jt.Space(learning_rate=jt.fixed(0.1))
    arguments = {"key": KEY, "trials": 1, "epochs": 1, "verbose": 0}
    model = jt.search(one, space, **arguments).train(data="train+valid")
    assert leaves_equal(model.params, jt.search(two, space, **arguments).train().params)


def test_labels_come_back_as_they_were():
    names = np.asarray(["cat", "dog", "eel"])
    for labels in (names, np.asarray([10, 20, 30]), np.asarray([-1, 0, 1])):
        y = labels[Y % 3]
        made = jt.classification(
            jt.models.MLP(classes=3, max_units=16),
            train=(X[:200], y[:200]),
            valid=(X[200:280], y[200:280]),
        )
        space = jt.Space(learning_rate=jt.fixed(0.3))
        found = jt.search(made, space, key=KEY, trials=1, epochs=3, verbose=0)
        model = found.train()
        assert is_score(found.best.score, model.predict(X[200:280]), y[200:280])
        assert model.classes == tuple(labels.tolist())
        shares = model.probabilities(X[200:280])
        assert np.array_equal(labels[shares.argmax(1)], model.predict(X[200:280]))
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)


def test_one_logit_tells_two_labels_apart():
    y = Y % 2 == 1
    made = jt.classification(
        jt.models.MLP(classes=1, max_units=16),
        train=(X[:200], y[:200]),
        valid=(X[200:280], y[200:280]),
    )
    space = jt.Space(learning_rate=jt.fixed(0.3))
    found = jt.search(made, space, key=KEY, trials=1, epochs=3, verbose=0)
    model = found.train()
    guess = model.predict(X[200:280])
    assert guess.dtype == bool
    assert is_score(found.best.score, guess, y[200:280])
    assert np.array_equal(model.probabilities(X[200:280])[:, 1] > 0.5, guess)


def test_a_regression_predicts_in_the_shape_of_its_targets():
    y = X.sum(1)
    made = jt.regression(
        jt.models.MLP(classes=1, max_units=16),
        train=(X[:200], y[:200]),
        valid=(X[200:280], y[200:280]),
    )
    space = jt.Space(learning_rate=jt.fixed(0.001))
    found = jt.search(made, space, key=KEY, trials=1, epochs=3, verbose=0)
    model = found.train()
    guess = model.predict(X[200:280])
    assert guess.shape == (80,)
    error = ((guess - y[200:280].astype(np.float32)) ** 2).mean()
    np.testing.assert_allclose(error, found.best.score, rtol=1e-5)
    with pytest.raises(ValueError, match="only a classification"):
        model.probabilities(X)


class Linen(nn.Module):
    units: int = 12
    rate: float = 0.0

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dropout(self.rate, deterministic=not train)(nn.Dense(self.units)(x))
        return nn.Dense(10)(nn.relu(nn.BatchNorm(not train)(x)))


def make_nnx(rngs, units=12, rate=0.0):
    return nnx.Sequential(
        nnx.Linear(64, units, rngs=rngs),
        nnx.BatchNorm(units, rngs=rngs),
        nnx.relu,
        nnx.Dropout(rate, rngs=rngs),
        nnx.Linear(units, 10, rngs=rngs),
    )


OWN = jt.Space(
    learning_rate=jt.fixed(0.1),
    units=jt.choice([6, 12], static=True),
    rate=jt.uniform(0.0, 0.5),
)


class Tree(eqx.Module):
    first: eqx.nn.Linear
    dropout: eqx.nn.Dropout
    last: eqx.nn.Linear

    def __init__(self, key, units=12, rate=0.0):
        one, two = jax.random.split(key)
        self.first = eqx.nn.Linear(64, units, key=one)
        self.dropout = eqx.nn.Dropout(rate)
        self.last = eqx.nn.Linear(units, 10, key=two)

    def __call__(self, x, key=None):
        return self.last(self.dropout(jax.nn.relu(self.first(x)), key=key))


MADE = {"linen": Linen(), "nnx": make_nnx, "equinox": Tree}


@pytest.fixture(scope="module", params=MADE)
def own(request):
    made = task(MADE[request.param])
    return made, jt.search(made, OWN, key=KEY, trials=2, epochs=2, verbose=0)


def test_code_of_the_user_takes_the_model(own):
    _, found = own
    x = DATA["valid"][0]
    for trial in range(2):
        model = found.train(trial)
        if isinstance(model.params, nnx.State):
            outputs = model.nnx()(x)
            with pytest.raises(ValueError, match=r"Use nnx\(\)"):
                model.linen()
            with pytest.raises(ValueError, match=r"equinox: .* nnx\(\) for"):
                model.equinox()
        elif isinstance(model.params, Tree):
            module = model.equinox()
            assert module.first.out_features == model.hparams["units"]
            assert isinstance(module.dropout.p, float)
            outputs = jax.vmap(module)(x)
        else:
            module, variables = model.linen()
            assert module.units == model.hparams["units"]
            outputs = module.apply(variables, x, train=False)
            with pytest.raises(ValueError, match=r"Use linen\(\)"):
                model.nnx()
        np.testing.assert_allclose(outputs, model.apply(x), rtol=1e-5, atol=1e-6)
        guess = np.asarray(outputs).argmax(1)
        assert is_score(found.trials["score"][trial], guess, DATA["valid"][1])


@pytest.mark.parametrize("name", ["model", "model.safetensors"])
def test_a_saved_model_is_the_same(found, own, name, tmp_path):
    made, other = own
    for result, needs in ((found, None), (other, made)):
        model = result.train()
        path = model.save(tmp_path / name)  # the second one replaces the first
        loaded = jt.load_model(path, needs)
        assert leaves_equal((loaded.params, loaded.state), (model.params, model.state))
        assert jax.tree.structure(loaded.params) == jax.tree.structure(model.params)
        assert repr(loaded) == repr(model)
        assert np.array_equal(loaded.apply(X), model.apply(X))
        assert np.array_equal(loaded.predict(X), model.predict(X))
    bare = jt.load_model(path)
    arrays, known = (arrays_of(one.params)[0] for one in (bare, model))
    assert arrays.keys() == known.keys()
    assert all(np.array_equal(arrays[path], known[path]) for path in known)
    with pytest.raises(ValueError, match=r"load_model\(path, task\)"):
        bare.predict(X)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_another_process_serves_a_saved_model(found, tmp_path):
    model = found.train()
    model.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", X)
    code = (
        "import jaxtune, numpy as np, sys\n"
        "model = jaxtune.load_model('model.safetensors')\n"
        "print(model.predict(np.load('x.npy')).tolist())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) == model.predict(X).tolist()


def test_a_saved_file_has_the_permissions_of_any_other(found, tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    path = found.train().save(tmp_path / "model.safetensors")
    assert path.stat().st_mode == usual.stat().st_mode


def test_other_tools_read_the_files(found, tmp_path):
    import orbax.checkpoint as ocp
    from safetensors.numpy import load_file

    model = found.train()
    kernel = np.asarray(model.params["output"]["kernel"])
    tensors = load_file(model.save(tmp_path / "model.safetensors"))
    assert np.array_equal(tensors["params.output.kernel"], kernel)
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore(model.save(tmp_path / "model"))
    assert np.array_equal(tree["params"]["output"]["kernel"], kernel)


def test_a_task_of_own_functions_predicts_if_it_can(tmp_path):
    def outputs(params, split):
        return split["x"] @ params["w"]

    def error(params, split):
        return jnp.mean((outputs(params, split) - split["y"]) ** 2)

    made = jt.Task(
        init=lambda key, h: {"w": jnp.zeros(64)},
        loss=lambda params, batch, key, h: error(params, batch),
        evaluate=lambda params, split, h: {"error": error(params, split)},
        optimizer=lambda h: optax.sgd(h["learning_rate"]),
        train={"x": X[:200], "y": Y[:200] / 10},
        valid={"x": X[200:], "y": Y[200:] / 10},
        metrics=(("error", "min"),),
    )
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1e-2))
    found = jt.search(made, space, key=KEY, trials=2, epochs=1, verbose=0)
    model = found.train()
    with pytest.raises(ValueError, match="predict="):
        model.predict({"x": X})
    able = dataclasses.replace(
        made, predict=lambda params, split, h: outputs(params, split)
    )
    path = model.save(tmp_path / "model")
    loaded = jt.load_model(path, able)
    np.testing.assert_allclose(
        loaded.predict({"x": X}), X @ np.asarray(model.params["w"]), rtol=1e-5
    )


def test_averaged_parameters_are_handed_over_as_they_are_scored():
    """An optimiser that keeps an average is judged with it, so that is the model."""
    made = task(
        optimizer=lambda h: jt.optimizers.averaged(
            optax.sgd(h["learning_rate"]), decay=0.9
        )
    )
    space = jt.Space(learning_rate=jt.fixed(0.1))
    found = jt.search(made, space, key=KEY, trials=1, epochs=2, verbose=0)
    x, y = DATA["valid"]
    assert is_score(found.best.score, found.train().predict(x), y)


def test_a_loaded_run_gives_the_same_model(tmp_path):
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-2, 0.5), hidden_units=jt.integer(4, 24)
    )
    model = jt.models.MLP(classes=10, max_units=24)
    found = jt.search(
        task(model),
        space,
        key=KEY,
        trials=4,
        epochs=1,
        directory=tmp_path / "run",
        verbose=0,
    )
    loaded = jt.load(tmp_path / "run")
    assert leaves_equal(loaded.train(2).params, found.train(2).params)


WRONG_INPUTS = {
    "one row": (X[0], r"shape \(64,\). Use \(n, 64\). For a single row, use x\[None\]"),
    "wide": (X[:, :60], r"shape \(360, 60\). Use \(n, 64\)"),
    "words": (np.full((2, 64), "a"), "dtype <U1. Use numbers"),
    "a dict": ({"x": X}, r"x has \['x'\], but the training data had one array"),
    "nothing": (X[:0], "x is empty"),
    "nan": (np.where(np.arange(64) == 3, np.nan, X[:2]), "x in row 0 has nan"),
}


@pytest.mark.parametrize("case", WRONG_INPUTS)
def test_inputs_of_another_form_are_refused(found, case):
    x, message = WRONG_INPUTS[case]
    with pytest.raises(ValueError, match=message):
        found.train().predict(x)


def test_inputs_are_taken_as_in_training(found):
    model = found.train()
    wanted = model.predict(X)
    assert np.array_equal(model.predict(X.astype(np.float64)), wanted)
    assert np.array_equal(model.predict(X.tolist()), wanted)
    assert np.array_equal(model.predict(jnp.asarray(X)), wanted)
    assert np.array_equal(model.predict(X[:3]), wanted[:3])
    traced = jax.jit(lambda x: model.apply(x).argmax(1))(X)
    assert np.array_equal(traced, wanted)


def damaged(path, tmp_path):
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    other = tmp_path / "damaged.safetensors"
    other.write_bytes(data)
    return other


def test_what_is_no_model_is_refused_in_one_sentence(found, tmp_path):
    path = found.train().save(tmp_path / "model.safetensors")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.safetensors").write_text("hello")
    wrong = [
        (tmp_path / "none", "there is no model"),
        (tmp_path / "empty", "no model of jaxtune"),
        (tmp_path / "text.safetensors", "no model of jaxtune"),
        (damaged(path, tmp_path), "no model of jaxtune"),
    ]
    for where, message in wrong:
        with pytest.raises(ValueError, match=message):
            jt.load_model(where)
    with pytest.raises(ValueError, match="is not replaced"):
        found.train().save(tmp_path / "empty")
    with pytest.raises(ValueError, match="its folder does not exist"):
        found.train().save(tmp_path / "none" / "model")
    for norm, message in (
        (None, "it has nothing at params.Masked"),
        ("layer", "it has"),
    ):
        other = jt.models.MLP(classes=10, max_units=24, max_layers=3, norm=norm)
        with pytest.raises(ValueError, match=f"task: {message}"):
            jt.load_model(path, task(other))
    with pytest.raises(ValueError, match=r"Use a jaxtune\.Task"):
        jt.load_model(path, "model")


def test_the_server_of_the_page_serves(found, tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "model.md").read_text()
    (script,) = re.findall(r'```python title="serve.py"\n(.*?)```', page, re.DOTALL)
    (tmp_path / "serve.py").write_text(script)
    model = found.train()
    model.save(tmp_path / "digits.safetensors")
    command = [sys.executable, "serve.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            port = int(server.stdout.readline())
            body = json.dumps(X[:4].tolist()).encode()
            with urlopen(f"http://127.0.0.1:{port}", body, timeout=60) as answer:
                assert json.load(answer) == model.predict(X[:4]).tolist()
        finally:
            server.kill()


def test_the_command_line_saves_the_same_model(tmp_path):
    space = jt.Space(
        learning_rate=jt.log_uniform(1e-2, 0.5), hidden_units=jt.integer(4, 24)
    )
    where, model = tmp_path / "run", jt.models.MLP(classes=10, max_units=24)
    arguments = {"key": KEY, "trials": 3, "epochs": 1, "verbose": 0}
    found = jt.search(task(model), space, directory=where, **arguments)
    ran = CliRunner().invoke(main, ["train", str(where), "--out", f"{tmp_path}/best"])
    assert ran.exit_code == 0, ran.output
    assert "wrote" in ran.output
    assert "in place of" not in ran.output
    assert leaves_equal(jt.load_model(tmp_path / "best").params, found.train().params)
    more = ["--seed", "4", "--epochs", "2", "--data", "train+valid"]
    out = f"{tmp_path}/second.safetensors"
    ran = CliRunner().invoke(main, ["train", str(where), "2", *more, "--out", out])
    assert ran.exit_code == 0, ran.output
    wanted = found.train(2, seed=4, epochs=2, data="train+valid")
    assert leaves_equal(jt.load_model(out).params, wanted.params)
    ran = CliRunner().invoke(main, ["train", str(where), "--out", out])
    assert ran.output.endswith(f"wrote {out}, in place of the model that was there\n")
    for wrong in (["9", "--out", "x"], ["--out", f"{tmp_path}/none/x"]):
        ran = CliRunner().invoke(main, ["train", str(where), *wrong])
        assert ran.exit_code == 2
        assert len(ran.output.splitlines()) == 1


def named(x, names="abcd"):
    return pandas.DataFrame(x[:, :4], columns=list(names))


def test_columns_of_a_data_frame_are_taken_by_name(tmp_path):
    y = (X[:, 2] > X[:, 3]).astype(int)
    data = {
        "train": (named(X[:200]), y[:200]),
        "valid": (named(X[200:280]), y[200:280]),
    }
    made = jt.classification(jt.models.MLP(classes=2, max_units=8), **data)
    space = jt.Space(learning_rate=jt.fixed(0.3))
    found = jt.search(made, space, key=KEY, trials=1, epochs=3, verbose=0)
    model, frame = found.train(), named(X)
    loaded = jt.load_model(model.save(tmp_path / "model"))
    wanted = model.probabilities(X[:, :4])
    assert len(np.unique(wanted)) > 2
    for one in (model, loaded):
        assert np.array_equal(one.probabilities(frame[list("dcba")]), wanted)
        with pytest.raises(ValueError, match=r"x has no column 'a'\. Use the columns"):
            one.predict(frame.rename(columns={"a": "z"}))
        with pytest.raises(ValueError, match="x has a column 'e'"):
            one.predict(frame.assign(e=1.0))
    # the same fault in a task: columns of another order in another split
    turned = {**data, "valid": (named(X[200:280], "abdc"), y[200:280])}
    with pytest.raises(ValueError, match="valid: column 2 of x is 'd', but that of"):
        jt.classification(jt.models.MLP(classes=2), **turned)


@pytest.mark.parametrize("kind", ["strings", "booleans", "from one"])
def test_a_run_keeps_labels_of_any_kind(kind, tmp_path):
    y = {
        "strings": np.asarray(["ant", "bee", "cow"])[Y % 3],
        "booleans": Y % 2 == 1,
        "from one": Y % 3 + 1,
    }[kind]
    model = jt.models.MLP(classes=len(np.unique(y)), max_units=8)
    data = {"train": (X[:200], y[:200]), "valid": (X[200:280], y[200:280])}
    made = jt.classification(model, **data)
    space = jt.Space(learning_rate=jt.log_uniform(0.1, 0.5))
    arguments = {"key": KEY, "trials": 2, "epochs": 2, "verbose": 0}
    found = jt.search(made, space, **arguments, directory=tmp_path / "run")
    loaded = jt.load(tmp_path / "run")
    assert loaded.setup.workload.task.classes == made.classes
    guess = loaded.train().predict(X)
    assert guess.dtype == y.dtype
    assert np.array_equal(guess, found.train().predict(X))
    assert jt.rerun(tmp_path / "run", 1).same
    assert len(jt.extend(tmp_path / "run", trials=2, verbose=0).trials) == 4


def test_a_model_knows_its_labels_and_its_arrays(tmp_path):
    y = np.where(Y % 2 == 1, "odd", "even")
    data = {"train": (X[:200], y[:200]), "valid": (X[200:280], y[200:280])}
    made = jt.classification(Linen(), **data)
    space = jt.Space(learning_rate=jt.fixed(0.1))
    found = jt.search(made, space, key=KEY, trials=1, epochs=1, verbose=0)
    path = found.train().save(tmp_path / "model.safetensors")
    turned = {n: (x, np.where(y == "odd", "a", "b")) for n, (x, y) in data.items()}
    with pytest.raises(ValueError, match="task: its labels are 'a', 'b', but those"):
        jt.load_model(path, jt.classification(Linen(), **turned))
    with pytest.raises(ValueError, match="loaded without its task"):
        jt.load_model(path).probabilities(X)
    content = bytearray(path.read_bytes())
    content[-3] ^= 4  # of the last array
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged one \(its arrays are not those"):
        jt.load_model(path)


@pytest.mark.parametrize("wrong", ["1", 1.5, True, -1])
def test_a_trial_is_a_number(found, wrong):
    with pytest.raises(ValueError, match="train: trial="):
        found.train(wrong)


@pytest.mark.parametrize("wrong", [None, 3, ""])
def test_a_path_is_a_path(found, wrong):
    for use in (found.train().save, jt.load_model):
        with pytest.raises(ValueError, match="path: got"):
            use(wrong)


@pytest.mark.parametrize("name", ["model", "model.safetensors"])
def test_a_folder_that_cannot_be_written_is_named(found, name):
    with pytest.raises(ValueError, match=f"/proc/{name}: cannot be written"):
        found.train().save(f"/proc/{name}")


def test_outputs_that_are_not_finite_have_no_label():
    class Words(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.Embed(10, 4)(x).mean(1))

    x = np.random.default_rng(0).integers(0, 10, (80, 5))
    y = (x[:, 0] > 4).astype(int)
    data = {"train": (x[:60], y[:60]), "valid": (x[60:], y[60:])}
    made = jt.classification(Words(), **data, batch_size=20)
    space = jt.Space(learning_rate=jt.fixed(0.1))
    found = jt.search(made, space, key=KEY, trials=1, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="outputs for row 1 of x are not finite"):
        found.train().predict(np.asarray([x[0], x[0] + 100]))
