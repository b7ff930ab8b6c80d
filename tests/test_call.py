"""The call that a report prints, executed: it gives the same table, to the bit."""

from __future__ import annotations

import enum
import inspect
import pickle
from html import unescape

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.report.call import printed_call
from jaxtune.report.code import Names, code_of, space_code
from jaxtune.storage.documents import space_document

PLAIN = jt.Space(
    x=jt.uniform(0.0, 1.0, default=0.2),
    y=jt.log_uniform(1e-3, 1.0, tier=1),
    kind=jt.choice(["a", "b"], static=True),
)
RATES = jt.Space(
    learning_rate=jt.log_uniform(1e-3, 1.0), momentum=jt.reverse_log_uniform(0.1, 0.9)
)
PART = RATES.restrict(learning_rate=(1e-2, 0.5))


def noisy(key, h):
    value = h["x"] + jnp.log(h["y"]) * (h["kind"] == "b")
    return value + 0.1 * jax.random.normal(key)


def two(key, h):
    return {"here": noisy(key, h), "there": 1 - h["x"]}


def below(h):
    return h["x"] + h["y"] < 1.2


def halve(space, points, scores):
    return jt.zoom(top=4)(space, points, scores)


def own():
    sobol = jt.samplers.sobol()
    return jt.samplers.Sampler(lambda key, space: sobol.init(key, space), *sobol[1:])


EARLIER = {}


def earlier():
    if not EARLIER:
        EARLIER["one"] = jt.search(
            noisy, PLAIN, key=jax.random.key(9), trials=12, mode="min", verbose=0
        )
    return EARLIER["one"]


# names of arguments that change no table, or that say where and how it is computed
ELSEWHERE = {"task", "space", "key", "trials", "directory", "stop"}
ELSEWHERE |= {"callbacks", "executor", "grace", "verbose"}

FUNCTIONS = {
    "usual": dict(),
    "rounds": dict(
        rounds=3, sampler="sobol", refine=jt.zoom(top=5, margin=0.5), seeds=2
    ),
    "refine": dict(rounds=2, sampler=jt.samplers.tpe(), block=4),
    "own": dict(rounds=2, sampler=own(), refine=halve),
    "first": dict(first=[{"x": 0.1, "kind": "b"}, {"y": 0.5}], sampler="halton"),
    "start": dict(start=PLAIN.restrict(x=(0.1, 0.9), kind=["b"]), rounds=2),
    "within": dict(refine=jt.zoom(within=PLAIN), rounds=2, sampler="uniform"),
    "prior": dict(prior="earlier"),
    "confirm": dict(confirm=3),
    "share": dict(confirm=0.3, sampler="sobol"),
    "race": dict(scheduler=jt.schedulers.race(top=3, seeds=4), seeds=2, rounds=2),
    "constraints": dict(
        task=two,
        metric="there",
        constraints=[jt.require(below), {"here": ("<=", 2 / 3)}],
    ),
    "tiers": dict(space=jt.tiered(PLAIN, 24, rounds=2), trials=None, sampler="sobol"),
    "tiers again": dict(space=jt.tiered(PLAIN, 30), trials=None, confirm=2),
    "schedule": dict(
        space=jt.Schedule(PLAIN, (jt.Stage(("x",), 9), jt.Stage(("x", "y"), 15))),
        trials=None,
    ),
    "goals": dict(task=two, mode=None, goals=[("here", "min"), ("there", "max")]),
    "metric": dict(task=two, metric="there", mode="max"),
    "wide key": dict(key=jax.random.fold_in(jax.random.key(3), 7)),
}
TASKS = {
    "usual": dict(),
    "pace": dict(trials=80, seeds=2),
    "scheduler": dict(scheduler=jt.schedulers.successive_halving(eta=2), metric="loss"),
    "population": dict(scheduler="pbt", trials=8, epochs=6, sampler="sobol"),
    "folds": dict(folds=3),
    "pairs": dict(folds=[(range(40), range(40, 80)), (range(40, 80), range(40))]),
    "examples": dict(scheduler="successive_halving", budget="examples", epochs=6),
    "score": dict(score="best", history=True),
    "mean": dict(score=2),
    "keep": dict(keep="predictions", sampler=jt.samplers.latin_hypercube(12)),
    "identity": dict(block=3, programs=1, rewrite=False, sampler="sobol"),
    "sizes": dict(
        constraints={"parameters": ("<=", 10**4)}, goals=["accuracy", "loss"]
    ),
}


