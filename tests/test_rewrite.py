"""Searches whose operations are rewritten: the same scores, recorded and told."""

import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from editing import edit_settings
from jax import lax

import jaxtune as jt
from jaxtune.checks import RunError
from jaxtune.forms import TABLES, table_for
from jaxtune.hardware import ACCELERATOR, CPU
from jaxtune.planning.layout import groups
from jaxtune.planning.preparation import CACHE, prepare
from jaxtune.planning.touched import bytes_in_a_step
from jaxtune.planning.tracing import trace
from jaxtune.programs import block as block_program
from jaxtune.storage.settings import checked_settings
from jaxtune.storage.subject import task_of

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

KEY, ROWS = jax.random.key(2), 48
HERE = table_for(jax.default_backend())
SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.1))
SIZES = {"key": KEY, "trials": 4, "epochs": 2, "verbose": 0}


class Network(nn.Module):
    """A convolution with a norm and a pool, written without a thought of jaxtune."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Conv(4, (3, 3))(x)
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.max_pool(nn.relu(x), (2, 2), strides=(2, 2))
        return nn.Dense(3)(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def task():
    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, 6, 6, 2)).astype(np.float32)
    y = random.integers(0, 3, ROWS)
    train, valid = (x[:32], y[:32]), (x[32:], y[32:])
    return jt.classification(Network(), train=train, valid=valid, batch_size=16)


def forms(result):
    return result.setup.workload.layout.forms


def test_a_search_rewrites_and_scores_as_written(task):
    fast = jt.search(task, SPACE, metric="loss", **SIZES)
    plain = jt.search(task, SPACE, metric="loss", rewrite=False, block=1, **SIZES)
    assert (forms(fast), forms(plain)) == (HERE, "")
    np.testing.assert_allclose(fast.trials["loss"], plain.trials["loss"], rtol=1e-4)


@pytest.mark.cpu("the forms of a CPU")
def test_the_programs_of_a_block_have_the_forms_of_its_layout(task):
    """Where lanes compute their convolutions apart, each program has more loops."""
    loops = {rewrite: _loops(task, rewrite) for rewrite in (True, False)}
    for fast, written in zip(loops[True], loops[False], strict=True):
        assert fast > written


def _loops(task, rewrite):
    workload = prepare(task, SPACE, KEY, 1, 4, rewrite=rewrite)
    hparams = jax.device_get(SPACE.decode(np.full((4, 1), 0.5, np.float32)))
    (group,) = groups(workload.layout, SPACE, hparams, 1)
    ids, static = np.arange(4), group.static
    block = block_program.fill(ids, ids, hparams, np.zeros(1, int), static, 4)
    state = block_program.shape(task, KEY, block, static)
    calls = (
        (block_program.advance, (task, KEY, block, state, 1), (static,)),
        (block_program.score, (task, block, state), ("valid", static)),
        (block_program.measure, (task, KEY, block), ("valid", static)),
    )
    programs = [
        jax.make_jaxpr(lambda *a, run=run, last=last: run(*a, *last))(*arrays)
        for run, arrays, last in calls
    ]
    return [str(program).count("scan[") for program in programs]


def test_every_width_scores_alike(task):
    alone = jt.search(task, SPACE, metric="loss", block=1, **SIZES)
    together = jt.search(task, SPACE, metric="loss", block=4, **SIZES)
    np.testing.assert_allclose(alone.trials["loss"], together.trials["loss"], rtol=1e-4)


@pytest.mark.parametrize("rewrite", [True, False])
def test_a_run_is_resumed_and_rerun_as_it_began(task, tmp_path, rewrite):
    class Interrupt(jt.Callback):
        def on_round(self, result):
            raise KeyboardInterrupt

    whole = jt.search(task, SPACE, rounds=2, rewrite=rewrite, **SIZES)
    with pytest.raises(KeyboardInterrupt):
        jt.search(
            task,
            SPACE,
            rounds=2,
            rewrite=rewrite,
            directory=tmp_path,
            callbacks=[Interrupt()],
            **SIZES,
        )
    # the argument is left out: the run says it
    resumed = jt.resume(tmp_path, task, verbose=0)
    assert forms(resumed) == (HERE if rewrite else "")
    np.testing.assert_array_equal(resumed.trials["score"], whole.trials["score"])
    assert jt.rerun(tmp_path, 3, task).same
    again = jt.search(task, SPACE, rounds=2, directory=tmp_path, **SIZES)
    np.testing.assert_array_equal(again.trials["score"], whole.trials["score"])


def test_a_rewritten_run_is_not_resumed_as_written(task, tmp_path):
    jt.search(task, SPACE, directory=tmp_path, **SIZES)
    with pytest.raises(RunError, match="another rewrite: true, now false"):
        jt.search(task, SPACE, directory=tmp_path, rewrite=False, **SIZES)


def test_a_run_without_forms_is_as_written(task, tmp_path):
    jt.search(task, SPACE, directory=tmp_path, rewrite=False, **SIZES)
    # as version 0.1.0 wrote it
    edit_settings(tmp_path, lambda settings: settings["layout"].pop("forms"))
    assert forms(jt.load(tmp_path, task)) == ""
    assert jt.rerun(tmp_path, 1, task).same


def test_a_run_with_forms_of_a_newer_version_is_refused(task, tmp_path):
    jt.search(task, SPACE, directory=tmp_path, **SIZES)
    edit_settings(tmp_path, lambda s: s["layout"].update(forms="cpu-99"))
    with pytest.raises(RunError, match=r"'cpu-99'.*Use a newer jaxtune"):
        jt.load(tmp_path, task)


def test_a_network_of_version_0_1_0_stays_unfolded(tmp_path):
    x, y = np.ones((8, 4, 4), np.float32), np.arange(8) % 2
    model = jt.models.CNN(classes=2, max_channels=2, max_layers=1, max_units=2)
    task = jt.classification(model, train=(x, y), valid=(x, y), batch_size=4)
    jt.search(task, SPACE, directory=tmp_path, **SIZES)
    settings = checked_settings(tmp_path)
    made = dict(task_of(tmp_path, settings).recipe.arguments)["model"]
    assert dict(made.arguments)["unfolded"] is False

    def forget(settings):
        text = json.dumps(settings["recipe"])
        old = text.replace(', "unfolded": false', "")
        assert old != text
        settings["recipe"] = json.loads(old)

    edit_settings(tmp_path, forget)
    made = dict(task_of(tmp_path, checked_settings(tmp_path)).recipe.arguments)["model"]
    assert dict(made.arguments)["unfolded"] is True


def trained_inside(key, hparams):
    """Train a kernel inside a plain function."""
    x = jax.random.normal(key, (4, 6, 6, 2))

    def convolve(kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=numbers
        )

    def step(kernel, _):
        slope = jax.grad(lambda k: jnp.mean((convolve(k) - x) ** 2))(kernel)
        return kernel - hparams["learning_rate"] * slope, None

    kernel, _ = lax.scan(step, jnp.ones((3, 3, 2, 2)) / 9, None, length=5)
    return jnp.mean((convolve(kernel) - x) ** 2)


def test_a_plain_function_that_trains_is_rewritten():
    planned = jt.plan(trained_inside, SPACE, trials=8)
    assert planned.forms.counts["convolutions lane by lane"] == 3
    arguments = {"key": KEY, "trials": 4, "mode": "min", "verbose": 0}
    fast = jt.search(trained_inside, SPACE, **arguments)
    plain = jt.search(trained_inside, SPACE, rewrite=False, **arguments)
    np.testing.assert_allclose(fast.trials["score"], plain.trials["score"], rtol=1e-4)


@pytest.mark.cpu("the forms and the width of a CPU")
def test_a_plan_tells_the_forms(task):
    shown = repr(jt.plan(task, SPACE, trials=4, memory=False))
    assert "blocks of 1 lane (" in shown
    assert "convolutions lane by lane" in shown
    assert "2 max pools as slices, 1 gradients of max pools as slices" in shown
    written = jt.plan(task, SPACE, trials=4, memory=False, rewrite=False)
    assert written.forms.counts == {}
    assert "lane by lane" not in repr(written)


@pytest.mark.cpu("the forms of a CPU")
def test_a_search_tells_the_forms_if_asked(task, capsys):
    jt.search(task, SPACE, **{**SIZES, "verbose": 1})
    assert "forms:" not in capsys.readouterr().err
    jt.search(task, SPACE, **{**SIZES, "verbose": 2})
    assert "convolutions lane by lane" in capsys.readouterr().err
    jt.search(task, SPACE, rewrite=False, **{**SIZES, "verbose": 2})
    assert "forms: all operations run as written" in capsys.readouterr().err


@pytest.mark.cpu("the forms of a CPU")
def test_a_pass_that_fails_is_told_and_changes_nothing(task, capsys, monkeypatch):
    def broken(*operands):
        raise RuntimeError("no such form")

    plain = jt.search(task, SPACE, rewrite=False, block=1, **SIZES)
    rules = tuple(rule._replace(compute=broken) for rule in TABLES["cpu-1"])
    monkeypatch.setitem(TABLES, "cpu-1", rules)
    jax.clear_caches()
    failed = jt.search(task, SPACE, block=1, **{**SIZES, "verbose": 2})
    told = capsys.readouterr().err
    assert "run as written, as rewriting failed: RuntimeError: no such form" in told
    np.testing.assert_array_equal(failed.trials["score"], plain.trials["score"])
    jax.clear_caches()


def dense_task(units):
    x = np.zeros((32, units), np.float32)

    def loss(params, batch, key, hparams):
        return jnp.mean((batch["x"] @ params) ** 2)

    return jt.Task(
        init=lambda key, hparams: jnp.zeros((units, units)),
        loss=loss,
        evaluate=lambda params, split, hparams: {"loss": jnp.mean(params)},
        optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]),
        train={"x": x},
        valid={"x": x},
        batch_size=16,
        metrics=(("loss", "min"),),
    )


def test_the_bytes_of_a_step_are_the_state_and_what_it_writes():
    units = 64
    workload = prepare(dense_task(units), SPACE, KEY, 1, 8)
    (traced,) = trace(workload, SPACE)
    # the parameters; plain descent has no moments
    state = 4 * units * units
    # a batch, its product, and the gradient of the parameters
    written = 4 * 16 * units + 4 * 16 * units + 4 * units * units
    counted = bytes_in_a_step(traced.jaxpr.jaxpr)
    # besides these, a lane carries a few numbers
    assert state + written <= counted <= state + written + 16


@pytest.mark.cpu("the cache of a CPU")
def test_a_wider_network_gets_fewer_lanes():
    widths = {
        units: prepare(dense_task(units), SPACE, KEY, 1).width
        for units in (16, 512, 1024, 2048)
    }
    assert widths[16] == CPU.width
    assert widths[2048] == 1
    ordered = [widths[units] for units in sorted(widths)]
    assert ordered == sorted(ordered, reverse=True)
    for units, width in widths.items():
        (traced,) = trace(prepare(dense_task(units), SPACE, KEY, 1, 1), SPACE)
        touched = bytes_in_a_step(traced.jaxpr.jaxpr)
        assert width == 1 or width * touched <= CACHE
        assert width == CPU.width or 2 * width * touched > CACHE


@pytest.mark.cpu("the width of a CPU")
def test_lanes_that_run_one_by_one_have_blocks_of_their_own(task):
    assert prepare(task, SPACE, KEY, 1).width == 1


def test_the_width_of_an_accelerator_is_that_of_its_kind(task):
    workload = prepare(task, SPACE, KEY, 1, platform="gpu")
    assert (workload.width, workload.layout.forms) == (ACCELERATOR.width, "gpu-1")


@pytest.mark.parametrize("rewrite", [True, False])
def test_a_search_runs_in_double_precision(task, rewrite):
    with jax.enable_x64(True):
        found = jt.search(task, SPACE, metric="loss", rewrite=rewrite, **SIZES)
    plain = jt.search(task, SPACE, metric="loss", rewrite=rewrite, **SIZES)
    np.testing.assert_allclose(found.trials["loss"], plain.trials["loss"], rtol=1e-3)
