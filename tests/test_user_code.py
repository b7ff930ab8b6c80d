"""What people write is searched as they meant it: compared with a training by hand."""

import warnings

import numpy as np
import pytest
from user_code import data, functions, models, optimizers, settings, spaces, trees
from user_code.row import EPOCHS, ROOT, Keys, under

import jaxtune as jt

# the other way to compute has other kernels on a card
pytestmark = pytest.mark.usefixtures("exact_products")

MODULES = (functions, models, trees, optimizers, data, spaces, settings)
ROWS = [row for module in MODULES for row in module.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_way_of_writing_equals_the_training_by_hand(row):
    with warnings.catch_warnings(record=True) as caught, under(row.settings):
        warnings.simplefilter("always")
        task = row.task()
        more = {"epochs": EPOCHS} if isinstance(task, jt.Task) else {}
        more |= {"trials": 3, "verbose": 0} | dict(row.search)
        result = jt.search(task, row.space(), key=ROOT, **more)
    messages = [str(warning.message) for warning in caught]
    assert all(row.warns and row.warns in message for message in messages), messages
    assert bool(row.warns) == bool(messages), "the warning is missing"
    best = result.best
    expected = row.by_hand(best.hparams, Keys(best.trial))
    assert expected, "a row without a metric compares nothing"
    for name, value in expected.items():
        got = float(result.trials[name][best.trial])
        np.testing.assert_allclose(
            got, float(value), rtol=row.tolerance, atol=row.tolerance, err_msg=name
        )


def test_every_row_has_a_name_of_its_own():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
