"""Worker pools, made up for what is hard to bring about."""

import importlib
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import jax
import killed
import moments
import numpy as np
import pytest
from editing import without_sums

import jaxtune as jt
from jaxtune import environment
from jaxtune.executors.base import ExecutorSession
from jaxtune.executors.devices import Devices
from jaxtune.executors.sharded import Sharded
from jaxtune.executors.streamed import with_stream
from jaxtune.executors.workers import FuturePool, WorkerPool
from jaxtune.programs import block as block_program
from jaxtune.programs.job import failed_block


class Threads(FuturePool):
    """Two workers whose results may wait for one before them."""

    capacity, lookahead = 2, 3

    def __init__(self):
        self.pool = ThreadPoolExecutor(8)
        self.busy = self.most = 0
        self.lock = threading.Lock()

    def with_shared(self, more):
        return self

    def submit(self, run, job):
        def counted():
            with self.lock:
                self.busy += 1
                self.most = max(self.most, self.busy)
            result = run(None, job)
            with self.lock:
                self.busy -= 1
            return result

        return self.pool.submit(counted)


def test_a_slow_block_holds_up_no_other_one():
    """The first ends after the fourth; results come in order all the same."""
    fourth, asked = threading.Event(), []

    def run(_, job):
        if job == 0:
            assert fourth.wait(timeout=moments.HANG)
        if job == 4:
            fourth.set()
        return job

    def jobs():
        for job in range(9):
            asked.append(job)
            yield job

    pool = Threads()
    assert list(pool.map_ordered(run, jobs())) == list(range(9))
    assert pool.most <= 3


def test_it_holds_up_those_that_are_too_far_ahead():
    """The first ends when its result is waited for, and no job is asked for then."""
    asked, waited_for = [], threading.Event()

    def run(_, job):
        if job == 0:
            assert waited_for.wait(timeout=moments.HANG)
        return job

    class Waiting(Threads):
        def _collect(self, future):
            waited_for.set()
            return super()._collect(future)

    def jobs():
        for job in range(30):
            asked.append(job)
            yield job

    results = Waiting().map_ordered(run, jobs())
    assert next(results) == 0
    assert len(asked) == Threads.capacity + Threads.lookahead + 1
    assert list(results) == list(range(1, 30))


class Deadly(WorkerPool):
    """Another pool, with blocks of one trial that end their processes."""

    def __init__(self, pool, trial):
        self.pool, self.trial = pool, trial

    def with_shared(self, more):
        return Deadly(self.pool.with_shared(more), self.trial)

    def map_ordered(self, run, jobs):
        def checked(shared, job):
            block = (job.job if hasattr(job, "job") else job).block
            if self.trial in np.asarray(block.trial):
                return failed_block("killed")
            return run(shared, job)

        yield from self.pool.map_ordered(checked, jobs)


def executor(make, **more):
    """An executor of a pool that is made from the one of this process."""

    @contextmanager
    def begin():
        def make_pool(shared, stream):
            return make(Devices(shared), stream)

        yield ExecutorSession(make_pool, environment.device(), **more)

    return begin


def deadly(trial):
    return executor(lambda devices, stream: with_stream(Deadly(devices, trial), stream))


def seek(executor=None, **more):
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
    plain = {
        "key": jax.random.key(3),
        "trials": 24,
        "rounds": 2,
        "epochs": 9,
        "sampler": "sobol",
    }
    plain |= {"seeds": 2, "block": 4, "executor": executor, "verbose": 0}
    return jt.search(more.pop("task", None) or killed.line(), space, **(plain | more))


GIVEN_UP = "ignore:block .* is given up:UserWarning"


@pytest.mark.filterwarnings(GIVEN_UP)
@pytest.mark.parametrize("scheduler", killed.SCHEDULERS)
def test_blocks_that_crash_fail_alone(scheduler):
    chosen = killed.SCHEDULERS[scheduler]
    found = seek(deadly(5), scheduler=chosen, rounds=1)
    status = found.trials["status"]
    assert status[5] == "crashed"
    assert (status == "crashed").sum() < 12
    assert found.trials.failed[5]
    assert not found.trials.failed[found.best.trial]
    np.testing.assert_array_equal(
        found.trials.failed, np.isnan(found.trials["score"].astype(float))
    )
    if scheduler == "none":
        fine = status == "ok"
        np.testing.assert_array_equal(
            found.trials["score"][fine], seek(rounds=1).trials["score"][fine]
        )


@pytest.mark.filterwarnings(GIVEN_UP)
def test_a_block_that_crashed_ran_on_no_device(tmp_path):
    with killed.cut_after(4):
        seek(deadly(5), directory=tmp_path)
    known = jt.load(tmp_path, killed.line()).devices
    kind = environment.device()["kind"]
    assert {k: v.tolist() for k, v in known.items()} == {kind: [0, 1, 2, 3, 6, 7]}


