"""Ray's workers: the same table whatever happens to them. All on this machine."""

import contextlib
import importlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import children
import jax
import jax.numpy as jnp
import killed
import moments
import numpy as np
import psutil
import pytest

import jaxtune as jt
from jaxtune.executors import ray_worker as worker
from jaxtune.executors import serialization as wire

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
ray = pytest.importorskip("ray")
jaxtune_ray = importlib.import_module("jaxtune.executors._ray")

# Ray's own, of the processes that it starts
pytestmark = pytest.mark.filterwarnings(
    "ignore:os.fork:RuntimeWarning", "ignore::ResourceWarning"
)

KINDS = "PRETENDED_KIND"


def pretending():
    """For workers; nested, so that it travels by value."""

    def pretend():
        """Be another kind of device, or another version, if this node says so."""
        from jaxtune import environment

        kind = os.environ.get(KINDS)
        if kind:
            worker.kind = environment.kind = lambda device: kind
        if os.environ.get("PRETENDED_VERSION"):
            environment.versions = lambda: {"jaxlib": "0.0.1"}

    return pretend


@pytest.fixture(scope="module")
def cluster():
    """A head without cores, to which nodes are added; this process joins it."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    made.add_node(num_cpus=4)
    ray.init(made.address, runtime_env={"worker_process_setup_hook": pretending()})
    yield made
    ray.shutdown()
    made.shutdown()


def seek(executor=None, scheduler="none", directory=None, **more):
    """A search of some fifty blocks, or what is left of it."""
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
    plain = {
        "key": jax.random.key(3),
        "trials": 40,
        "rounds": 2,
        "epochs": 9,
        "sampler": "sobol",
    }
    plain |= {"seeds": 2, "block": 4, "scheduler": killed.SCHEDULERS[scheduler]}
    plain |= {"executor": executor, "directory": directory, "verbose": 0}
    return jt.search(more.pop("task", None) or killed.line(), space, **(plain | more))


@pytest.fixture(scope="module")
def straight():
    """The tables of searches in this process."""
    return {name: killed.digest(seek(scheduler=name)) for name in killed.SCHEDULERS}


def cases():
    """Workers by cores that a block asks for; a few of them every time."""
    for cpus, scheduler in itertools.product((4, 2, 1), killed.SCHEDULERS):
        short = (cpus, scheduler) in ((4, "pbt"), (2, "none"), (1, "halving"))
        marks = () if short else pytest.mark.slow
        yield pytest.param(cpus, scheduler, marks=marks)


@pytest.mark.parametrize(("cpus", "scheduler"), list(cases()))
def test_one_two_or_four_workers_end_in_the_same_table(
    cpus, scheduler, cluster, straight
):
    found = seek(jt.executors.ray(cpus=cpus), scheduler)
    assert killed.digest(found) == straight[scheduler]


def test_functions_of_a_script_and_random_keys_travel(cluster):
    """A closure, which goes by value, and a model whose state holds a key."""
    offset = jnp.float32(0.25)

    def objective(key, hparams):
        return (hparams["x"] - offset) ** 2 + 0.1 * jax.random.normal(key)

    space = jt.Space(x=jt.uniform(0.0, 1.0))
    plain = {"key": jax.random.key(1), "trials": 64, "rounds": 2, "sampler": "sobol"}
    plain |= {"mode": "min", "block": 8, "seeds": 2}
    here = jt.search(objective, space, **plain)
    there = jt.search(objective, space, **plain, executor=jt.executors.ray())
    assert killed.digest(here) == killed.digest(there)
    keys = jax.random.split(jax.random.key(4, impl="rbg"), 3)
    again = wire.loads(wire.dumps({"keys": keys}))["keys"]
    assert again.dtype == keys.dtype
    assert (jax.random.key_data(again) == jax.random.key_data(keys)).all()


def test_settings_of_jax_travel(cluster):
    def sum_(key, hparams):
        return hparams["x"] * 0 + (jnp.zeros(()).dtype == jnp.float64)

    space = jt.Space(x=jt.uniform(0.0, 1.0))
    plain = {"key": jax.random.key(0), "trials": 4, "mode": "max"}
    with jax.enable_x64(True):
        found = jt.search(sum_, space, **plain, executor=jt.executors.ray())
    assert found.trials["score"].tolist() == [1.0] * 4


def test_a_worker_compiles_once_and_data_are_sent_once(cluster, monkeypatch, tmp_path):
    """Two rounds and many blocks: a program is traced once in every process."""
    told = tmp_path / "traced"

    def objective(key, hparams):
        with told.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return hparams["x"] ** 2

    sent = []
    put = ray.put
    monkeypatch.setattr(ray, "put", lambda thing: sent.append(1) or put(thing))
    space = jt.Space(x=jt.uniform(0.0, 1.0))
    plain = {
        "key": jax.random.key(1),
        "trials": 64,
        "rounds": 2,
        "mode": "min",
        "sampler": "sobol",
    }
    jt.search(objective, space, **plain, block=4, executor=jt.executors.ray(cpus=2))
    processes = [pid for pid in told.read_text().split() if int(pid) != os.getpid()]
    assert 1 <= len(processes) <= 2
    assert len(processes) == len(set(processes))
    assert len(sent) == 2  # the key, and the function


def test_a_stream_is_read_here_and_trains_there(cluster):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 3)).astype(np.float32)
    y = x @ np.float32([1.0, -2.0, 0.5])

    def batches(epoch):
        order = np.random.default_rng(epoch).permutation(64)
        for rows in order.reshape(4, 16):
            yield x[rows], y[rows]

    task = jt.regression(
        jt.models.MLP(classes=1, max_units=4, max_layers=1),
        train=jt.data.stream(batches, examples=64, rows=32),
        valid=(x, y),
        batch_size=16,
    )
    space = jt.Space(learning_rate=jt.log_uniform(1e-3, 1.0))
    plain = {
        "key": jax.random.key(0),
        "trials": 12,
        "epochs": 2,
        "block": 4,
        "sampler": "sobol",
    }
    here = jt.search(task, space, **plain)
    there = jt.search(task, space, **plain, executor=jt.executors.ray(cpus=2))
    assert killed.digest(here) == killed.digest(there)


# faults


def mortal(folder, began, ended):
    """The line; a worker that trains it dies at some of the events, each time once."""
    return moments.eventful(
        killed.line(),
        moments.dying(folder, "began", began),
        moments.dying(folder, "ended", ended),
    )


def survive(folder, began, ended, **more):
    """Search while workers die at numbered events, and compare with a quiet search."""
    task = mortal(str(folder), began, ended)
    here = killed.digest(seek(task=task, **more))
    # each number kills one worker, so no block can be killed as often as it is tried
    kills = len(began) + len(ended)
    executor = jt.executors.ray(cpus=2, tries=kills + 1)
    assert killed.digest(seek(executor, task=task, **more)) == here
    assert moments.noted(folder, "began") > max(began)
    assert moments.noted(folder, "ended") > max(ended)


def test_workers_that_are_killed_change_no_bit(cluster, tmp_path):
    """When a block begins, and when one is done but not yet returned."""
    survive(tmp_path, began=(1, 12), ended=(5,))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", killed.SCHEDULERS)
def test_many_workers_that_are_killed_change_no_bit(scheduler, cluster, tmp_path):
    more = {"trials": 120, "scheduler": scheduler}
    survive(tmp_path, began=range(2, 40, 9), ended=range(3, 50, 9), **more)


def deadly(key, hparams):
    """Kills its process at large values."""

    def kill(x):
        if x > 0.9 and os.environ.get("RAY_JOB_ID"):
            os.kill(os.getpid(), signal.SIGKILL)

    jax.debug.callback(kill, hparams["x"])
    return hparams["x"]


PLAIN = {
    "key": jax.random.key(1),
    "trials": 32,
    "mode": "min",
    "block": 4,
    "sampler": "sobol",
}
UNIT = jt.Space(x=jt.uniform(0.0, 1.0))


def test_a_block_that_kills_every_worker_is_given_up_and_the_search_goes_on(
    cluster, tmp_path
):
    here = jt.search(deadly, UNIT, **PLAIN)
    with pytest.warns(UserWarning, match=r"4 trials have failed.*ended 2 processes"):
        found = jt.search(
            deadly,
            UNIT,
            **PLAIN,
            executor=jt.executors.ray(tries=2),
            directory=tmp_path / "run",
        )
    crashed = found.trials["status"] == "crashed"
    doomed = here.trials["x"] > 0.9
    assert doomed.any()
    np.testing.assert_array_equal(crashed, np.repeat(doomed.reshape(-1, 4).any(1), 4))
    fine = found.trials["score"][~crashed]
    np.testing.assert_array_equal(fine, here.trials["score"][~crashed])
    assert np.isnan(found.trials["score"][crashed]).all()
    assert not crashed[found.best.trial]
    # it is on record, and not tried again
    assert killed.digest(jt.load(tmp_path / "run")) == killed.digest(found)
    assert killed.digest(jt.resume(tmp_path / "run", deadly)) == killed.digest(found)


def large(key, hparams):
    """Takes 32 MB a lane; a worker has 1 GB more than it had when it began."""
    if os.environ.get("RAY_JOB_ID"):
        import resource

        statm = Path("/proc/self/statm").read_text()
        used = int(statm.split()[0]) * resource.getpagesize()
        if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**30,) * 2)
    rows = jnp.arange(2**23, dtype=jnp.float32)
    return jax.lax.optimization_barrier(rows * hparams["x"]).max()


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux's means")
def test_a_worker_without_memory_gets_narrower_blocks(cluster):
    wide = PLAIN | {"block": 32}
    with pytest.warns(UserWarning, match=r"does not fit on .* process \d+ on") as told:
        found = jt.search(large, UNIT, **wide, executor=jt.executors.ray(cpus=4))
    assert [w.filename for w in told] == [__file__] * len(told)
    width = int(found.width_overrides.width[0])
    assert width < 32
    here = jt.search(large, UNIT, **(PLAIN | {"block": width}))
    np.testing.assert_array_equal(found.trials.scores, here.trials.scores)


def test_an_error_of_the_users_comes_back_as_it_is(cluster):
    def wrong(key, hparams):
        if os.environ.get("RAY_JOB_ID"):
            raise ZeroDivisionError("of mine")
        return hparams["x"]

    with pytest.raises(ZeroDivisionError, match="of mine") as raised:
        jt.search(wrong, UNIT, **PLAIN, executor=jt.executors.ray())
    assert raised.type is ZeroDivisionError
    assert "ray::run_job" in str(raised.value.__cause__)  # where it was


def test_what_cannot_travel_is_named(cluster):
    held = threading.Lock()

    def locked(key, hparams):
        with held:
            return hparams["x"]

    with pytest.raises(ValueError, match=r"cannot pickle .*lock.*close over"):
        jt.search(locked, UNIT, **PLAIN, executor=jt.executors.ray())


def test_a_module_that_a_worker_lacks_is_named(cluster, tmp_path, monkeypatch):
    """Imported here from a folder that is gone when the worker looks for it."""
    (tmp_path / "mine_alone.py").write_text("def own(key, h):\n    return h['x']\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("mine_alone").own
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match=r"no module 'mine_alone'.*working_dir"):
        jt.search(own, UNIT, **PLAIN, executor=jt.executors.ray())


def test_a_node_is_lost_and_another_one_joins(cluster, tmp_path):
    """While a block runs, the only node with room goes, and then one comes."""
    folder = str(tmp_path)

    def hold():
        if not moments.note(folder, "began"):  # the first block, until it is killed
            moments.wait_until(lambda: False, "the end of this node")

    task = moments.eventful(killed.line(), began=hold)
    here = killed.digest(seek(task=task))
    executor = jt.executors.ray(resources={"here": 1}, tries=10)
    node = cluster.add_node(num_cpus=2, resources={"here": 2})
    with ThreadPoolExecutor(1) as pool:  # Ray adds nodes in the main thread only
        searching = pool.submit(seek, executor, task=task)
        moments.wait_until(
            lambda: moments.noted(folder, "began") or searching.done(), "a block"
        )
        cluster.remove_node(node, allow_graceful=False)
        assert not searching.done()
        cluster.add_node(num_cpus=2, resources={"here": 2})
        assert killed.digest(searching.result()) == here


def meeting(folder):
    """The line; of two workers that train it, none ends before the other one began."""

    def meet():
        moments.note(folder, f"process-{os.getpid()}")
        both = lambda: len({*Path(folder).glob("process-*-0")}) > 1  # noqa: E731
        moments.wait_until(both, "a block in the other worker")

    return moments.eventful(killed.line(), began=meet)


def test_other_kinds_of_device_are_refused_or_marked(cluster, tmp_path):
    def own(kind):
        return cluster.add_node(
            num_cpus=1, resources={"mixed": 1}, env_vars={KINDS: kind}
        )

    task = meeting(str(tmp_path))
    nodes = [own("one kind"), own("another")]
    try:
        there = {"resources": {"mixed": 1}}
        with pytest.raises(RuntimeError, match=r"a block ran on .*mixed=True"):
            seek(jt.executors.ray(**there), directory=tmp_path / "no", task=task)
        for path in tmp_path.glob("process-*"):
            path.unlink()  # they meet again
        both = jt.executors.ray(**there, mixed=True)
        found = seek(both, directory=tmp_path / "yes", task=task)
    finally:
        for node in nodes:
            cluster.remove_node(node)
    assert set(found.devices) == {"one kind", "another"}
    assert set(np.concatenate(list(found.devices.values()))) == set(range(40))
    known = jt.load(tmp_path / "yes").devices
    assert {k: v.tolist() for k, v in known.items()} == {
        k: v.tolist() for k, v in found.devices.items()
    }
    assert killed.digest(found) == killed.digest(seek(task=task))  # they only pretend
    with pytest.raises(jt.RunError, match=r"another device"):
        seek(directory=tmp_path / "no", task=task)


def test_joining_a_cluster_without_a_token_is_warned_about(monkeypatch):
    joined = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **_: joined.append(address))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.2")
    asks = jaxtune_ray.ResourceRequest(1.0, 0.0, {}, 4)
    for mode, address, warned in (
        ("disabled", "10.0.0.1:6379", True),
        ("disabled", "127.0.0.1:6379", False),
        ("token", "10.0.0.1:6379", False),
    ):
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
        quiet = contextlib.nullcontext()
        loud = pytest.warns(UserWarning, match="whoever reaches")
        joining = jaxtune_ray._cluster(address, None, asks, None)
        with loud if warned else quiet, joining:
            assert joined.pop() == address
    monkeypatch.delenv("RAY_AUTH_MODE")
    with jaxtune_ray._cluster("10.0.0.1:6379", None, asks, None):
        assert os.environ["RAY_AUTH_MODE"] == "token"
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    joining = jaxtune_ray._cluster("10.0.0.1:6379", None, asks, None)
    with pytest.raises(RuntimeError, match="could not reach it"), joining:
        pass
    assert joined == ["10.0.0.1:6379"]


def test_the_command_line_goes_on_on_a_cluster(cluster, straight, tmp_path):
    with killed.cut_after(5):
        seek(directory=tmp_path / "run")
    task = f"{Path(killed.__file__)}:line"
    command = ["resume", tmp_path / "run", "--task", task, "--ray", cluster.address]
    command = [sys.executable, "-m", "jaxtune", *command]
    said = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert said.returncode == 0, said.stderr[-3000:]
    assert killed.digest(jt.load(tmp_path / "run")) == straight["none"]


def test_a_worker_with_other_versions_is_refused(cluster):
    node = cluster.add_node(
        num_cpus=1, resources={"old": 1}, env_vars={"PRETENDED_VERSION": "1"}
    )
    try:
        with pytest.raises(RuntimeError, match=r"jaxlib 0.0.1 \(the driver has"):
            seek(jt.executors.ray(resources={"old": 1}))
    finally:
        cluster.remove_node(node)


DRIVER = """
import sys
import killed, jax
import jaxtune as jt
directory, held = sys.argv[1:]
class Hold(jt.Callback):
    def on_block(self, *_):
        print("block", flush=True)
        sys.stdin.readline()
