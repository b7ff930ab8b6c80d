"""The command line, run as a newcomer runs it."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
import pytest
from click.testing import CliRunner

import jaxtune as jt
from jaxtune import doctor, versions
from jaxtune.cli import DIFFERS, DONE, ERROR, INTERRUPTED, main


def run(*arguments, cwd=None):
    code = "from jaxtune.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


@pytest.mark.accelerator
def test_doctor_trusts_this_machine_and_says_why(monkeypatch):
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    for name in ("jaxlib", "devices", "cache", "extra report", "self-test: loops"):
        assert name in done.stdout
    # once is enough for the searches of tests/test_loops.py
    monkeypatch.setattr(doctor, "_loops", lambda: doctor.Finding("loops", "not run"))
    told = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert told["jax"]["value"] == jax.__version__
    assert all(finding["fine"] for finding in told.values())


def test_doctor_does_not_trust_wrong_numbers(monkeypatch):
    monkeypatch.setattr(doctor, "_loops", lambda: doctor.Finding("loops", "not run"))
    right = {finding.name: finding for finding in doctor.diagnose()}
    monkeypatch.setattr(versions, "FAULTS", ((jaxlib.version.__version__, "fails"),))
    wrong = {finding.name: finding for finding in doctor.diagnose()}
    assert right["known faults"].fine
    assert not wrong["known faults"].fine
    ones = np.ones(9)
    assert doctor._compared("x", lambda: jnp.asarray(ones), ones).fine
    broken = doctor._compared("x", lambda: jnp.asarray(ones).at[3].set(1.01), ones)
    assert not broken.fine
    assert "DIFFERS" in broken.value
    monkeypatch.setattr(doctor, "_known", lambda: wrong["known faults"])
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "! known faults" in done.output


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert run("--version").stdout.strip().endswith(jt.__version__)


def test_an_unknown_command_is_refused():
    done = run("dmeo")
    assert done.returncode == 2
    assert "dmeo" in done.stderr


@pytest.mark.parametrize("script", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_demo_searches_zooms_and_reports(tmp_path, script):
    if script:
        path = Path(__file__).parents[1] / "experiments" / "digits.py"
        command = [sys.executable, str(path), "--out", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
    else:
        done = run("demo", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("round ") for line in lines)
    assert "; 256 of 256 trials done: " in lines[-1]
    for number in (1, 2, 3, 4):
        assert f"round {number}: 5" in done.stdout
    accuracy = done.stdout.split(" test")[0].split()[-1]
    assert float(accuracy) > 0.94
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    assert "Best loss" in (tmp_path / "digits.html").read_text()


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_a_shell_completes_commands(shell):
    script = run("completion", shell).stdout
    assert "_JAXTUNE_COMPLETE" in script
    refused = run("completion", "tcsh")
    assert refused.returncode == 2
    assert "'bash', 'fish', 'zsh'" in refused.stderr


def test_bash_completes_in_earnest(tmp_path):
    tool = Path(sys.executable).with_name("jaxtune")
    script = (
        f'eval "$({tool} completion bash)"\n'
        f"COMP_WORDS=({tool} re) COMP_CWORD=1\n"
        f"_jaxtune_completion {tool}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["repair", "report", "rerun", "resume"], done.stderr


def test_importing_the_package_imports_no_extra():
    extras = ["optuna", "pandas", "matplotlib", "wandb", "mlflow", "tensorboardX"]
    extras += ["datasets", "grain", "pyarrow", "sklearn", "cmaes", "sqlalchemy"]
    code = f"import sys, jaxtune; print([m for m in {extras} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyError("deep"), 2),
        (AssertionError(), 2),
        (RecursionError("too deep"), 2),
        (BrokenPipeError(errno.EPIPE, "head"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: getattr(type(value), "__name__", None),
)
def test_no_error_ends_as_scores_that_differ_do(error, code, monkeypatch):
    def diagnose():
        raise error

    monkeypatch.setattr(doctor, "diagnose", diagnose)
    assert CliRunner().invoke(main, ["doctor"]).exit_code == code


def test_an_error_that_nobody_expected_is_told_in_short(monkeypatch):
    monkeypatch.setattr(doctor, "diagnose", lambda: {}["deep"])
    short = CliRunner().invoke(main, ["doctor"]).output
    assert "KeyError: 'deep'" in short
    assert "--debug" in short
    assert "Traceback" not in short
    assert "Traceback" in CliRunner().invoke(main, ["--debug", "doctor"]).output
    monkeypatch.setenv("JAXTUNE_DEBUG", "1")
    assert "Traceback" in CliRunner().invoke(main, ["doctor"]).output


def test_the_help_says_what_the_exit_codes_mean():
    said = CliRunner().invoke(main, ["--help"]).output
    for code in (DONE, DIFFERS, ERROR, INTERRUPTED):
        assert f" {code} " in said.replace("\n", " ")
