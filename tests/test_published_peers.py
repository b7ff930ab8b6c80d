"""Published figures of other tools: their problems, and the tables made of figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.published import batch_problems, hyperoptax_problems, optuna_batch


@pytest.mark.parametrize("name", batch_problems.BBOB)
def test_regret_of_a_bbob_function_is_zero_at_its_optimum_alone(name):
    ioh = pytest.importorskip("ioh")
    problem = batch_problems.problem_of(name)
    function = ioh.get_problem(name, 1, 5, ioh.ProblemClass.BBOB)
    optimum = (np.array([function.optimum.x]) + 5) / 10
    assert problem.regret(problem.value(optimum)) == pytest.approx(0, abs=1e-9)
    others = np.random.default_rng(1).random((200, 5))
    assert (problem.regret(problem.value(others)) > 0).all()
    assert np.median(problem.regret(problem.value(others))) == pytest.approx(1, rel=0.5)


def figures(good, poor):
    """Return figures of two samplers, which differ after 25 and 100 trials."""
    rows = []
    for name, regret in (("GPSampler", good), ("gaussian_process", poor)):
        regrets = {
            str(n): [regret * (1 + seed) for seed in range(6)] for n in (25, 100)
        }
        regrets |= {"50": [1.0] * 6, "75": [1.0] * 6}
        row = {"name": name, "batch": 5, "problem": "1", "seeds": 6, "regret": regrets}
        rows.append(row | {"first_cpu": 3.0, "cpu": 0.2})
    return {"rows": rows}


def test_a_sampler_is_better_where_the_test_says_so():
    made = optuna_batch.Figures(figures(good=1e-4, poor=1e-1))
    assert made.better("GPSampler", "gaussian_process", 5) == 2  # after 25 and 100
    assert made.better("gaussian_process", "GPSampler", 5) == 0


def test_the_better_sampler_ranks_first():
    lines = optuna_batch.samplers(figures(good=1e-4, poor=1e-1)).splitlines()
    assert [line.split("|")[1:3] for line in lines[2:]] == [
        [" Optuna `GPSampler` ", " 1.0 ± 0.0 "],
        [" jaxtune `gaussian_process()` ", " 2.0 ± 0.0 "],
    ]
    # what a search took, by its hundred trials
    assert lines[2].split("|")[-3:-1] == [" 2.0 ", " 3.0 "]


def test_hyperoptax_trains_the_network_of_its_notebook():
    def error(rate):
        params = {"learning_rate": jnp.float32(rate), "final_lr_pct": jnp.float32(0.5)}
        return float(jax.jit(hyperoptax_problems.train_nn)(jax.random.key(0), params))

    _, y = hyperoptax_problems.data()
    # a column of outputs minus a row of targets could not fall below this
    assert error(0.03) < float(y[hyperoptax_problems.TRAIN :].var()) / 2 < error(0.0)


def test_the_function_of_hyperoptax_has_its_published_maximum():
    x, y = jnp.meshgrid(jnp.linspace(2, 4, 201), jnp.linspace(0, 2, 2001))
    highest = hyperoptax_problems.waves(None, {"x": x, "y": y}).max()
    assert float(highest) == pytest.approx(hyperoptax_problems.HIGHEST, abs=1e-3)