space = jt.Space(learning_rate=jt.log_uniform(1e-3, 10.0))
found = jt.search(
    killed.line(), space, key=jax.random.key(3), trials=40, rounds=2, epochs=9,
    sampler="sobol", seeds=2, block=4, directory=directory, verbose=0,
    executor=jt.executors.ray(workers=2), callbacks=[Hold()] if held == "held" else [],
)
print(killed.digest(found))
"""


def without_ray():
    """The environment of a process that has not joined this test's cluster."""
    own = children.environment()
    return {name: v for name, v in own.items() if not name.startswith("RAY_")}


def listening(process):
    """Where a process and its children listen, but for the loopback interface."""
    for one in [process, *process.children(recursive=True)]:
        for connection in one.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                yield connection.laddr.ip


def test_a_driver_that_is_killed_goes_on_and_nobody_outside_was_listened_to(
    tmp_path, straight
):
    """A cluster of the search's own, from a script, as a user would begin it."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "run")]
    plain = {"env": without_ray(), "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "held"], stdin=subprocess.PIPE, **plain) as driver:
        assert driver.stdout.readline() == "block\n"  # and it waits there
        where = set(listening(psutil.Process(driver.pid)))
        began = psutil.Process(driver.pid).children(recursive=True)
        # Ray's agents stay for a minute, and are not waited for
        names = ("raylet", "ray::IDLE", "ray::run_job")
        computing = [one for one in began if one.name() in names]
        driver.kill()
    assert len(computing) > 1
    assert where
    assert where <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert 1 <= killed.done_blocks(tmp_path / "run" / "run.sqlite") < 20
    psutil.wait_procs(computing, timeout=moments.HANG)
    assert not [process for process in computing if process.is_running()]
    with subprocess.Popen([*command, "free"], **plain) as driver:
        said = driver.stdout.read().split()
    assert said[-1] == straight["none"]


def test_a_signal_to_the_whole_group_loses_no_trial(tmp_path, straight):
    """As scancel sends it: Ray's processes leave it to the driver to end them."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "run")]
    plain = {"env": without_ray(), "text": True, "start_new_session": True}
    plain |= dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*command, "held"], **plain) as driver:
        assert driver.stdout.readline() == "block\n"  # and it waits there
        began = psutil.Process(driver.pid).children(recursive=True)
        os.killpg(driver.pid, signal.SIGTERM)
        _, err = driver.communicate("\n", timeout=moments.HANG)
    psutil.wait_procs(began, timeout=moments.HANG)
    assert not [process for process in began if process.is_running()]
    assert driver.returncode == 143, err
    assert f"Resume with: jaxtune resume {tmp_path / 'run'}" in err
    left = jt.load(tmp_path / "run")
    assert "crashed" not in left.trials["status"]
    found = jt.resume(tmp_path / "run", killed.line(), verbose=0)
    assert killed.digest(found) == straight["none"]


