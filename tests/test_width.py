"""The width of a block is measured where that pays, remembered, and recorded."""

import dataclasses
import itertools
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import killed
import numpy as np
import optax
import pytest

import jaxtune as jt
from jaxtune import cache
from jaxtune.executors.workers import OutOfMemory
from jaxtune.hardware import CPU, SWITCH, hardware_of
from jaxtune.planning import width as calibrate
from jaxtune.planning.preparation import prepare
from jaxtune.planning.tracing import trace
from jaxtune.planning.width import Calibration, choose_width, measure_widths
from jaxtune.tasks.function import as_task

SPACE = jt.Space(learning_rate=jt.log_uniform(1e-3, 1e-1))
KEY = jax.random.key(0)
EAGER = CPU._replace(worth_measuring=1.0)  # measures for any search


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.SWITCH, str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def widths_of_a_cpu(monkeypatch):
    """Measure these widths on any device."""
    monkeypatch.setattr(calibrate, "hardware_of", lambda: CPU)


@pytest.fixture(scope="module")
def workload():
    return prepare(killed.line(), SPACE, KEY, 3)


@pytest.fixture
def speed(monkeypatch):
    """Blocks a second by width, instead of a clock; says which were measured."""
    measured = []

    def told(rates):
        def rate(devices, jobs_of):
            width = len(jobs_of(1)[0].block.trial)
            measured.append(width)
            if rates[width] is None:
                raise OutOfMemory("cpu:0", "RESOURCE_EXHAUSTED: no memory")
            return rates[width] / width

        monkeypatch.setattr(calibrate, "_rate", rate)
        return measured

    return told


@pytest.fixture
def a_second(monkeypatch):
    """Whatever is measured takes a second; how many blocks run in it."""
    seconds = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    monkeypatch.setattr(calibrate, "time", clock)
    return len(calibrate.Devices(0).places)


def test_a_task_is_measured_in_lane_epochs_a_second(workload, a_second):
    """A block in every place, for an epoch."""
    found = measure_widths(workload, SPACE, [32])
    assert found == Calibration(32, ((32, 32.0 * a_second),))


def test_a_measurement_takes_a_while(workload, a_second, monkeypatch):
    """Epochs are doubled until it does."""
    clock = iter([0.0, 0.1, 0.2, 0.35, 0.4, 0.65])
    now = SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr(calibrate, "time", now)
    found = measure_widths(workload, SPACE, [8])
    assert found.rates == ((8, pytest.approx(8 * 4 * a_second / 0.25)),)


def test_a_plain_function_is_measured_in_values_a_second(a_second):
    def wave(key, hparams):
        return jnp.sin(hparams["learning_rate"] * jnp.arange(300.0)).sum()

    found = measure_widths(prepare(as_task(wave), SPACE, KEY), SPACE, [64])
    assert found == Calibration(64, ((64, 64.0 * a_second),))


@pytest.mark.parametrize(
    ("rates", "chosen", "measured"),
    [
        ({1: 10, 4: 30, 16: 100, 64: 400}, 64, [1, 4, 16, 64]),
        ({1: 10, 4: 30, 16: 20, 64: 400}, 4, [1, 4, 16]),  # stops where it falls
        ({1: 95, 4: 100, 16: 90, 64: 1}, 1, [1, 4, 16]),  # about as fast, and narrower
        ({1: 10, 4: None, 16: 100, 64: 400}, 1, [1, 4]),  # does not fit
        ({1: None, 4: 1, 16: 1, 64: 1}, None, [1]),  # nothing known: the constant
    ],
)
def test_the_narrowest_of_the_fastest_is_chosen(
    rates, chosen, measured, workload, speed
):
    tried = speed(rates)
    expected = chosen or workload.width
    assert measure_widths(workload, SPACE, [1, 4, 16, 64]).width == expected
    assert tried == measured


def test_what_the_compiler_says_does_not_fit_is_not_run(workload, speed, monkeypatch):
    tried = speed({1: 1, 4: 10, 16: 100, 64: 1000})
    static = trace(workload, SPACE)
    assert static
    block = calibrate._middle(workload.layout, SPACE, *at(workload, 4))
    needs = calibrate.footprint(workload, block, at(workload, 4)[0])
    crowd = calibrate.Devices(0).crowd
    monkeypatch.setattr(calibrate, "available", lambda device: crowd * needs)
    assert measure_widths(workload, SPACE, [1, 4, 16, 64]).width == 4
    assert tried == [1, 4]


