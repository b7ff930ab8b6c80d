"""Trainings that their users wrote are searched as they are, in few lines."""

import inspect
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from clients import (
    brought,
    equinox_mlp,
    flax_linen_mnist,
    flax_nnx_mnist,
    rejax_agent,
)

import jaxtune as jt
from benchmarks.published import clients as published
from benchmarks.published.common import RESULTS

KEY, TRIALS, EPOCHS, SIZE = jax.random.key(3), 2, 2, 16
PAGE = (Path(__file__).parents[1] / "docs" / "existing-code.md").read_text()


def pair(dataset):
    return dataset["image"], dataset["label"]


def linen():
    train, valid = flax_linen_mnist.get_datasets(72, 32)  # 4 batches, and 8 left over
    batches = brought.linen_batches(train, SIZE)

    def own(h, key):
        config = SimpleNamespace(**h, batch_size=SIZE, num_epochs=EPOCHS)
        return flax_linen_mnist.train(config, key, train, valid)[0]

    return brought.flax_linen(batches, pair(valid), SIZE), own


def of_nnx():
    train, valid = flax_nnx_mnist.load(40, 32)
    batches = brought.nnx_batches(train, SIZE)

    def own(h, key):
        return flax_nnx_mnist.train(
            **h, key=key, train_ds=train, valid_ds=valid, batch_size=SIZE, epochs=EPOCHS
        )[0]

    model = brought.NNXWithItsDropout
    return brought.flax_nnx(batches, pair(valid), SIZE, model), own


def of_equinox():
    train, valid = equinox_mlp.data(72, 32)  # the last batch has 8
    batches = brought.equinox_batches(train, SIZE)

    def own(h, key):
        return equinox_mlp.train(h, key, train, valid, EPOCHS, SIZE)[0]

    return brought.equinox(batches, valid, SIZE), own


def of_rejax():
    sizes = {"total_timesteps": 1024, "eval_freq": 512, "num_envs": 8}
    return brought.rejax(**sizes), lambda h, key: rejax_agent.train(h | sizes, key)


# Adam turns gradients that are zero but for rounding, as of a bias before a batch norm,
# into whole steps
CLIENTS = {
    "flax_linen": (linen, 2e-5),
    "flax_nnx": (of_nnx, 5e-3),
    "equinox": (of_equinox, 2e-5),
    "rejax": (of_rejax, 2e-5),
}


# compiling an agent twice takes as long as two of the others
SLOW = [pytest.param("rejax", marks=pytest.mark.slow)]


@pytest.mark.parametrize("client", [*list(CLIENTS)[:-1], *SLOW])
@pytest.mark.usefixtures("exact_products")
def test_a_trial_is_the_training_of_the_clients_own_loop(client):
    make, tolerance = CLIENTS[client]
    (what, space), own = make()
    more = {"epochs": EPOCHS} if isinstance(what, jt.Task) else {"mode": "max"}
    result = jt.search(what, space, key=KEY, trials=TRIALS, verbose=0, **more)
    for trial in range(TRIALS):
        row = result.trials.row(trial)
        hparams = {name: row[name] for name in space.names}
        expected = own(hparams, result.key(trial))
        got = row["loss" if isinstance(what, jt.Task) else "score"]
        assert got == pytest.approx(expected, rel=tolerance), (trial, hparams)


def test_the_page_shows_the_lines_and_counts_them():
    shown = dict(re.findall(r"```python title=\"(\w+)\"\n(.*?)```", PAGE, re.DOTALL))
    counts = dict(re.findall(r"^\| `(\w+)` \|.*?\| (\d+) \|", PAGE, re.MULTILINE))
    assert shown.keys() == counts.keys() == CLIENTS.keys()
    for client, code in shown.items():
        assert code == inspect.getsource(getattr(brought, client))
        lines = [line for line in code.splitlines()[1:] if line.strip()]
        assert int(counts[client]) == len(lines) - 1, client  # not the last, a return


def test_the_table_has_each_client_and_the_ratio_of_its_seconds():
    written = json.loads((RESULTS / "clients.json").read_text())
    assert written["rows"].keys() == CLIENTS.keys()
    lines = published.tables(written).splitlines()[2:]
    assert len(lines) == len(CLIENTS) + 1  # the agents' loop has two forms
    row = written["rows"]["equinox"]
    loop = sum(part["seconds"] for part in row["loop"]) / row["few"]
    ratio = loop * row["trials"] / row["search"][0]["seconds"]
    assert f"| {ratio:.1f} |" in lines[2]
