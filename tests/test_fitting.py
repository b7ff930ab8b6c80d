"""The width of a block follows from the work: no wider, evenly divided, and it fits."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jaxtune as jt
from jaxtune import hardware
from jaxtune.executors.workers import OutOfMemory
from jaxtune.hardware import ACCELERATOR, CPU, SWITCH
from jaxtune.planning import memory, preparation
from jaxtune.planning import width as calibrate
from jaxtune.planning.cost import LaneCost, cost_of, seconds_of_a_block
from jaxtune.planning.fitting import fastest, occupancy_of
from jaxtune.planning.loads import Load, loads_of, of_each_program
from jaxtune.planning.memory import bytes_of_a_lane, footprint
from jaxtune.planning.preparation import prepare
from jaxtune.planning.tracing import trace
from jaxtune.schedulers.groups import apart

KEY = jax.random.key(0)
RATES = jt.Space(learning_rate=jt.log_uniform(1e-3, 0.3), momentum=jt.uniform(0.0, 0.9))
PLANE = jt.Space(x=jt.uniform(0.0, 1.0), y=jt.uniform(0.0, 1.0))
EXAMPLES = 1408

# lane-epochs a second by width, measured on one H100 80GB HBM3 with jax 0.11.2: one
# hidden layer, 64 inputs, 22 batches of 64 an epoch
MEASURED = {
    128: {64: 74_919, 256: 159_791, 1024: 172_041, 4096: 176_441},
    16: {64: 93_956, 256: 309_217, 1024: 638_051, 4096: 757_290},
}


def digits(units=16, layers=1):
    x, y = np.zeros((EXAMPLES, 64), np.float32), np.arange(EXAMPLES) % 10
    model = jt.models.MLP(10, max_units=units, max_layers=layers)
    valid = (x[:352], y[:352])
    task = jt.classification(model, train=(x, y), valid=valid, batch_size=64)
    return jt.tasks.check_data(task)


def bowl(key, hparams):
    return (hparams["x"] - 0.3) ** 2 + hparams["y"] ** 2


@pytest.mark.parametrize("units", MEASURED)
def test_the_model_of_an_accelerator_is_near_what_was_measured(units):
    workload = prepare(digits(units), RATES, KEY, 20, 8)
    (traced,) = trace(workload, RATES)
    cost = cost_of(traced.jaxpr.jaxpr)
    for width, rate in MEASURED[units].items():
        said = width / seconds_of_a_block(cost, width, ACCELERATOR)
        assert said == pytest.approx(rate, rel=0.25), width


def test_a_loop_costs_its_turns_and_what_it_hands_on():
    def turns(count):
        def value(key, hparams):
            w = jnp.full((8, 8), hparams["x"])
            return jax.lax.fori_loop(0, count, lambda _, v: v @ v, w).sum()

        workload = prepare(jt.tasks.function.as_task(value), PLANE, KEY)
        return cost_of(trace(workload, PLANE)[0].jaxpr.jaxpr)

    few, many = turns(3), turns(6)
    # a product, and the three things that a turn hands on
    assert many.kernels - few.kernels >= 3
    assert many.operations - few.operations >= 3 * 2 * 8**3
    assert many.bytes - few.bytes >= 3 * 2 * 8 * 8 * 4


HEAVY = LaneCost(kernels=1, operations=1e9, bytes=1e6)  # launches cost nothing
LIGHT = LaneCost(kernels=1000, operations=1.0, bytes=1.0)  # launches cost all


@given(
    lanes=st.integers(1, 10_000),
    most=st.integers(1, 4096),
    heavy=st.booleans(),
    kind=st.sampled_from([CPU, ACCELERATOR]),
)
def test_no_block_is_wider_than_its_work(lanes, most, heavy, kind):
    cost = HEAVY if heavy else LIGHT
    width = fastest(cost, Counter([Load(lanes, 3)]), most, kind)
    assert 1 <= width <= min(lanes, most)
    if kind is ACCELERATOR:
        # no fewer lanes than fill the same number of blocks evenly
        assert width == -(-lanes // -(-lanes // width))


@pytest.mark.parametrize(
    ("lanes", "most", "width"),
    [(8, 4096, 8), (64, 4096, 64), (4096, 4096, 4096), (5000, 4096, 2500)],
)
def test_an_accelerator_trains_a_round_in_few_even_blocks(lanes, most, width):
    assert fastest(LIGHT, Counter([Load(lanes, 5)]), most, ACCELERATOR) == width


def test_a_cpu_spreads_what_takes_long_over_its_cores_and_nothing_else():
    load = Counter([Load(8, 1)])
    assert fastest(HEAVY, load, 256, CPU) == 2  # for four cores, or two
    assert fastest(LIGHT, load, 256, CPU) == 8


def test_a_program_is_worth_the_operations_that_its_compiling_takes():
    # layouts of earlier searches on a CPU stand on this number
    assert CPU.worth_a_program == 5e11
    assert ACCELERATOR.worth_a_program > 10 * CPU.worth_a_program


def test_the_number_of_cores_changes_no_width(monkeypatch):
    found = set()
    for cores in (1, 3, 64):
        monkeypatch.setattr(hardware, "cores", lambda cores=cores: cores)
        found.add(jt.plan(digits(), RATES, trials=20, memory=False).width)
    assert len(found) == 1


def test_late_rungs_count_as_much_as_they_take():
    """Few lanes train longest: a block as wide as the first rung would be empty."""
    plan = jt.schedulers.successive_halving().plan(4096, 27)
    loads = loads_of([plan], seeds=1)
    assert [load.lanes for load in loads] == [4096, 1365, 455]
    cost = LaneCost(kernels=700, operations=7e7, bytes=5e6)  # 128 units, an epoch
    width = fastest(cost, Counter(loads), 4096, ACCELERATOR)
    assert width < 1365
    assert occupancy_of(loads, width) > 0.9 > occupancy_of(loads, 4096)


@pytest.mark.parametrize("name", ["in_full", "hyperband"])
def test_values_that_a_study_compares_share_blocks(name):
    """Each is scheduled alone, and trains in the blocks of all."""
    one = getattr(jt.schedulers, name)()
    loads = loads_of([apart(one, 3).plan(3 * 40, 9)], seeds=2)
    assert loads == tuple(
        load._replace(lanes=3 * load.lanes)
        for load in loads_of([one.plan(40, 9)], seeds=2)
    )
    # in batches of all values, too
    halves = loads_of([apart(jt.schedulers.in_full(), 3).plan(120, 9)], 2, [(60, 60)])
    assert halves == (Load(120, 9), Load(120, 9))


def test_devices_that_share_a_block_get_whole_shares():
    for lanes in (1, 5, 64, 1000):
        width = fastest(LIGHT, Counter([Load(lanes, 1)]), 256, ACCELERATOR, across=4)
        assert width % 4 == 0
        assert width < lanes + 4


def test_lanes_of_other_programs_fill_no_block():
    kind = jt.choice(["a", "b", "c", "d"], static=True)
    space = jt.Space(x=PLANE["x"], y=PLANE["y"], kind=kind)
    workload = prepare(jt.tasks.function.as_task(bowl), space, KEY)
    each = of_each_program([Load(64, 1)], workload.layout, space)
    assert each == Counter({Load(16, 1): 4})


@pytest.mark.parametrize("kind", ["cpu", "accelerator"])
@pytest.mark.parametrize("trials", [1, 8, 100])
def test_a_plain_function_computes_no_more_than_its_trials(kind, trials, monkeypatch):
    monkeypatch.setenv(SWITCH, kind)
    found = jt.search(
        bowl, PLANE, key=KEY, trials=trials, mode="min", verbose=0, sampler="sobol"
    )
    assert found.cost.occupancy == 1.0
    assert found.cost[:2] == (0, 0)
    planned = jt.plan(bowl, PLANE, trials=trials, sampler="sobol")
    assert planned.width == found.setup.workload.width == trials
    assert "all lanes of a round" in repr(planned)


def test_the_occupancy_of_a_plain_function_is_true(tmp_path):
    own = {
        "key": KEY,
        "trials": 10,
        "mode": "min",
        "verbose": 0,
        "rounds": 2,
        "sampler": "sobol",
    }
    found = jt.search(bowl, PLANE, block=4, directory=tmp_path / "run", **own)
    assert found.cost.occupancy == 10 / 16
    assert jt.load(tmp_path / "run").cost.occupancy == 10 / 16


def test_an_interrupted_run_counts_the_values_that_it_has(tmp_path):
    class Interrupt(jt.Callback):
        def on_block(self, number, event):
            raise KeyboardInterrupt

    own = {"key": KEY, "trials": 5, "mode": "min", "verbose": 0, "block": 4}
    with pytest.raises(KeyboardInterrupt):
        jt.search(bowl, PLANE, directory=tmp_path, callbacks=[Interrupt()], **own)
    assert jt.load(tmp_path).cost.occupancy == 1.0  # one full block of two


def test_a_search_has_the_width_of_its_plan(monkeypatch):
    monkeypatch.setenv(SWITCH, "accelerator")
    task = digits()
    for scheduler in (None, "successive_halving"):
        more = {"rounds": 2, "epochs": 6, "scheduler": scheduler}
        planned = jt.plan(task, RATES, trials=36, memory=False, **more)
        found = jt.search(task, RATES, key=KEY, trials=36, verbose=0, **more)
        assert planned.width == found.setup.workload.width
        assert planned.width <= 18


def test_most_lanes_that_are_empty_are_worth_a_warning():
    own = {"key": KEY, "trials": 8, "mode": "min", "verbose": 0, "sampler": "sobol"}
    with pytest.warns(UserWarning, match=r"block=64: 88% .* at most block=8"):
        jt.search(bowl, PLANE, block=64, **own)
    jt.search(bowl, PLANE, block=16, **own)  # half of them: no warning


def test_a_million_values_are_a_few_blocks():
    said = jt.plan(bowl, PLANE, trials=10**6, sampler="sobol")
    assert said.width >= 2**15
    assert said.empty < 0.01

    def long(key, hparams):
        turn = lambda _, v: jnp.sin(v) + hparams["y"]  # noqa: E731
        return jax.lax.fori_loop(0, 10**6, turn, hparams["x"])

    # seconds for each: blocks that a user sees finish, and that many cores can share
    assert jt.plan(long, PLANE, trials=10**6).width <= preparation.OBJECTIVE_WIDTH


def test_what_a_lane_takes_is_counted_before_anything_is_compiled():
    """At least what the compiler says, and not many times as much."""
    for units, layers in ((16, 1), (256, 3)):
        task = digits(units, layers)
        workload = prepare(task, RATES, KEY, 1, 4, programs=1)
        traced = trace(workload, RATES)
        row = calibrate.typical(workload.layout, RATES)
        static = calibrate.groups(workload.layout, RATES, row, 1)[0].static

        def needs(width, workload=workload, static=static):
            block = calibrate._middle(workload.layout, RATES, static, width)
            return footprint(workload, block, static)

        each = (needs(12) - needs(4)) / 8
        assert each < bytes_of_a_lane(traced) < 4 * each


@pytest.mark.parametrize("limit", [16e9, 60e9])
def test_a_block_fits_at_the_first_try(limit, monkeypatch):
    """Three layers of 4096 units, of which 512 lanes would take 75 GB."""
    monkeypatch.setenv(SWITCH, "accelerator")
    monkeypatch.setattr(memory, "_limit", lambda device, platform: limit)
    task = digits(4096, 3)
    own = {"trials": 256, "programs": 1, "memory": False, "sampler": "sobol"}
    width = jt.plan(task, RATES, **own).width
    params = 4 * (64 * 4096 + 2 * 4096**2 + 4096 * 10)
    # parameters and momentum of two blocks that are in flight
    assert 2 * width * 2 * params < limit
    assert width >= 2 * (limit // 16e9)


def test_the_limit_is_that_of_the_device(monkeypatch):
    class Card:
        def memory_stats(self):
            return {"bytes_limit": 80_000_000_000, "bytes_in_use": 79_000_000_000}

    monkeypatch.setattr(jax, "local_devices", lambda: [Card()])
    # what is in use at the moment must not change the width
    assert memory._limit(ACCELERATOR, jax.default_backend()) == 8e10
    assert memory._limit(ACCELERATOR, "tpu") == ACCELERATOR.memory


def test_a_message_of_the_compiler_is_cut_to_a_line():
    error = OutOfMemory("gpu:0", "RESOURCE_EXHAUSTED: no room\n" + "log\n" * 10**5)
    assert error.shortly == "RESOURCE_EXHAUSTED: no room"
    assert len(OutOfMemory("gpu:0", "x" * 10**6).shortly) < 1000


def test_a_cpu_keeps_its_usual_width_where_no_other_is_much_faster():
    # as fast in blocks of 4, and 16 lanes in two blocks leave two of four cores idle
    assert fastest(HEAVY, Counter([Load(64, 5)]), 8, CPU) == 8
    assert fastest(HEAVY, Counter([Load(16, 5)]), 8, CPU) == 4