def task_of(folds=False):
    random = np.random.default_rng(0)
    x = random.normal(size=(120, 3)).astype(np.float32)
    y = (x[:, 0] + 0.5 * random.normal(size=120) > 0).astype(int)
    valid = {} if folds else {"valid": (x[80:], y[80:])}
    model = jt.models.MLP(classes=2, max_units=8)
    return jt.classification(model, train=(x[:80], y[:80]), **valid, batch_size=16)


def search(changes, trains, **more):
    changes = dict(changes)
    if changes.get("prior"):
        changes["prior"] = [earlier()]
    task = task_of("folds" in changes) if trains else changes.pop("task", noisy)
    space = changes.pop("space", RATES if trains else PLAIN)
    usual = dict(key=jax.random.key(0), trials=24, verbose=0)
    usual |= {"epochs": 4, "trials": 12} if trains else {"mode": "min"}
    return task, jt.search(task, space, **usual | changes, **more)


def executed(result, task, changes):
    """Run what is printed, with what its comments name defined."""
    call, known = printed_call(result), {}
    for name, what in call.names.items():
        known[name] = {
            "earlier": [earlier()],
            "below": below,
            "halve": halve,
            "folds": changes.get("folds"),
        }.get(name, changes.get("sampler"))
        assert what
    scope = {"jax": jax, "jnp": jnp, "jt": jt, "task": task, **known}
    exec(f"{call.space}\nresult = {call.text}", scope)
    return scope["result"]


def assert_same(one, other):
    assert one.trials.names == other.trials.names
    for name in one.trials.names:
        np.testing.assert_array_equal(one.trials[name], other.trials[name], name)
    np.testing.assert_array_equal(one.trials.scores, other.trials.scores)
    np.testing.assert_array_equal(one.trials.points, other.trials.points)


CASES = [(name, False) for name in FUNCTIONS] + [(name, True) for name in TASKS]


@pytest.mark.parametrize(("name", "trains"), CASES)
def test_the_printed_call_gives_the_same_table(name, trains, tmp_path):
    changes = (TASKS if trains else FUNCTIONS)[name]
    task, found = search(changes, trains, directory=tmp_path / "run")
    assert_same(executed(found, task, changes), found)
    loaded = jt.load(tmp_path / "run")
    assert printed_call(loaded) == printed_call(found)


def test_the_printed_call_of_an_extended_run_gives_its_table(tmp_path):
    task, _ = search(TASKS["usual"], True, directory=tmp_path / "run")
    more = jt.extend(tmp_path / "run", task, trials=8, rounds=2, epochs=5, first="best")
    assert_same(executed(more, task, {}), more)
    assert printed_call(jt.load(tmp_path / "run")) == printed_call(more)


def test_every_argument_of_a_search_is_in_some_printed_call():
    tried = {name for changes in FUNCTIONS.values() for name in changes}
    tried |= {name for changes in TASKS.values() for name in changes}
    wanted = set(inspect.signature(jt.search).parameters) - ELSEWHERE - {"epochs"}
    assert wanted <= tried


def test_the_call_is_on_the_page_and_names_what_has_no_text(tmp_path):
    _, found = search(FUNCTIONS["own"], False)
    page = unescape(found.report(tmp_path / "page.html").read_text())
    call = printed_call(found)
    assert f"{call.space}\nresult = {call.text}" in page
    assert "# halve: test_call.halve" in page
    assert len(call.names) == 2


def test_the_call_of_a_pickled_result_names_the_same():
    _, found = search(FUNCTIONS["own"], False)
    again = pickle.loads(pickle.dumps(found))
    assert printed_call(again) == printed_call(found)
    assert len(printed_call(again).names) == 2


