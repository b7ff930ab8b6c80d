"""Published figures of tables and of random search: data, estimates and tables."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from scipy.stats import norm

from benchmarks.published import random_search, shapes_data, tabular, tabular_data


def images(name):
    x, y = shapes_data.shapes(name, 60, seed=3)
    assert x.shape == (60, 28 * 28)
    assert set(np.unique(x)) == {0, 1}
    assert np.bincount(y).tolist() == [30, 30]
    return x.reshape(-1, 28, 28) > 0, y


def test_a_rectangle_is_an_outline_whose_class_says_whether_it_is_tall():
    for image, tall in zip(*images("rectangles"), strict=True):
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert image.sum() == 2 * (height + width) - 4
        assert height - width >= 3 if tall else width - height >= 3


def test_a_region_is_convex_if_its_class_says_so():
    # by another way than the one that made them: middles of pairs of its pixels
    for region, convex in zip(*images("convex"), strict=True):
        pixels = np.argwhere(region)
        middles = (pixels[:, None] + pixels[None]) / 2
        whole = (middles % 1 == 0).all(-1)
        inside = region[tuple(middles[whole].astype(int).T)]
        assert inside.all() == bool(convex)


def test_an_experiment_scores_its_trials_by_their_chance_to_be_the_best():
    one = random_search.expected
    assert one(np.asarray([0.7]), np.asarray([0.4])) == pytest.approx(0.4)
    clear = np.asarray([0.2, 0.9, 0.3])
    assert one(clear, np.asarray([0.1, 0.8, 0.99])) == pytest.approx(0.8)
    valid, test = np.asarray([0.80, 0.82]), np.asarray([0.0, 1.0])
    variance = (valid * (1 - valid)).sum() / (random_search.VALID - 1)
    chance = norm.cdf(0.02 / np.sqrt(variance))
    assert one(valid, test) == pytest.approx(chance, abs=0.05)


def test_a_pool_is_cut_into_experiments_that_share_no_trial():
    valid, test = np.random.default_rng(0).random((2, 64))
    row = {"pool": {"valid_accuracy": valid, "test_accuracy": test}}
    np.testing.assert_allclose(random_search.experiments(row, 1), test)
    halves = [
        random_search.expected(*p)
        for p in zip(*[valid.reshape(2, 32), test.reshape(2, 32)], strict=True)
    ]
    np.testing.assert_allclose(random_search.experiments(row, 32), halves)


def test_the_grid_is_in_the_space_and_has_no_point_twice():
    points = random_search.grid(100)
    assert len({tuple(point.items()) for point in points}) == 100
    for name, (low, high) in random_search.SPACE.bounds.items():
        if name in ("learning_rate", "hidden_units", "anneal", "l2"):
            own = [point[name] for point in points if name in point]
            assert low <= min(own) * (1 + 1e-6)
            assert max(own) <= high * (1 + 1e-6)


def test_the_rate_falls_after_a_step_and_the_penalty_is_optional():
    weights = gradient = jnp.ones(3)
    for penalised, l2 in ((False, 0.0), (True, 0.1)):
        hparams = {
            "learning_rate": 0.5,
            "anneal": 2.0,
            "penalised": penalised,
            "l2": 0.1,
        }
        optimizer = random_search.annealed_sgd(hparams)
        state, plain, own = optimizer.init(weights), weights, weights
        for step in range(1, 5):
            updates, state = jax.jit(optimizer.update)(gradient, state, own)
            own = optax.apply_updates(own, updates)
            plain = plain - 0.5 * 2 / max(step, 2) * (gradient + l2 * plain)
        np.testing.assert_allclose(own, plain, rtol=1e-5)


def test_columns_are_standardised_by_the_rows_to_tune_on():
    rng = np.random.default_rng(0)
    kinds = ["a", "b", "c", "a", "b", "a"]
    frame = pd.DataFrame({"kind": kinds, "size": rng.random(6), "two": list("xyxyxy")})
    frame = frame.astype({"kind": "category", "two": "category"})
    train, test = tabular_data.arrays_of(frame.iloc[:4], frame.iloc[4:])
    assert train.shape == (4, 5)  # three kinds, one for two, one number
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-6)
    size = frame["size"]
    known = (size[4:] - size[:4].mean()) / size[:4].std(ddof=0)
    np.testing.assert_allclose(test[:, -1], known, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [
        ("digits", 1437, 10),
        ("diabetes", 353, 1),
        ("OJ", 856, 2),
        ("Phishing", 1000, 2),
        ("Hdma", 1904, 2),
    ],
)
def test_a_table_is_read_from_its_package(name, rows, classes):
    package = tabular_data.SOURCES[name].package
    if package != "scikit-learn" and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    split = tabular_data.split_of(name, seed=0, rows=10_000)
    assert split.arrays[0].shape[0] == len(split.targets[0]) == rows
    assert split.classes == classes
    assert all(np.isfinite(part).all() for part in split.arrays)
    # another seed has other rows to test on
    other = tabular_data.split_of(name, seed=1, rows=10_000)
    assert not np.array_equal(split.frames[1].index, other.frames[1].index)


def table_of(errors):
    """Return a file of one split, in which each contender has an error."""
    about = {"table": "OJ", "split": 0, "rows": 800, "columns": 3}
    about |= {"kind": "classification", "seconds": 2.0, "cpu": 4.0, "trials": 9}
    return {"rows": [about | {"who": w, "error": e} for w, e in errors.items()]}


def test_the_lowest_error_is_of_those_who_had_the_same_seconds():
    errors = dict(zip(tabular.EVERYONE, (7.0, 8.0, 5.0, 6.0, 4.0, 3.0), strict=True))
    written = table_of(errors)
    line = tabular.tables(written).splitlines()[-1]
    assert line.count("**") == 2
    assert "**5.0**" in line
    ranks = tabular.summary(written).splitlines()[2:]
    places = [row.split("|")[2].strip() for row in ranks]
    assert places == ["3.00", "1.00", "2.00"]
    assert "| 5.0 |" in tabular.cost(written)  # 4 seconds for 800 rows
