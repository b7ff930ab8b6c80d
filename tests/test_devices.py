"""Blocks on several devices and cores, and blocks that do not fit into memory."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import children
import jax
import jax.numpy as jnp
import killed
import moments
import numpy as np
import pytest

import jaxtune as jt
from jaxtune import environment, hardware
from jaxtune.executors import workers
from jaxtune.executors.devices import Devices
from jaxtune.executors.workers import out_of_memory
from jaxtune.programs import block
from jaxtune.rounds.ahead import rehearsing
from jaxtune.storage.directory import RECORD
from jaxtune.storage.durable import Durable
from jaxtune.storage.store import Store
from jaxtune.training.journal import BlockAssignment
from jaxtune.training.trajectory import TrajectorySegment
from jaxtune.training.widths import overrides_of, split_by_width

CHILD = """
import sys
import jax
import killed
import jaxtune as jt
space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
print(len(jax.local_devices()), jt.environment.cores())
for name, scheduler in killed.SCHEDULERS.items():
    found = jt.search(
        killed.line(), space, key=jax.random.key(3), trials=40, rounds=2, epochs=9,
        seeds=2, block=4, scheduler=scheduler,
    )
    print(name, killed.digest(found))
"""


def child(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env=children.environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.splitlines()


class Answer(NamedTuple):
    """The least that a pool needs of a result."""

    value: Any
    device: str = ""


def results(pool, run, jobs):
    """What a function returns for each job, in order."""

    def answer(shared, job):
        return Answer(run(shared, job))

    return [made and made.value for made in pool.map_ordered(answer, jobs)]


@pytest.mark.cpu("several devices in one process")
def test_devices_and_cores_change_no_bit():
    """One core, two, two devices, two accelerators: the same under every scheduler."""
    one_core = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    alone = output(child(one_core + CHILD))
    both = output(child(CHILD))
    spread = output(child(CHILD, **two))
    # their states stay there, and are copied from one to the other
    accelerators = output(child(CHILD, **two, JAXTUNE_HARDWARE="accelerator"))
    assert alone[0] == "1 1"
    assert spread[0].startswith("2 ")
    assert alone[1:] == both[1:] == spread[1:] == accelerators[1:]
    assert len(alone) == 1 + len(killed.SCHEDULERS)


@pytest.mark.cpu("a block on each core")
def test_as_many_blocks_as_cores_run_at_once_and_come_back_in_order(monkeypatch):
    monkeypatch.setattr(hardware, "cores", lambda: 3)
    together = threading.Barrier(3)

    def run(shared, item):
        together.wait(timeout=moments.HANG)
        return shared + item

    found = results(Devices(100), run, range(9))
    assert found == [100 + i for i in range(9)]


def test_nothing_to_do_keeps_its_place():
    some = [None, 0, None, 2, None, None, None, None, None, 5]
    found = results(Devices(100), lambda shared, item: shared + item, some)
    assert found == [None, 100, None, 102, None, None, None, None, None, 105]


@pytest.mark.cpu("a block on each core")
def test_items_are_asked_for_when_they_can_run(monkeypatch):
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    asked = []

    def items():
        for i in range(10):
            asked.append(i)
            yield i

    pool = Devices(None)
    seen = [len(asked) for _ in pool.map_ordered(lambda _, i: Answer(i), items())]
    assert seen == [3, 4, 5, 6, 7, 8, 9, 10, 10, 10]


def test_an_error_in_a_block_comes_out_and_the_others_end(monkeypatch):
    monkeypatch.setattr(hardware, "cores", lambda: 2)
    ended = []

    def run(_, item):
        if item == 1:
            raise ZeroDivisionError
        ended.append(item)
        return item

    found = []
    with pytest.raises(ZeroDivisionError):
        found.extend(results(Devices(None), run, range(10)))
    assert set(ended) <= {0, 2, 3}


OTHER = {
    "default_matmul_precision": "float32",
    "default_prng_impl": "rbg",
    "numpy_dtype_promotion": "strict",
    "numpy_rank_promotion": "warn",
    "transfer_guard": "log",
}


@pytest.mark.parametrize("name", environment.SETTINGS)
def test_blocks_run_under_the_callers_settings(name):
    def run(_, item):
        return getattr(jax.config, f"jax_{name}")

    before = getattr(jax.config, f"jax_{name}")
    other = OTHER.get(name, not before)
    with getattr(jax, name)(other):
        assert set(results(Devices(None), run, range(4))) == {other}
    assert set(results(Devices(None), run, range(4))) == {before}


def test_double_precision_reaches_the_programs():
    def sum_(key, hparams):
        return jnp.sum(jnp.arange(3.0)) * (jnp.zeros(()).dtype == jnp.float64)

    space = jt.Space(x=jt.uniform(0.0, 1.0))
    arguments = {"key": jax.random.key(0), "trials": 2, "mode": "max"}
    with jax.enable_x64(True), pytest.warns(UserWarning, match="nothing reads"):
        found = jt.search(sum_, space, **arguments)
    assert found.trials["score"].tolist() == [3.0, 3.0]


@pytest.mark.cpu("several devices in one process")
def test_a_chosen_device_is_the_only_one_in_use():
    second = "import jax; jax.config.update('jax_default_device', jax.devices()[1])\n"
    ask = """