HUNGRY = """
import os, sys, time
from pathlib import Path
import jax, numpy as np
import jaxtune as jt

def hungry(key, hparams):
    flag = Path(FLAG)
    if os.environ.get("RAY_JOB_ID") and not flag.exists():
        flag.touch()
        hold = np.ones(2**29)  # 4 GiB
        time.sleep(600)  # Ray ends it before
    return hparams["x"]

found = jt.search(
    hungry, jt.Space(x=jt.uniform(0.0, 1.0)), key=jax.random.key(0), trials=16,
    mode="min", block=8, verbose=0, executor=jt.executors.ray(workers=1),
    sampler="sobol",
)
print(set(found.width_overrides.width.tolist()), set(found.trials["status"]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Ray watches memory on Linux")
def test_a_machine_that_runs_out_of_memory_gets_narrower_blocks(tmp_path):
    """Ray ends the worker before the machine is full: 2 GiB more than now, here."""
    memory = psutil.virtual_memory()
    most = (memory.total - memory.available + 2**31) / memory.total
    watch = {"RAY_memory_usage_threshold": str(most)}
    watch |= {"RAY_memory_monitor_refresh_ms": "100"}
    code = HUNGRY.replace("FLAG", repr(str(tmp_path / "flag")))
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=without_ray() | watch,
        capture_output=True,
        text=True,
        timeout=moments.HANG,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert found.stdout.splitlines()[-1] == "{4} {'ok'}"
