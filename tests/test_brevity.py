"""What is printed of objects, in terminals and notebooks, and what pickles hold."""

import copy
import dataclasses
import inspect
import pickle
import re
from typing import NamedTuple

import cloudpickle
import jax
import numpy as np
import pytest

import jaxtune as jt
from jaxtune.brevity import brief, in_brief
from jaxtune.registry import recipe_of

MOST = 1000  # characters
# arrays, addresses of memory, and functions as Python prints them
UNREADABLE = re.compile(r"[aA]rray\(| at 0x|<function")


def objective(key, hparams):
    """A function that a pickle finds by its name."""
    noise = 0.1 * jax.random.normal(key)
    return hparams["learning_rate"] + hparams["momentum"] + noise


@pytest.fixture(scope="module")
def results(small_task, small_space):
    own = {"key": jax.random.key(0), "verbose": 0}
    halving = jt.schedulers.successive_halving(eta=2, min_epochs=1)
    rule = jt.require(lambda h: h["learning_rate"] < 0.4)
    folded = dataclasses.replace(small_task, valid=None)
    return {
        "trained": jt.search(
            small_task, small_space, trials=12, epochs=4, scheduler=halving, **own
        ),
        "folds": jt.search(
            folded, small_space, trials=4, epochs=2, folds=2, history=True, **own
        ),
        "function": jt.search(
            objective,
            small_space,
            trials=40,
            rounds=2,
            seeds=2,
            confirm=3,
            mode="min",
            **own,
        ),
        "own rule": jt.search(
            lambda key, h: h["learning_rate"] + h["momentum"],
            small_space,
            trials=8,
            mode="min",
            constraints=rule,
            **own,
        ),
    }


def properties(found):
    """What a result has, by name; those that raise are not there for this one."""
    for field in dataclasses.fields(found):
        yield field.name, getattr(found, field.name)
    for name, member in inspect.getmembers(type(found)):
        if name[0] != "_" and not inspect.isroutine(member):
            try:
                yield name, getattr(found, name)
            except ValueError:
                continue


def analyses(found):
    for name in ("best_of", "edges", "importances", "noise", "rung_correlations"):
        try:
            yield name, getattr(jt.analysis, name)(found)
        except ValueError:
            continue


def makers():
    for home in (jt.samplers, jt.schedulers):
        for name in home.__all__:
            make = getattr(home, name)
            if inspect.isfunction(make):
                needs = [
                    p
                    for p in inspect.signature(make).parameters.values()
                    if p.default is p.empty
                ]
                if name not in ("optuna", "sensitivity"):
                    yield name, make(*[8] * len(needs))


PARTS = dict(makers())


def shown(value):
    """Objects of ours that stand in a value: arrays alone are printed as NumPy does."""
    if isinstance(value, dict):
        return [part for one in value.values() for part in shown(one)]
    if type(value) in (tuple, list):
        return [part for one in value for part in shown(one)]
    return [] if isinstance(value, np.ndarray | jax.Array) else [value]


def check(name, value):
    text = repr(value)
    assert len(text) <= MOST, (name, len(text))
    assert not UNREADABLE.search(text), (name, text)
    html = getattr(value, "_repr_html_", None)
    if html is not None:
        assert not UNREADABLE.search(html()), name
        # no colour of ours: notebooks may be dark
        assert "style" not in html(), name


def test_what_a_search_has_is_short(results):
    seen = set()
    for found in results.values():
        for name, value in [("result", found), *properties(found), *analyses(found)]:
            for one in shown(value):
                check(name, one)
                seen.add(type(one).__name__)
    assert {"Best", "Setup", "Cost", "Rungs", "Noise", "Importances", "Counts"} <= seen


def test_what_goes_into_a_search_is_short(small_task, small_space):
    plan = jt.plan(small_task, small_space, trials=12, epochs=2)
    things = {"task": small_task, "space": small_space, "plan": plan, **PARTS}
    things |= {"dimension": small_space["momentum"], "mlp": jt.models.MLP(classes=2)}
    things |= {"tiered": jt.tiered(small_space, 30), "stop": jt.stop.at(0.9)}
    things |= {"cnn": jt.models.CNN(classes=2), "rule": jt.require(objective)}
    for name, thing in things.items():
        check(name, thing)
    assert "float32[200, 64]" in repr(small_task)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_prints_the_call_that_makes_it(name):
    part = PARTS[name]
    home = jt.samplers if hasattr(jt.samplers, name) else jt.schedulers
    again = eval(f"home.{part!r}", {"home": home})
    assert recipe_of(again) == recipe_of(part)
    assert repr(again) == repr(part)


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
@pytest.mark.parametrize("name", PARTS)
def test_a_part_pickles_as_the_call_that_makes_it(name, dumps):
    again = pickle.loads(dumps(PARTS[name]))
    assert type(again) is type(PARTS[name])
    assert recipe_of(again) == recipe_of(PARTS[name])


