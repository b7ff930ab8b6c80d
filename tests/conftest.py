"""A tier for every test, one cache of programs for the whole run, and shared tasks."""

import atexit
import os
import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path

import children
import hypothesis
import jax
import numpy as np
import pytest
import rounded
from killed import line

import jaxtune as jt
from jaxtune.hardware import hardware_of

os.environ.update(children.share_of_a_card(os.environ))

# the first process of a run makes it, for its workers and their children; it is not
# the developer's own folder
if "JAXTUNE_CACHE" not in os.environ:
    os.environ["JAXTUNE_CACHE"] = tempfile.mkdtemp(prefix="jaxtune-tests-")
    atexit.register(shutil.rmtree, os.environ["JAXTUNE_CACHE"], ignore_errors=True)

jax.config.update("jax_numpy_rank_promotion", "raise")

# no example fails for the time that it took
hypothesis.settings.register_profile(
    "jaxtune",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("jaxtune")

# The tier of each file; a test in it may have the marker of another one. Doctests are
# unit tests.
TIERS = {
    "unit": """
        bad_input border conditions constraints door forms freeze_thaw gaussian_process
        goals house palette parzen precision products published_agents published_peers
        published_tables random refine samplers schedulers schedules space supply
    """,
    "search": """
        accelerator analysis batches batching beliefs benchmarks boundary brevity
        budgets call clients compare
        confirm damage data divergence ensemble epochs first fitting folds fuzz growing
        identity kernels loops model_samplers models old_runs optimizers parametrization
        planning
        programs published_images repeats report rewrite same_everywhere schedule
        search soak storage
        race study subsets supervised surroundings tasks trained training user_code
        width workers
    """,
    "system": """
        browser cache cli cli_runs demo devices gallery integrations kill launch pages
        pod ray signals site watch
    """,
}
# The files that are worth running on an accelerator: their programs are other ones
# there. A test in another file may have the marker.
ON_AN_ACCELERATOR = """
    analysis batching divergence epochs forms gaussian_process model_samplers models
    optimizers parzen products programs rewrite samplers schedulers search supervised
    training user_code width
"""
ON_AN_ACCELERATOR = {f"test_{name}" for name in ON_AN_ACCELERATOR.split()}
TIER_OF = {f"test_{n}": tier for tier, names in TIERS.items() for n in names.split()}


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(config, items):
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker(tier_of(item.path))
        if item.path.stem in ON_AN_ACCELERATOR:
            item.add_marker("accelerator")
        needs = item.get_closest_marker("cpu")
        if needs and hardware_of().name != "cpu":
            item.add_marker(pytest.mark.skip(reason=f"needs a CPU: {needs.args[0]}"))
    if "slow" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    if hasattr(config, "workerinput"):  # long files first, so that none is left over
        items.sort(key=lambda item: not item.get_closest_marker("system"))


def tier_of(path):
    """Return the tier of a file's tests; UsageError if it has none."""
    if not path.is_relative_to(Path(__file__).parent):
        return "unit"
    try:
        return TIER_OF[path.stem]
    except KeyError:
        raise pytest.UsageError(
            f"{path.name} has no tier. Add it to TIERS in tests/conftest.py."
        ) from None


@pytest.fixture(autouse=True, scope="session")
def as_a_card():
    """Multiply as a card does, where that is asked for."""
    with (
        rounded.as_a_card(every=False)
        if os.environ.get(rounded.SWITCH)
        else nullcontext()
    ):
        yield


@pytest.fixture
def exact_products():
    """Multiply float32 as it is, for a comparison with another way to compute."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Programs take memory maps, of which a Linux process has 65 530."""
    yield
    jax.clear_caches()


def digits(rows):
    """The first rows of scikit-learn's digits, scaled to [0, 1]."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x[:rows] / 16).astype(np.float32), y[:rows]


@pytest.fixture(scope="session")
def small_task():
    """Digits and a small network; 200 examples to train, three steps per epoch."""
    x, y = digits(400)
    return jt.classification(
        jt.models.MLP(classes=10, max_units=16, max_layers=2),
        train=(x[:200], y[:200]),
        valid=(x[200:300], y[200:300]),
        test=(x[300:], y[300:]),
    )


@pytest.fixture(scope="session")
def small_space():
    """Two dimensions that the small task reads."""
    return jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.5, tier=1),
        momentum=jt.reverse_log_uniform(0.5, 0.99),
    )


@pytest.fixture(scope="session")
def linear_task():
    """A plain Task: linear regression whose lanes can be made to explode."""
    return line()