def at(workload, width):
    row = calibrate.typical(workload.layout, SPACE)
    return calibrate.groups(workload.layout, SPACE, row, 1)[0].static, width


def test_footprints_grow_with_the_width(workload):
    static, _ = at(workload, 1)
    sizes = [
        calibrate.footprint(
            workload, calibrate._middle(workload.layout, SPACE, static, width), static
        )
        for width in (16, 64)
    ]
    assert 2 < sizes[1] / sizes[0] < 4.5


def find(workload, trainings, space=SPACE):
    return choose_width(workload, space, trace(workload, space), trainings)


def test_only_a_long_search_is_measured_and_it_is_remembered(workload, speed):
    tried = speed({1: 10, 4: 30, 16: 100, 64: 200})
    assert find(workload, 100) == Calibration(workload.width)
    assert tried == []
    long = find(workload, 10**10)
    assert long.width == 64
    assert tried == [1, 4, 16, 64]
    assert find(workload, 10**10) == long
    # whatever ran before it
    assert find(workload, 100) == Calibration(workload.width)
    assert len(tried) == 4


def test_each_task_and_device_has_its_own(workload, speed, monkeypatch):
    tried = speed({1: 10, 4: 30, 16: 100, 64: 200})
    find(workload, 10**10)
    find(prepare(killed.line(), SPACE, KEY, 3), 10**10)
    assert len(tried) == 4  # made again, it is the same task
    heavy = dataclasses.replace(
        killed.line(), optimizer=lambda h: optax.adam(h["learning_rate"])
    )
    find(prepare(heavy, SPACE, KEY, 3), 10**10)
    assert len(tried) == 8
    monkeypatch.setattr(calibrate, "cores", lambda: 99)
    find(workload, 10**10)
    assert len(tried) == 12


def test_without_a_folder_nothing_is_remembered(workload, speed, monkeypatch):
    monkeypatch.setenv(cache.SWITCH, "off")
    tried = speed({1: 10, 4: 30, 16: 100, 64: 200})
    assert find(workload, 10**10).width == find(workload, 10**10).width == 64
    assert len(tried) == 8


def seek(directory=None, **more):
    plain = {
        "key": KEY,
        "trials": 64,
        "epochs": 3,
        "directory": directory,
        "sampler": "sobol",
    }
    return jt.search(killed.line(), SPACE, **(plain | more))


def test_a_search_uses_and_records_what_was_measured(tmp_path, speed, monkeypatch):
    tried = speed({1: 10, 4: 30, 16: 100, 64: 90})
    monkeypatch.setattr(calibrate, "hardware_of", lambda: EAGER)
    found = seek(tmp_path / "run")
    assert tried == [1, 4, 16, 64]
    assert found.setup.workload.width == 16
    assert found.setup.workload.rates == tuple(
        {1: 10.0, 4: 30.0, 16: 100.0, 64: 90.0}.items()
    )
    settings = json.loads((tmp_path / "run" / "run.json").read_text())
    assert settings["block"] == 16
    loaded = jt.load(tmp_path / "run").setup.workload
    assert (loaded.width, loaded.rates) == (16, found.setup.workload.rates)
    same = seek(block=16)
    np.testing.assert_array_equal(found.trials.scores, same.trials.scores)
    assert seek(block=4).setup.workload.width == 4


def test_a_run_keeps_its_width_whatever_would_be_measured_now(
    tmp_path, speed, monkeypatch
):
    monkeypatch.setenv(cache.SWITCH, "off")
    monkeypatch.setattr(calibrate, "hardware_of", lambda: EAGER)
    speed({1: 10, 4: 30, 16: 100, 64: 90})
    first = seek(tmp_path / "run")
    tried = speed({1: 100, 4: 30, 16: 10})
    again = seek(tmp_path / "run")
    assert again.setup.workload.width == first.setup.workload.width == 16
    assert jt.rerun(tmp_path / "run", 3, killed.line()).same
    assert tried == [1, 4, 16, 64]  # by the first search alone


def test_a_cpu_counts_as_an_accelerator_where_it_is_asked_to(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    assert hardware_of("cpu").name == "cpu"
    assert hardware_of("cuda").name == "accelerator"
    monkeypatch.setenv(SWITCH, "accelerator")
    assert hardware_of() == hardware_of("cpu") == hardware_of("tpu")
    monkeypatch.setenv(SWITCH, "gpu")
    with pytest.raises(ValueError, match=r"JAXTUNE_HARDWARE='gpu'.*cpu, accelerator"):
        hardware_of()