def test_a_part_of_a_users_own_pickles_if_its_functions_do():
    sampler = jt.samplers.Sampler(objective, objective, objective)
    assert pickle.loads(pickle.dumps(sampler)) == sampler
    assert repr(sampler) == "Sampler(init=objective, ask=objective, tell=objective)"
    assert recipe_of(jt.samplers.sobol()._replace(ask=objective)) is None


def test_a_space_pickles(small_space):
    again = pickle.loads(pickle.dumps(small_space))
    assert repr(again) == repr(small_space)
    assert again.bounds == small_space.bounds


WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "cloudpickle": lambda value: pickle.loads(cloudpickle.dumps(value)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["trained", "folds", "function", "own rule"])
def test_a_result_pickles_and_copies(results, name, way):
    found = results[name]
    again = WAYS[way](found)
    assert repr(again) == repr(found)
    assert again.best == found.best
    assert again.counts == found.counts
    assert again.setup.constraints.limits == found.setup.constraints.limits
    for column in found.trials.names:
        np.testing.assert_array_equal(again.trials[column], found.trials[column])
    again.trials.columns["score"][:] = 0  # a deep copy shares no array
    assert (found.trials["score"] == 0).all() == (way == "copy")
    if way == "copy":
        found.trials.columns["score"][:] = found.trials.scores.mean(axis=1)


def test_a_copy_keeps_the_task_and_a_pickle_says_that_it_could_not(results):
    found = results["trained"]
    assert copy.deepcopy(found).test() == found.test()
    again = WAYS["pickle"](dataclasses.replace(found, _tested={}))
    with pytest.raises(ValueError, match=r"test: the task is not at hand"):
        again.test()
    with pytest.raises(ValueError, match="no pickle those that jaxtune makes"):
        again.train()
    # a function that a pickle finds stays
    assert WAYS["pickle"](results["function"]).setup.workload.task is not None
    (rule,) = WAYS["pickle"](results["own rule"]).setup.constraints.rules
    assert repr(rule) == "require(<lambda>)"


RUN = {"trials": 6, "mode": "min", "key": jax.random.key(0), "verbose": 0}


def stopped(small_space, folder):
    return jt.search(
        objective, small_space, directory=folder, **RUN, stop=lambda _: True
    )


def loaded(small_space, folder):
    stopped(small_space, folder)
    return jt.load(folder)


def resumed(small_space, folder):
    stopped(small_space, folder)
    return jt.resume(folder, objective, verbose=0)


def extended(small_space, folder):
    jt.search(objective, small_space, directory=folder, **RUN)
    return jt.extend(folder, objective, trials=9, verbose=0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [stopped, loaded, resumed, extended])
def test_a_result_of_a_run_pickles_and_copies(small_space, tmp_path, kind, way):
    found = kind(small_space, tmp_path / "run")
    again = WAYS[way](found)
    assert repr(again) == repr(found)
    assert again.counts == found.counts
    assert again.seconds == found.seconds
    assert [training.over for training in again.rounds] == [
        training.over for training in found.rounds
    ]
    for column in found.trials.names:
        np.testing.assert_array_equal(again.trials[column], found.trials[column])


def test_results_are_compared_by_identity(results):
    found = results["trained"]
    again = copy.copy(found)
    assert found != again
    assert found.trials == again.trials
    assert found.trials != copy.deepcopy(found).trials
    assert len({found, again, found.trials, again.trials}) == 3
    assert found in [again, found]
    assert found not in [again, 1, None]


def test_a_pickle_can_be_reported(results, tmp_path):
    again = WAYS["pickle"](results["trained"])
    assert again.report(tmp_path / "report.html").exists()


def test_text_has_bounds_and_html_no_tags_of_the_user():
    @brief
    class Own(NamedTuple):
        name: str
        rest: object

    check("own", Own("x" * 10**5, list(range(10**5))))
    check("deep", Own("x", Own("y", Own("z", np.zeros((3, 4))))))
    assert "1000 in all" in repr(Own("", [0] * 1000))
    assert "<b>" not in Own("<b>", "<b>")._repr_html_()
    assert in_brief((1,)) == "(1,)"
    assert in_brief(jax.random.key(0)) == "key<fry>[]"
    assert jax.eval_shape(lambda x: (in_brief(x), x)[1], 1.0).shape == ()
