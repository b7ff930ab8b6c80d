"""SIGTERM and SIGHUP end a search as Ctrl-C does, and nothing is lost."""

import importlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import killed
import moments
import pytest
from children import QUIET, environment

import jaxtune as jt
from jaxtune import background, signals
from jaxtune.executors.devices import Devices
from jaxtune.samplers import Sampler

SCRIPT = """
import os
import sys

import jax
import moments

import jaxtune as jt

GATE, GRACE = float(os.environ.get("GATE", "1")), float(os.environ.get("GRACE", "5"))


class Last(jt.Callback):
    def on_end(self):
        open("on_end", "w").close()


def pass_gate(x):
    if x > GATE:
        moments.note(".", "standing")
        moments.wait_until(lambda: os.path.exists("open"), "the gate")


def objective(key, hparams):
    jax.debug.callback(pass_gate, hparams["x"])
    return hparams["x"] + jax.random.normal(key)


def search(directory="run"):
    return jt.search(
        objective,
        jt.Space(x=jt.uniform(0.0, 1.0)),
        key=jax.random.key(0),
        trials=64,
        mode="max",
        block=4,
        sampler=jt.samplers.grid(64),
        directory=directory,
        callbacks=[Last()],
        grace=GRACE,
        verbose=0,
    )


if __name__ == "__main__":
    try:
        search(*sys.argv[1:])
    finally:
        open("finally", "w").close()
"""

# a batch script as Slurm runs it: a step in the background, and its status at the end
BATCH = """
trap 'true' TERM
"$@" &
step=$!
while kill -0 $step 2> /dev/null; do wait $step; status=$?; done
echo "status $status"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    return tmp_path


BEGUN = []


@pytest.fixture(autouse=True)
def usual_handlers():
    """Test as in a terminal, also where the tests themselves run under nohup."""
    numbers = [getattr(signal, name) for name in signals.NAMES]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    for process in BEGUN:  # of a test that failed
        process.kill()
        process.communicate()
    BEGUN.clear()


def begun(folder, *command, **more):
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=folder,
        env=environment(**QUIET, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    BEGUN.append(process)
    return process


def standing(folder, process):
    """Wait for a block at the gate, with one on record before."""
    record = folder / "run" / "run.sqlite"

    def come():
        done = moments.noted(folder, "standing") > 0
        return process.poll() is not None or (done and killed.done_blocks(record))

    moments.wait_until(come, "a block at the gate")
    assert process.poll() is None, process.communicate()


def said(process):
    out, err = process.communicate(timeout=moments.HANG)
    return process.returncode, out, err


def straight(folder):
    sys.path.insert(0, str(folder))
    try:
        train = importlib.import_module("train")
        return train, killed.digest(train.search(None))
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("train", None)


def test_under_slurm_a_run_ends_in_time_and_goes_on_to_the_bit(folder):
    """Scancel asks the whole group to end; blocks in flight never do, and are left."""
    batch = ("sh", "-c", BATCH, "sh", sys.executable, "train.py")
    process = begun(folder, *batch, GATE="0.5", GRACE="0.1")
    standing(folder, process)
    os.killpg(process.pid, signal.SIGTERM)
    _, out, err = said(process)
    assert out == "status 143\n", err
    assert f"Resume with: jaxtune resume {folder}/run --task FILE.py:NAME" in err
    assert "Traceback" not in err
    assert (folder / "on_end").exists()
    assert (folder / "finally").exists()
    before = killed.done_blocks(folder / "run" / "run.sqlite")
    assert 0 < before < 16
    assert not jt.load(folder / "run").finished
    train, whole = straight(folder)
    assert killed.digest(jt.resume(folder / "run", train.objective)) == whole


def catches(process, number):
    """Return whether a process has a handler of its own for a signal."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is caught")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_blocks_in_flight_that_end_in_time_are_kept(folder, name):
    process = begun(
        folder, sys.executable, "train.py", GATE="0.5", GRACE=str(moments.HANG)
    )
    standing(folder, process)
    before = killed.done_blocks(folder / "run" / "run.sqlite")
    process.send_signal(getattr(signal, name))
    # attended to: the next one would end the process
    number = getattr(signal, name)
    moments.wait_until(lambda: not catches(process, number), "the signal")
    (folder / "open").touch()
    code, _, err = said(process)
    assert code == 128 + getattr(signal, name), err
    assert f"{name}: " in err
    after = killed.done_blocks(folder / "run" / "run.sqlite")
    assert before < after < 16
    assert f"{after} finished blocks are kept" in err


def test_a_second_signal_ends_at_once(folder):
    process = begun(
        folder, sys.executable, "train.py", GATE="0.5", GRACE=str(moments.HANG)
    )
    standing(folder, process)

    def again():  # until the first one has been attended to
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None

    moments.wait_until(again, "a second signal")
    assert said(process)[0] == -signal.SIGTERM
    assert not jt.load(folder / "run").finished


def test_the_command_line_exits_with_143(folder):
    process = begun(folder, sys.executable, "train.py", GATE="0.2", GRACE="0")
    standing(folder, process)
    process.send_signal(signal.SIGHUP)
    assert said(process)[0] == 129
    for event in folder.glob("standing-*"):
        event.unlink()
    own = ("resume", "run", "--task", "train.py:objective", "--grace", "0")
    process = begun(folder, sys.executable, "-m", "jaxtune", *own, GATE="0.7")
    standing(folder, process)
    process.send_signal(signal.SIGTERM)
    code, _, err = said(process)
    assert code == 143
    assert f"Resume with: jaxtune resume {folder}/run --task FILE.py:NAME" in err
    assert "Traceback" not in err