SPACES = {
    "all": jt.Space(
        a=jt.uniform(-1.0, 2.5, default=0.0, tier=4),
        b=jt.log_uniform(1e-7, 3e-2),
        c=jt.reverse_log_uniform(0.5, 0.999),
        d=jt.integer(1, 9, scale="log", static=True),
        e=jt.power_of_two(8, 256, default=64),
        f=jt.ordinal([0.0, 0.1, float("inf")]),
        g=jt.choice(["a", None, ("b", 1), True], default=("b", 1)),
        h=jt.fixed(10),
        i=jt.when(jt.uniform(0.0, 1.0), g=["a", ("b", 1)]),
    ),
    "standard": jt.presets.standard(),
    "restricted": jt.presets.standard().restrict(learning_rate=(1e-3, 0.1)),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_space_is_its_text(name):
    names = Names()
    again = eval(space_code(SPACES[name], names), {"jt": jt})
    assert not names.known
    assert space_document(again) == space_document(SPACES[name])


def test_values_without_a_text_are_variables_that_no_two_share():
    def gelu(x):
        return x

    names = Names()
    text = code_of([gelu, np.tanh, gelu, "x", {"a": (1,)}], names)
    first, second = names.known.values()
    assert first != second
    assert text == f"[{first}, {second}, {first}, 'x', {{'a': (1,)}}]"
    assert str.isidentifier(first)
    assert str.isidentifier(second)


def value_of_all(h):
    parts = (getattr(value, "index", value) for value in h.values())
    return sum(0.01 * part for part in parts if not callable(part))


def table_of(space, value=value_of_all, **changes):
    usual = {"key": jax.random.key(0), "trials": 8, "mode": "min", "verbose": 0}
    return jt.search(value, space, **usual | {"sampler": "sobol"} | changes)


def assert_its_call_gives(found, value=value_of_all, **known):
    call = printed_call(found)
    scope = {"jax": jax, "jnp": jnp, "jt": jt, "task": value, **known}
    assert set(call.names) == set(known)
    exec(f"{call.space}\nresult = {call.text}", scope)
    assert_same(scope["result"], found)


X = jt.uniform(0.0, 1.0)
NESTED = jt.Space(
    kind=jt.choice(["a", "b"]),
    size=jt.when(jt.ordinal([1, 2.5], default=1), kind="b"),
    real=jt.when(jt.log_uniform(1e-3, 1.0), kind="b", size=[2.5]),
    whole=jt.when(jt.integer(1, 9, scale="log"), kind="a"),
    power=jt.when(jt.power_of_two(2, 64), kind="a"),
    x=X,
)
BELIEFS = jt.Space(
    a=jt.log_uniform(1e-4, 1.0, prior=jt.near(0.01)),
    b=jt.reverse_log_uniform(0.1, 0.999, prior=jt.near(0.9)),
    c=jt.integer(1, 64, scale="log", prior=jt.near(16)),
    d=jt.power_of_two(1, 2**30, prior=jt.near(64)),
    e=jt.ordinal([1, 2, 3, 4, 5], prior=jt.near(4)),
    f=jt.choice(["a", "b", "c"], prior=jt.near("b")),
    g=jt.integer(-5, 20, prior=jt.near(3)),
    x=X,
)
OUTSIDE = BELIEFS.restrict(
    a=(0.1, 0.5), b=(0.95, 0.99), c=(32, 64), d=(128, 256), e=(1, 2), f=["c"], g=(5, 9)
)
PARTS = {
    "closed": NESTED.keep("x"),
    "parent open": NESTED.keep("x", "kind"),
    "child open": NESTED.restrict(x=(0.1, 0.9)).keep("x", "kind", "whole"),
    "an ordinal of numbers": jt.Space(o=jt.ordinal([1, 2.5], default=1), x=X).keep("x"),
    "default outside": jt.Space(
        x=jt.uniform(0.0, 1.0),
        log=jt.log_uniform(1e-3, 1.0),
        power=jt.power_of_two(1, 64),
        whole=jt.integer(1, 9),
        named=jt.ordinal(["a", "b", "c", "d"]),
    ).restrict(
        x=(0.6, 0.9), log=(0.1, 1), power=(16, 64), whole=(1, 2), named=("a", "b")
    ),
    "inside its belief": BELIEFS.restrict(a=(1e-3, 0.5), c=(8, 32), d=(2, 512)),
    "outside its belief": OUTSIDE,
    "belief of a part": OUTSIDE.expect(a=jt.near(0.2), e=jt.near(1), g=jt.near(8)),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_call_of_a_part_of_a_space_gives_its_table(name):
    assert_its_call_gives(table_of(PARTS[name]))


@pytest.mark.parametrize(
    "start",
    [
        BELIEFS.restrict(c=(2, 9), e=(2, 4), f=["a", "c"]),
        BELIEFS.restrict(a=(0.1, 0.5), e=(1, 2)),
    ],
)
def test_the_call_starts_where_the_search_did(start):
    assert_its_call_gives(table_of(BELIEFS, start=start, rounds=2))


@pytest.mark.parametrize(
    "first", ["defaults", [{"kind": "b", "size": 2.5, "real": 0.1}, {}]]
)
def test_known_settings_are_printed_without_what_nothing_reads(first):
    assert_its_call_gives(table_of(NESTED, first=first))


def test_a_space_that_no_call_makes_is_a_variable():
    given = jt.Space(x=X, z=jt.ordinal([1, 2]), y=jt.when(X, z=2))
    odd = given.replace(z=jt.choice([1]))
    names = Names()
    assert space_code(odd, names) == "your_space"
    assert list(names.known.values()) == ["your_space"]


@pytest.mark.parametrize("block", [None, 4])
def test_rounds_whose_batches_are_no_blocks_are_printed_as_given(block):
    wide = jt.Space(**{f"x{i}": X for i in range(7)})
    changes = {"trials": 40, "rounds": 2, "sampler": None, "block": block}
    found = table_of(wide, **changes)
    assert (
        "task, space,\n    key=jax.random.key(0),\n    trials=40,\n    rounds=2,"
        in (printed_call(found).text)
    )
    assert_its_call_gives(found)


def test_a_share_to_confirm_is_printed_as_given():
    found = table_of(PLAIN, noisy, trials=26, confirm=0.2)
    assert "confirm=0.2," in printed_call(found).text


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Loss(enum.StrEnum):
    LOSS = "loss"


@pytest.mark.parametrize("make", [jt.choice, jt.ordinal])
def test_members_of_enumerations_are_printed_as_what_they_are_equal_to(make):
    assert_its_call_gives(table_of(jt.Space(size=make(list(Size)), x=X)))


@pytest.mark.parametrize("metric", [Loss.LOSS, np.str_("loss")])
def test_strings_of_other_classes_are_printed_as_strings(metric):
    def value(h):
        return {"loss": h["x"]}

    assert_its_call_gives(table_of(jt.Space(x=X), value, metric=metric), value)


def test_no_variable_hides_what_the_call_itself_reads():
    words = ("task", "space", "result", "jt", "jax", "jnp", "float")
    names = Names()
    assert not set(words) & {names.of(f"yours.{word}", word) for word in words}


def make_functions():
    def same(h):
        return h["x"] < 0.9

    one = same

    def same(h):
        return h["y"] < 0.9

    return one, same


def test_two_functions_of_one_name_are_two_variables(tmp_path):
    one, other = make_functions()
    space = jt.Space(
        f=jt.choice([one, other], default=other),
        g=jt.when(jt.choice([other, one], static=True), f=other),
        x=X,
        y=X,
    )
    found = table_of(space, constraints=[jt.require(one), jt.require(other)])
    call = printed_call(found)
    assert len(call.names) == len(set(call.names.values())) == 4
    assert "f=jt.choice([same, same_], default=same_)" in call.space
    assert "g=jt.when(jt.choice([same_, same], static=True), f=[same_])" in call.space
    known = {"same": one, "same_": other, "same__": one, "same___": other}
    assert_its_call_gives(found, **known)


def test_two_functions_of_one_name_are_two_variables_in_a_loaded_run(tmp_path):
    one, other = make_functions()
    space = jt.Space(f=jt.choice([one, other]), x=X)
    found = table_of(space, directory=tmp_path / "run")
    assert printed_call(jt.load(tmp_path / "run")) == printed_call(found)
    assert len(printed_call(found).names) == 2
