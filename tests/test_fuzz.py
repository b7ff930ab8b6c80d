"""Any order of ask, tell, zoom, restrict, encode, decode, save and load keeps its word.

Examples that failed once are kept in ``tests/failures`` and tried again every time.
"""

import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import jaxtune as jt
from jaxtune.space.points import Points
from jaxtune.storage.durable import Durable, started
from jaxtune.storage.store import Store

SPACE = jt.Space(
    rate=jt.log_uniform(1e-4, 1.0),
    momentum=jt.reverse_log_uniform(0.5, 0.999),
    x=jt.uniform(-2.0, 3.0),
    units=jt.integer(1, 200, scale="log"),
    batch=jt.power_of_two(8, 256),
    kind=jt.choice(["a", "b", "c"]),
    level=jt.ordinal(["low", "middle", "high"]),
    beta=jt.when(jt.uniform(0.0, 1.0), kind=["a", "c"]),
    ten=jt.fixed(10),
)
SAMPLERS = {"uniform": jt.samplers.uniform(), "sobol": jt.samplers.sobol()}
NUMBERS = ("rate", "momentum", "x", "units")
ZOOM = jt.zoom(top=3)
MORE = (1, 2, 5)


class Search(RuleBasedStateMachine):
    """A search by hand, in any order."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store.create(self.folder / "run.sqlite")
        self.saved = []

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    @initialize(name=st.sampled_from(sorted(SAMPLERS)), seed=st.integers(0, 2**31))
    def begin(self, name, seed):
        self.sampler, self.key, self.box = SAMPLERS[name], jax.random.key(seed), SPACE
        self.restart()

    def restart(self):
        self.state = self.sampler.init(self.key, self.box)
        self.points = np.zeros((0, SPACE.dim), np.float32)
        self.scores = np.zeros(0)

    @rule(n=st.sampled_from(MORE), data=st.data())
    def ask_and_tell(self, n, data):
        self.state, points = self.sampler.ask(self.state, n)
        number = st.floats(-1e30, 1e30) | st.just(np.nan)
        told = data.draw(st.lists(number, min_size=n, max_size=n))
        scores = np.asarray(told, np.float32)
        self.state = self.sampler.tell(self.state, points, scores)
        self.points = np.concatenate([self.points, np.asarray(points)])
        self.scores = np.concatenate([self.scores, scores])

    @precondition(lambda self: len(self.points) > 5)
    @rule()
    def points_do_not_depend_on_the_batches(self):
        again = self.sampler.init(self.key, self.box)
        _, points = self.sampler.ask(again, 6)
        np.testing.assert_array_equal(points, self.points[:6])

    @precondition(lambda self: np.isfinite(self.scores).sum() > 1)
    @rule()
    def zoom(self):
        self.box = ZOOM(self.box, self.points, self.scores)
        self.restart()

    @rule(
        name=st.sampled_from(NUMBERS), ends=st.tuples(st.floats(0, 1), st.floats(0, 1))
    )
    def restrict(self, name, ends):
        low, high = self.box.bounds[name]
        inner = sorted(low + end * (high - low) for end in ends)
        if name == "units":
            inner = [round(end) for end in inner]
        inner = [min(max(end, low), high) for end in inner]
        self.box = self.box.restrict(**{name: tuple(inner)})
        assert self.box.bounds[name][0] >= low
        assert self.box.bounds[name][1] <= high
        self.restart()

    @precondition(lambda self: len(self.points))
    @rule()
    def save(self):
        hparams = jax.device_get(self.box.decode(self.points))
        start = Points(self.box, self.points, hparams)
        number = len(self.saved)
        Durable(self.store, SPACE, [0] * 99).begin(number, lambda: start)
        self.saved.append(start)

    @precondition(lambda self: self.saved)
    @rule(data=st.data(), reopen=st.booleans())
    def load(self, data, reopen):
        if reopen:
            self.store.close()
            self.store = Store(self.folder / "run.sqlite", write=True)
        number = data.draw(st.integers(0, len(self.saved) - 1))
        saved, found = self.saved[number], started(self.store, SPACE, number)
        assert found is not None
        np.testing.assert_array_equal(found.points, saved.points)
        for name, values in saved.hparams.items():
            assert found.hparams[name].dtype == values.dtype
            np.testing.assert_array_equal(found.hparams[name], values)
        decoded = found.space.decode(found.points)
        for name, values in saved.hparams.items():
            np.testing.assert_array_equal(decoded[name], values)

    @invariant()
    def decoding_encoding_decoding_is_decoding(self):
        if not hasattr(self, "box") or not len(self.points):
            return
        rows = self.points[-1:]
        assert ((rows >= 0) & (rows < 1)).all()
        hparams = self.box.decode(rows)
        points = np.asarray(self.box.encode(hparams))
        again = self.box.decode(points)
        for name, values in hparams.items():
            np.testing.assert_array_equal(again[name], values)
            low, high = SPACE.bounds[name]
            if name in NUMBERS:
                assert np.float32(low) <= values[0] <= np.float32(high)

    @invariant()
    def a_box_has_the_tree_of_its_space_and_lies_in_it(self):
        if not hasattr(self, "box"):
            return
        assert jax.tree.structure(self.box) == jax.tree.structure(SPACE)
        for name in (*NUMBERS, "batch"):
            (low, high), (least, most) = self.box.bounds[name], SPACE.bounds[name]
            assert least <= low <= high <= most


TestSearch = Search.TestCase
TestSearch.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=DirectoryBasedExampleDatabase(str(Path(__file__).with_name("failures"))),
)
