"""Trainings whose network is a loop end, and the doctor says where they do not."""

import subprocess
import sys

import children
import moments

from jaxtune import doctor, stress


def test_searches_over_a_recurrent_network_end():
    """A deadlock inside XLA can only be ended from outside, so they run in a child."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *doctor.STRESS],
        env=children.environment(),
        timeout=moments.HANG,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == stress.SEARCHES


def test_a_search_that_does_not_end_is_a_fault(monkeypatch):
    forever = "import threading; threading.Event().wait()"
    monkeypatch.setattr(doctor, "STRESS", ("-c", forever))
    found = doctor._loops(deadline=0.5)
    assert not found.fine
    assert "NO END after 0.5 s" in found.value


def test_a_search_that_fails_is_a_fault_with_its_reason(monkeypatch):
    monkeypatch.setattr(doctor, "STRESS", ("-c", "raise RuntimeError('this jaxlib')"))
    found = doctor._loops()
    assert not found.fine
    assert found.value == "FAILS: RuntimeError: this jaxlib"