@pytest.mark.filterwarnings(GIVEN_UP)
def test_blocks_of_a_stream_crash_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype(np.float32)
    y = x @ np.float32([1.0, -2.0, 0.5])
    task = jt.regression(
        jt.models.MLP(classes=1, max_units=4, max_layers=1),
        train=jt.data.stream(lambda epoch: [(x, y)], examples=64, rows=32),
        valid=(x, y),
        batch_size=16,
    )
    own = {"task": task, "rounds": 1, "epochs": 2, "trials": 8, "sampler": "sobol"}
    found, plain = seek(deadly(5), **own), seek(**own)
    crashed = found.trials["status"] == "crashed"
    assert np.flatnonzero(crashed).tolist() == [4, 5]  # two seeds each
    np.testing.assert_array_equal(
        found.trials.scores[~crashed], plain.trials.scores[~crashed]
    )


def shared_by(count):
    def make(devices, stream):
        return Sharded(with_stream(devices, stream), count)

    return executor(make, measures=False, across=count)


def test_a_trial_is_trained_at_the_width_of_a_share_and_so_again(monkeypatch):
    widths, advance = [], block_program.advance

    def noted(task, root, block, *rest):
        widths.append(len(block.trial))
        return advance(task, root, block, *rest)

    monkeypatch.setattr(block_program, "advance", noted)
    found = seek(shared_by(2), block=8, trials=18, rounds=1)
    assert set(widths) == {4}
    # four blocks and a half are nine shares, in nine turns; none for padding alone
    assert len(widths) == 9 * 9
    widths.clear()
    again = jt.replay(found, 7).metrics["mse"]
    np.testing.assert_array_equal(again, found.trials.scores[7])
    assert set(widths) == {4}


def test_blocks_are_halved_to_what_can_be_shared(monkeypatch):
    advance = block_program.advance

    def short(task, root, block, *rest):
        if len(block.trial) > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")
        return advance(task, root, block, *rest)

    monkeypatch.setattr(block_program, "advance", short)
    with pytest.warns(UserWarning, match="blocks of 4"):
        found = seek(shared_by(4), block=12, rounds=1)
    assert set(found.width_overrides.width) == {4}
    assert not found.trials.failed.all()


def test_what_cannot_be_shared_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"block=6: 4 devices"):
        seek(shared_by(4), block=6)
    door = importlib.import_module("jaxtune._search")
    monkeypatch.setattr(door, "with_shared_width", lambda workload, *_: workload)
    with pytest.raises(ValueError, match=r"block of 6 lanes .* 4 devices.*block=8"):
        seek(shared_by(4), block=6)


def test_a_share_of_one_lane_that_does_not_fit_is_an_error(monkeypatch):
    def full(*args):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: no memory")

    monkeypatch.setattr(block_program, "advance", full)
    expected = pytest.raises(MemoryError, match="one lane does not fit")
    with pytest.warns(UserWarning, match="blocks of 2"), expected:
        seek(shared_by(2), block=4)


def test_processes_of_a_pod_take_turns_among_what_is_new(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    pod = importlib.import_module("jaxtune.executors._pod")
    monkeypatch.setattr(pod, "exchanged", lambda told: [told])
    ran = []

    class Job(NamedTuple):
        block: int
        device: str = ""

    def run(_, job):
        ran.append(job.block)
        return job

    pool = pod.Pod(Devices(()), turn=6)
    jobs = [Job(n) if n % 3 else None for n in range(12)]  # every third is known
    list(pool.map_ordered(run, jobs))
    assert sorted(ran) == [2, 8]  # 1, 2, 4, 5 and 7, 8, 10, 11: the second of three


def test_a_message_that_is_too_large_is_refused_by_all(monkeypatch):
    pod = importlib.import_module("jaxtune.executors._pod")
    monkeypatch.setattr(pod, "MOST", 2**16)
    assert pod.exchanged(b"x" * 2**15) == [b"x" * 2**15]
    with pytest.raises(ValueError, match=r"to exchange.*narrower blocks"):
        pod.exchanged(b"x" * 2**17)


def test_an_unfinished_run_tells_which_devices_trained_what(tmp_path):
    with killed.cut_after(4):
        seek(directory=tmp_path)
    kind = environment.device()["kind"]
    known = jt.load(tmp_path, killed.line()).devices
    assert {k: v.tolist() for k, v in known.items()} == {kind: list(range(8))}
    found = seek(directory=tmp_path)
    assert {k: v.tolist() for k, v in found.devices.items()} == {kind: list(range(24))}


def test_a_run_that_does_not_know_its_devices_is_gone_on_with(tmp_path):
    """As version 0.1.0 wrote it."""
    with killed.cut_after(4):
        seek(directory=tmp_path)
    db = sqlite3.connect(without_sums(tmp_path) / "run.sqlite")
    db.execute("DROP TABLE devices")
    db.close()
    assert jt.load(tmp_path, killed.line()).devices == {}
    found = seek(directory=tmp_path)
    assert killed.digest(found) == killed.digest(seek())
    assert [trials.tolist() for trials in found.devices.values()] == [
        list(range(8, 24))
    ]