def seek(directory=None, **more):
    plain = {"key": jax.random.key(0), "trials": 32, "mode": "min", "block": 4}
    plain |= {"sampler": "sobol", "verbose": 0, "directory": directory}
    space = jt.Space(x=jt.uniform(0.0, 1.0))
    return jt.search(lambda key, h: (h["x"] - 0.3) ** 2, space, **(plain | more))


class AtBlock(jt.Callback):
    """Calls a function once, after the second block."""

    def __init__(self, call):
        self.call, self.blocks = call, 0

    def on_block(self, *_):
        self.blocks += 1
        if self.blocks == 2:
            self.call()


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def handlers():
    return [signal.getsignal(getattr(signal, name)) for name in signals.NAMES]


@pytest.fixture
def own_handler():
    """Replace a handler of this process, for a test."""
    before = dict(zip(signals.NAMES, handlers(), strict=True))
    yield lambda name, mine: signal.signal(getattr(signal, name), mine)
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def test_handlers_are_those_of_before(tmp_path):
    seen, before = [], handlers()
    seek(callbacks=[AtBlock(lambda: seen.extend(handlers()))])
    assert set(seen) == {signals._hear}
    assert handlers() == before == [signal.SIG_DFL] * 2
    with pytest.raises(SystemExit):
        seek(callbacks=[AtBlock(send)])
    assert handlers() == before
    with pytest.raises(ZeroDivisionError):
        seek(callbacks=[AtBlock(lambda: 1 / 0)])
    assert handlers() == before


def test_handlers_of_the_user_and_nohup_stay(own_handler, tmp_path, capsys):
    def mine(*_):
        raise SystemExit(7)

    own_handler("SIGTERM", mine)
    own_handler("SIGHUP", signal.SIG_IGN)
    assert len(seek(callbacks=[AtBlock(lambda: send(signal.SIGHUP))]).trials) == 32
    with pytest.raises(SystemExit) as ended:
        seek(tmp_path / "run", callbacks=[AtBlock(send)])
    assert ended.value.code == 7
    assert f"jaxtune resume {tmp_path / 'run'} --task" in capsys.readouterr().err
    assert handlers() == [mine, signal.SIG_IGN]
    whole = killed.digest(seek())
    assert killed.digest(seek(tmp_path / "run")) == whole


def test_without_a_directory_nothing_is_kept_and_that_is_said(capsys):
    with pytest.raises(SystemExit) as ended:
        seek(callbacks=[AtBlock(send)])
    assert ended.value.code == 143
    assert "SIGTERM: nothing is kept" in capsys.readouterr().err


def test_in_another_thread_signals_are_left_alone():
    found = []
    other = threading.Thread(
        target=lambda: seek(callbacks=[AtBlock(lambda: found.extend(handlers()))])
    )
    other.start()
    other.join()
    assert found == [signal.SIG_DFL] * 2


def test_a_run_with_functions_is_resumed_by_the_same_call(tmp_path):
    def stop():
        raise KeyboardInterrupt

    init, ask, tell = jt.samplers.sobol()
    own = Sampler(lambda key, space: init(key, space), ask, tell)
    with pytest.raises(KeyboardInterrupt, match=r"same call of jaxtune\.search"):
        seek(tmp_path / "run", callbacks=[AtBlock(stop)], sampler=own)


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "5", None, True])
def test_grace_is_a_number_of_seconds(grace):
    with pytest.raises(ValueError, match=r"grace: got .*Use a number of seconds"):
        seek(grace=grace)


def test_a_pool_keeps_the_first_blocks_that_end_in_time():
    """Of those in flight; those that wait for a place are taken back."""
    began, gate = threading.Semaphore(0), threading.Event()

    class Done(tuple):
        def _replace(self, **_):
            return self

    def run(_, job):
        began.release()
        assert gate.wait(moments.HANG)
        return Done((job,))

    def jobs():
        yield from range(100)

    pool = Devices(None)

    def signalled():
        for _ in range(pool.capacity):
            began.acquire()
        send()
        gate.set()

    other, found = threading.Thread(target=signalled), []
    other.start()
    with pytest.raises(SystemExit), signals.ending(moments.HANG):
        found.extend(job for (job,) in pool.map_ordered(run, jobs()))
    other.join()
    assert found == list(range(len(found)))
    assert pool.capacity <= len(found) < 100


def test_threads_that_compute_longer_are_left_behind():
    began, gate = threading.Event(), threading.Event()

    def compute():
        began.set()
        assert gate.wait(moments.HANG)

    pool = background.Threads(1, "test")
    first, second = pool.submit(compute), pool.submit(compute)
    assert began.wait(moments.HANG)

    def end():
        with signals.held_back():
            send()
        pool.shutdown(cancel_futures=True)

    with pytest.raises(SystemExit), signals.ending(0.0):
        end()
    assert pool.alive
    assert second.cancelled()
    gate.set()
    first.result(moments.HANG)
    pool.shutdown()
    assert not pool.alive
