"""Precisions by device and setting, and what the doctor makes of a card's rounding."""

from types import SimpleNamespace
from typing import NamedTuple

import children
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounded

from jaxtune import doctor, environment, precision
from jaxtune.precision import BFLOAT16, FLOAT32, TF32, THREE_PASSES, product_precision

ROUNDS = pytest.mark.cpu("it rounds as a card does")
H100 = rounded.CARD
DEVICES = {
    "cpu": SimpleNamespace(platform="cpu"),
    "h100": H100,
    "v100": SimpleNamespace(platform="gpu", compute_capability="7.0"),
    "mi300": SimpleNamespace(platform="gpu", compute_capability="gfx942"),
    "tpu": SimpleNamespace(platform="tpu"),
}


@pytest.mark.parametrize(
    ("device", "setting", "expected"),
    [
        *[("cpu", name, FLOAT32) for name in ("default", "bfloat16", "highest")],
        *[("h100", name, TF32) for name in ("default", "high", "tensorfloat32")],
        *[("h100", name, FLOAT32) for name in ("highest", "float32", "F32_F32_F32")],
        ("h100", "BF16_BF16_F32", BFLOAT16),
        ("h100", "BF16_BF16_F32_X3", THREE_PASSES),
        ("v100", "default", FLOAT32),
        ("v100", "TF32_TF32_F32", TF32),
        ("mi300", "default", FLOAT32),
        ("tpu", "default", BFLOAT16),
        ("tpu", "high", THREE_PASSES),
        ("tpu", "highest", FLOAT32),
    ],
)
def test_the_device_and_the_setting_decide(device, setting, expected):
    assert product_precision(DEVICES[device], setting) == expected
    with jax.default_matmul_precision(setting):
        assert product_precision(DEVICES[device]) == expected


def errors(setting):
    """Errors of a product, and how large they may be."""
    x = np.random.default_rng(0).normal(size=(64, 129)).astype(np.float32)
    with jax.default_matmul_precision(setting):
        found = np.asarray(jax.jit(jnp.matmul)(x, x.T))
    exact = np.float64(x) @ np.float64(x.T)
    terms = np.abs(np.float64(x)) @ np.abs(np.float64(x.T))
    # of two factors, and of the sum in float32
    bound = 2 * product_precision(setting=setting).rounding + 129 * FLOAT32.rounding
    return np.abs(found - exact) / terms, bound


@pytest.mark.accelerator
@pytest.mark.parametrize("setting", ["default", "high", "highest"])
def test_products_are_as_exact_as_it_says(setting):
    found, bound = errors(setting)
    assert (found <= bound).all()


@ROUNDS
@pytest.mark.parametrize("setting", ["default", "highest"])
def test_a_cpu_that_rounds_as_a_card_is_no_more_exact_than_that(setting):
    with rounded.as_a_card():
        found, bound = errors(setting)
    assert (found <= bound).all()
    assert (found.max() > 1e-5) == (setting == "default")


CHECKS = (doctor._products, doctor._gradients)


@ROUNDS
@pytest.mark.parametrize("check", CHECKS)
def test_the_doctor_trusts_a_card_that_rounds_to_tf32(check):
    with rounded.as_a_card():
        found = check()
    assert found.fine, found
    assert "precision in use: TF32, " in found.value


@ROUNDS
@pytest.mark.parametrize("check", CHECKS)
def test_the_doctor_does_not_trust_a_device_that_rounds_though_it_should_not(
    check, monkeypatch
):
    with rounded.as_a_card(), monkeypatch.context() as patch:
        patch.setattr(precision, "_has_tf32", lambda device: False)
        assert not check().fine
    with rounded.as_a_card(), monkeypatch.context() as patch:
        # also where full precision is asked for
        patch.setattr(rounded, "_is_highest", lambda given: False)
        found = check()
    assert not found.fine
    assert "DIFFERS" in found.value


def test_the_doctor_does_not_trust_a_search_that_is_another_one_the_second_time(
    monkeypatch,
):
    assert doctor._same_twice().fine
    search, keys = doctor.search, iter([0, 1])

    def other(*args, key, **more):
        return search(*args, key=jax.random.key(next(keys)), **more)

    monkeypatch.setattr(doctor, "search", other)
    assert not doctor._same_twice().fine


class Card(NamedTuple):
    """A device, as far as its description goes."""

    platform: str
    device_kind: str
    compute_capability: str


def test_an_accelerator_says_what_its_numbers_depend_on(monkeypatch, tmp_path):
    """As run directories record it."""
    card = Card("gpu", "NVIDIA H100 80GB HBM3", "9.0")
    monkeypatch.setattr(jax, "devices", lambda: [card])
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX Open Kernel Module  580.159  Release")
    monkeypatch.setattr(environment, "DRIVER", driver)
    monkeypatch.setattr(environment, "PLUGINS", ("jax", "no-such-package"))
    expected = {
        "platform": "gpu",
        "kind": "NVIDIA H100 80GB HBM3",
        "precision": "TF32",
        "driver": "580.159",
        "plugin": f"jax {jax.__version__}",
    }
    assert environment.device() == expected
    with jax.default_matmul_precision("highest"):  # a setting, which is another record
        assert environment.device() == expected


@pytest.mark.cpu("of an accelerator there is more")
def test_of_a_cpu_a_run_records_what_earlier_versions_did():
    assert set(environment.device()) == {"platform", "kind"}


def test_all_processes_of_the_tests_fit_on_one_card():
    def share(**environ):
        return float(children.share_of_a_card(environ)[children.FRACTION])

    first = children.share_of_a_card({})
    assert first[children.PREALLOCATE] == "false"
    # a worker has the variables of the process that started it
    workers = 8 * 2 * share(**first, PYTEST_XDIST_WORKER_COUNT="8")
    assert 0.8 < workers <= 1
    chosen = {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".5"}
    assert children.share_of_a_card(chosen) == {}
    assert children.share_of_a_card({"JAX_PLATFORMS": "cpu"}) == {}