from test_devices import results
from jaxtune.executors.devices import Devices
where = lambda shared, item: str(jax.numpy.zeros(()).devices())
print(set(results(Devices(0), where, range(8))))
"""
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    assert output(child(second + ask, **two)) == ["{'{CpuDevice(id=1)}'}"]
    assert len(output(child("import jax" + ask, **two))[0].split(",")) == 2


LIMITED = """
import jax, jax.numpy as jnp, resource, warnings
from pathlib import Path
import jaxtune as jt
def large(key, hparams):
    rows = jnp.arange(2**23, dtype=jnp.float32)
    return jax.lax.optimization_barrier(rows * hparams["x"]).max()
jax.block_until_ready(jnp.zeros(3) + 1)
statm = Path("/proc/self/statm").read_text()
used = int(statm.split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**31,) * 2)
space = jt.Space(x=jt.uniform(0.0, 1.0))
search = lambda block: jt.search(
    large, space, key=jax.random.key(0), trials=3, mode="max", block=block
)
warnings.filterwarnings("ignore", "block=")  # most of its lanes are empty
with warnings.catch_warnings(record=True) as told:
    warnings.filterwarnings("always", "a block of")
    found = search(64)
print(*{str(w.message).partition(":")[0] for w in told})
print(told[0].filename, len(found.width_overrides.width))
smaller = search(int(found.width_overrides.width[0]))
print((found.trials.scores == smaller.trials.scores).all())
"""


@pytest.mark.cpu("its memory is limited as that of a process")
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux's means")
def test_a_block_that_does_not_fit_is_halved_for_real():
    """A process that may use 2 GB more, for 64 lanes of 32 MB at least."""
    told, where, same = output(child(LIMITED))
    assert told.startswith("a block of 64 lanes does not fit on")
    assert where == "<string> 3"
    assert same == "True"


@pytest.fixture
def scarce(monkeypatch):
    """Memory for a number of lanes, as XLA tells when it runs out."""

    def limit(lanes, after=0):
        for name in ("advance", "measure"):
            whole, calls = getattr(block, name), []

            def short(*args, whole=whole, calls=calls):
                calls.append(1)
                width = len(next(a for a in args if isinstance(a, block.Block)).trial)
                if width > lanes and len(calls) > after:
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")
                return whole(*args)

            monkeypatch.setattr(block, name, short)

    yield limit
    monkeypatch.undo()


def seek(directory=None, scheduler=None, **more):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    plain = {
        "key": jax.random.key(3),
        "trials": 20,
        "rounds": 2,
        "epochs": 9,
        "sampler": "sobol",
    }
    plain |= {"seeds": 2, "block": 8, "scheduler": scheduler, "directory": directory}
    return jt.search(killed.line(), space, **(plain | more))


NARROWER = "ignore:a block of:UserWarning"


@pytest.mark.filterwarnings(NARROWER)
def test_nothing_is_lost_when_blocks_are_halved(scarce):
    expected = seek(block=2)
    scarce(2)
    found = seek()
    np.testing.assert_array_equal(found.trials.scores, expected.trials.scores)
    assert set(found.width_overrides.width) == {2}
    lanes = set(
        zip(found.width_overrides.trial, found.width_overrides.seed, strict=True)
    )
    assert len(lanes) == 20 * 2


def test_halving_says_so_once_and_where_the_user_called(scarce):
    scarce(4)
    with pytest.warns(UserWarning, match=r"block of 8 lanes.*blocks of 4") as told:
        seek()
    assert [w.filename for w in told] == [__file__]


@pytest.mark.filterwarnings(NARROWER)
@pytest.mark.parametrize("scheduler", killed.SCHEDULERS)
def test_a_halved_run_resumes_and_reruns_to_the_bit(scheduler, scarce, tmp_path):
    """Memory runs out after some blocks; the run is cut, gone on with, and rerun."""
    chosen = killed.SCHEDULERS[scheduler]
    scarce(2, after=3)
    seek(tmp_path / "run", chosen)
    found = jt.load(tmp_path / "run", killed.line())
    assert set(found.width_overrides.width) == {2}
    known = [found.width_overrides.of(trial, 0) for trial in range(20)]
    changed = [trial for trial, blocks in enumerate(known) if blocks and blocks[0][0]]
    assert changed or chosen is None  # who trained at both widths
    for trial in {0, 9, *changed[:2]}:
        again = jt.rerun(tmp_path / "run", trial, killed.line())
        assert again.same, (trial, again)


@pytest.mark.filterwarnings(NARROWER)
@pytest.mark.parametrize("scheduler", killed.SCHEDULERS)
def test_a_halved_run_that_was_cut_goes_on_as_if_it_had_not(
    scheduler, scarce, tmp_path, monkeypatch
):
    chosen = killed.SCHEDULERS[scheduler]
    scarce(2, after=3)
    whole = seek(tmp_path / "whole", chosen)
    monkeypatch.undo()
    scarce(2, after=3)
    keep, kept = jt.storage.durable.Durable.keep, []

    def cut(self, *args):
        if len(kept) == 12:
            raise KeyboardInterrupt
        kept.append(args)
        keep(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Durable, "keep", cut)
        with pytest.raises(KeyboardInterrupt):
            seek(tmp_path / "cut", chosen)
    assert {block.width for block, _ in kept} == {8, 2}
    unfinished = jt.load(tmp_path / "cut", killed.line())
    assert set(unfinished.width_overrides.width) == {2}
    monkeypatch.undo()  # memory is back, and the same call goes on as it began
    found = seek(tmp_path / "cut", chosen)
    assert killed.digest(found) == killed.digest(whole)
    store = Store(tmp_path / "cut" / RECORD, write=False)
    later = store.ask("SELECT DISTINCT width FROM blocks WHERE block >= ?", len(kept))
    store.close()
    assert later == [(2,)]  # not wider again, also where blocks are in flight


def test_a_plain_function_is_halved_and_reruns_to_the_bit(scarce, tmp_path):
    def wave(key, hparams):
        return jnp.sin(hparams["x"] * jnp.arange(1000.0)).sum()

    space = jt.Space(x=jt.uniform(0.0, 1.0))
    scarce(4)
    with pytest.warns(UserWarning, match="blocks of 4"):
        jt.search(
            wave,
            space,
            key=jax.random.key(0),
            trials=20,
            mode="max",
            block=8,
            seeds=2,
            directory=tmp_path,
            sampler="sobol",
        )
    assert set(jt.load(tmp_path).width_overrides.width) == {4}
    assert all(jt.rerun(tmp_path, trial, wave).same for trial in (0, 7, 19))


def test_a_single_lane_that_does_not_fit_is_an_error(scarce):
    scarce(0)
    here = environment.label(jax.devices()[0])
    expected = pytest.raises(MemoryError, match=f"one lane does not fit on {here}")
    with pytest.warns(UserWarning, match="does not fit"), expected:
        seek()


@pytest.mark.parametrize(
    "said",
    [
        "RESOURCE_EXHAUSTED: Out of memory allocating 17592186093824 bytes.",
        "INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "INTERNAL: the library was not initialized: CUBLAS_STATUS_ALLOC_FAILED",
        "UNKNOWN: std::bad_alloc",
        "INTERNAL: Failed to allocate 1073741824 bytes for new constant",
    ],
)
def test_memory_runs_out_in_many_words(said):
    assert out_of_memory(jax.errors.JaxRuntimeError(said))


def test_other_errors_of_xla_are_not_taken_for_that(monkeypatch):
    def fail(*args):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(block, "advance", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        seek()


def test_legs_are_cut_where_the_width_changed():
    """Trial 5 took over the state of trial 2 at epoch 4; blocks were narrow thrice."""
    lane = np.ones(1, int)

    def block(trial, epochs, trains, width):
        done = np.ones(1, bool)
        return BlockAssignment(
            trial * lane, 0 * lane, epochs * lane, done, trains
        ), width

    known = overrides_of([block(5, 9, 2, 2), block(2, 3, 2, 4), block(5, 3, 3, 1)])
    legs = [TrajectorySegment(2, 4, {"x": 1}), TrajectorySegment(5, 10, {"x": 2})]
    cut = split_by_width(legs, 0, known, 8)
    assert [(leg.trial, leg.epochs, width) for leg, width in cut] == [
        (2, 1, 8),
        (2, 3, 4),
        (2, 4, 8),
        (5, 7, 8),
        (5, 9, 2),
        (5, 10, 8),
    ]
    assert [leg.hparams for leg, _ in cut] == [{"x": 1}] * 3 + [{"x": 2}] * 3
    assert split_by_width(legs, 1, known, 8) == [(leg, 8) for leg in legs]


@pytest.mark.cpu("several devices in one process")
def test_devices_that_share_the_lanes_of_a_block_change_no_bit(tmp_path):
    """Two devices and blocks of 4 are as one device and blocks of 2."""
    command = [sys.executable, Path(__file__).with_name("sharded.py"), tmp_path]
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = subprocess.Popen(
        list(map(str, command)),
        env=children.environment(**two),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    *tables, again, loaded, refused = output(process)
    assert len(tables) == 5
    assert all(line.split(", ")[2] == "True" for line in tables), tables
    assert (again, loaded) == ("again True", "load True")
    assert refused.startswith("block=5: 2 devices share the lanes")


def test_suggesting_runs_on_the_cpu_beside_an_accelerator():
    """Blocks on the second device, all that lies between them on the first."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("beside.py"))],
        env=children.environment(XLA_FLAGS="--xla_force_host_platform_device_count=2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    same, *places, after, zero, one, two, threads, _, cold, _, again = output(process)
    assert same == again == "same True"
    between = ("ask", "decode", "explore", "init", "refine", "tell")
    assert set(places) == {f"{name} 0" for name in between} | {"advance 1", "score 1"}
    assert after.endswith("1")
    # the model was compiled in a thread that has ended, and not when its round began
    assert (zero, one, two) == ("begin 0 0", "begin 1 0", "begin 2 0")
    assert cold == "begin 1 1"
    assert threads == "threads True 1"


def test_a_rehearsal_that_fails_is_dropped_and_none_runs_on_a_cpu(monkeypatch):
    called = []

    def rehearse():
        called.append(jax.config.jax_default_device)
        raise ValueError("not now")

    with rehearsing(rehearse):
        pass
    assert not called
    monkeypatch.setattr(environment, "host", lambda: jax.devices()[0])
    with pytest.raises(KeyError), rehearsing(rehearse):
        raise KeyError
    assert called == [jax.devices()[0]]
    assert "jaxtune-rehearsal" not in [t.name for t in threading.enumerate()]


def test_there_is_no_host_beside_a_cpu_nor_where_jax_has_no_cpu(monkeypatch):
    assert environment.host() is None
    with environment.on_host():
        assert jax.config.jax_default_device is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert environment.host().platform == "cpu"
    with environment.on_host():
        assert jax.config.jax_default_device.platform == "cpu"
        assert environment.host() is None  # this is the host already

    def absent(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", absent)
    with environment.on_host():
        assert jax.config.jax_default_device is None


def test_a_key_that_is_on_a_device_is_freed_from_it():
    key = jax.random.key(7)
    bound = jax.device_put(key, jax.devices()[0])
    assert bound.committed
    found = environment.unplaced(bound)
    assert not found.committed
    assert jax.random.key_data(found).tolist() == jax.random.key_data(key).tolist()
    assert jax.random.key_impl(found) == jax.random.key_impl(key)


@pytest.mark.parametrize("ended", [0, 2])
def test_a_block_that_does_not_end_is_told(ended, monkeypatch):
    """The block ends when it has been told, and never if it is not."""
    told, ends = [], threading.Event()
    for name in ("LEAST", "MANY", "FIRST"):
        monkeypatch.setattr(workers, name, 0.01)
    if ended:
        monkeypatch.setattr(workers, "FIRST", moments.HANG)

    def warn(text):
        told.append(text)
        ends.set()

    def run(shared, item):
        assert item < ended or ends.wait(moments.HANG)
        return item

    monkeypatch.setattr(workers, "warn", warn)
    assert results(Devices(()), run, range(4)) == list(range(4))
    assert len(told) == 1
    assert "jaxlib" in told[0]
    assert ("none before it" in told[0]) == bool(ended)
