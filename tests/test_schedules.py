"""Schedules of traced numbers equal optax's of Python numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxtune as jt

PEAK, STEPS = 0.3, 40
COUNTS = np.arange(2 * STEPS)  # also past the end


def onecycle(rise):
    return optax.cosine_onecycle_schedule(STEPS, PEAK, rise, 20.0, 50.0)


# a schedule of (peak, steps, number), the number, and optax's own
PAIRS = {
    "linear": (
        lambda p, n, begin: jt.schedules.linear(p, n, end=0.1, begin=begin),
        5,
        lambda begin: optax.linear_schedule(PEAK, 0.1, STEPS - begin, begin),
    ),
    "cosine": (
        lambda p, n, end: jt.schedules.cosine(p, n, end=end, exponent=1.5),
        0.05,
        lambda end: optax.cosine_decay_schedule(PEAK, STEPS, end / PEAK, 1.5),
    ),
    "exponential": (
        jt.schedules.exponential,
        0.1,
        lambda rate: optax.exponential_decay(PEAK, STEPS, rate),
    ),
    "exponential that grows": (
        lambda p, n, rate: jt.schedules.exponential(p, n, rate, end=0.5),
        3.0,
        lambda rate: optax.exponential_decay(PEAK, STEPS, rate, end_value=0.5),
    ),
    "exponential in stairs": (
        lambda p, n, rate: jt.schedules.exponential(
            p, n / 4, rate, begin=3, end=0.05, staircase=True
        ),
        0.5,
        lambda rate: optax.exponential_decay(
            PEAK, STEPS // 4, rate, 3, staircase=True, end_value=0.05
        ),
    ),
    "piecewise": (
        lambda p, n, scale: jt.schedules.piecewise(p, n, at=(10, 0.5), scale=scale),
        0.2,
        lambda scale: optax.piecewise_constant_schedule(PEAK, {10: scale, 20: scale}),
    ),
}
for warmup in (0, 1, 7, STEPS - 1):
    PAIRS[f"warmup_cosine after {warmup}"] = (
        lambda p, n, warmup: jt.schedules.warmup_cosine(
            p, n, warmup, start=0.01, end=0.02, exponent=2.0
        ),
        warmup,
        lambda warmup: optax.warmup_cosine_decay_schedule(
            0.01, PEAK, warmup, STEPS, 0.02, 2.0
        ),
    )
for rise in (0.25, 0.5):
    PAIRS[f"one_cycle with a rise of {rise}"] = (
        lambda p, n, rise: jt.schedules.one_cycle(p, n, rise, start=20.0, final=50.0),
        rise,
        onecycle,
    )


@pytest.mark.parametrize("name", PAIRS)
def test_a_schedule_of_traced_numbers_equals_optaxs(name):
    ours, number, theirs = PAIRS[name]

    @jax.jit
    def rates(peak, steps, number):
        return jax.vmap(ours(peak, steps, number))(jnp.asarray(COUNTS))

    expected = [float(theirs(number)(count)) for count in COUNTS.tolist()]
    got = rates(PEAK, STEPS, number)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-7)
    assert len(set(expected)) > 2, "a constant compares little"


def test_a_share_of_the_steps_is_a_number_of_them():
    share = jt.schedules.warmup_cosine(PEAK, STEPS, warmup=0.25)
    steps = jt.schedules.warmup_cosine(PEAK, STEPS, warmup=10)
    same = [float(share(c)) == float(steps(c)) for c in COUNTS]
    assert all(same)


def test_a_warmup_of_the_whole_training_never_falls():
    rate = jt.schedules.warmup_cosine(PEAK, STEPS, warmup=STEPS)
    rates = [float(rate(count)) for count in range(STEPS + 1)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(PEAK)


@pytest.mark.parametrize("name", jt.schedules.__all__)
def test_a_schedule_without_steps_is_refused(name):
    more = {"warmup_cosine": [1], "exponential": [0.1], "piecewise": [[0.5]]}
    with pytest.raises(ValueError, match="steps must be a number above 0, got 0"):
        getattr(jt.schedules, name)(PEAK, 0, *more.get(name, []))


def test_factors_of_another_number_than_steps_are_refused():
    with pytest.raises(ValueError, match="2 factors for 1 steps"):
        jt.schedules.piecewise(PEAK, STEPS, at=(0.5,), scale=(0.1, 0.2))
