"""Those who predict a table: jaxtune's networks, and scikit-learn tuned by Optuna.

Each takes a `Split`, a seed and what it may do, chooses by five folds of the first
part, by log loss or squared error, and returns its scores on the second. Seconds are
those of the processor, so that a busy machine takes nothing from anybody.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import optuna
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

import jaxtune as jt
from benchmarks.published.tabular_data import CLASSES, Split

FOLDS = 5
LAYERS, UNITS = 2, (16, 128)  # of both kinds of networks


class Size(NamedTuple):
    """How much jaxtune's search does on a table of some rows."""

    trials: int
    epochs: int
    batch_size: int
    top: int  # candidates of the ensemble


def size_of(rows: int, small: bool) -> Size:
    """Return a size by which a search of more rows takes not much longer."""
    if small:
        return Size(trials=6, epochs=4, batch_size=64, top=2)
    batch_size = int(np.clip(2 ** round(np.log2(rows / 32)), 32, 256))
    trials, epochs = (48, 40) if rows < 3000 else (32, 20)
    return Size(trials, epochs, batch_size, top=6)


def space_of() -> jt.Space:
    """Return the search space of jaxtune's networks."""
    return jt.Space(
        learning_rate=jt.log_uniform(1e-3, 0.1, default=1e-2, tier=1),
        weight_decay=jt.log_uniform(1e-4, 1.0),
        dropout=jt.uniform(0.0, 0.5),
        hidden_units=jt.integer(*UNITS, scale="log"),
        layers=jt.integer(1, LAYERS),
    )


def adamw(hparams: Mapping[str, Any], steps: int) -> optax.GradientTransformation:
    """Return AdamW with a learning rate that falls to zero by the end."""
    rate = jt.schedules.warmup_cosine(hparams["learning_rate"], steps, warmup=0.1)
    return optax.adamw(rate, weight_decay=hparams["weight_decay"])


def search(split: Split, seed: int, size: Size) -> jt.Result:
    """Search the hyperparameters of a plain MLP, with folds as lanes."""
    data = {
        "train": (split.arrays[0], split.targets[0]),
        "test": (split.arrays[1], split.targets[1]),
        "batch_size": size.batch_size,
        "optimizer": adamw,
    }
    model = jt.models.MLP(classes=split.classes, max_units=UNITS[1], max_layers=LAYERS)
    make = jt.classification if split.kind == CLASSES else jt.regression
    return jt.search(
        make(model, **data),
        space_of(),
        key=jax.random.key(seed),
        trials=size.trials,
        epochs=size.epochs,
        metric="loss" if split.kind == CLASSES else "mse",
        folds=FOLDS,
        scheduler=jt.schedulers.successive_halving(min_epochs=max(1, size.epochs // 4)),
        verbose=0,
    )


def jaxtune(split: Split, seed: int, size: Size) -> dict[str, dict[str, Any]]:
    """Return the scores of the best network, and those of the ensemble."""
    begun = time.process_time()
    found = search(split, seed, size)
    searched = time.process_time() - begun
    ensemble = found.ensemble(top=size.top)
    seconds = time.process_time() - begun
    scores = ensemble.test()
    spent = {"trials": size.trials, "search": searched, "seconds": seconds}
    return {
        which: in_percent(split, **scores[which]) | spent
        for which in ("best", "ensemble")
    }


def in_percent(split: Split, **scores: float) -> dict[str, float]:
    """Return the error, of a regression to the spread of its targets, and the loss."""
    if split.kind == CLASSES:
        return {"error": 100 * (1 - scores["accuracy"]), "loss": scores["loss"]}
    share = scores["mse"] / np.var(split.targets[1])
    return {"error": 100 * float(np.sqrt(share)), "loss": float(scores["mse"])}


def network(trial: optuna.Trial) -> dict[str, Any]:
    """Suggest the settings of scikit-learn's MLP."""
    units = trial.suggest_int("units", *UNITS, log=True)
    return {
        "hidden_layer_sizes": (units,) * trial.suggest_int("layers", 1, LAYERS),
        "learning_rate_init": trial.suggest_float("rate", 1e-4, 0.1, log=True),
        "alpha": trial.suggest_float("alpha", 1e-6, 10.0, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128, 200]),
        "max_iter": trial.suggest_int("max_iter", 10, 200, log=True),
        "early_stopping": trial.suggest_categorical("early_stopping", [False, True]),
    }


def trees(trial: optuna.Trial) -> dict[str, Any]:
    """Suggest the settings of scikit-learn's boosted trees."""
    return {
        "learning_rate": trial.suggest_float("rate", 0.01, 0.5, log=True),
        "max_iter": trial.suggest_int("max_iter", 20, 500, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 128, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 100, log=True),
        "l2_regularization": trial.suggest_float("l2", 1e-6, 100.0, log=True),
        "max_features": trial.suggest_float("max_features", 0.3, 1.0),
    }


class Contender(NamedTuple):
    """A model of scikit-learn, for both kinds of tables."""

    models: tuple[type, type]  # of a classification, and of a regression
    suggest: Callable[[optuna.Trial], dict[str, Any]]
    first: dict[str, Any]  # scikit-learn's defaults, which are its first trial
    inputs: str  # what it gets of a `Split`
    fixed: dict[str, Any]  # what is not searched


CONTENDERS = {
    "sklearn MLP": Contender(
        (MLPClassifier, MLPRegressor),
        network,
        {
            **{"units": 100, "layers": 1, "rate": 1e-3, "alpha": 1e-4},
            **{"batch_size": 200, "max_iter": 200, "early_stopping": False},
        },
        "arrays",
        {},
    ),
    "boosted trees": Contender(
        (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
        trees,
        {
            **{"rate": 0.1, "max_iter": 100, "max_leaf_nodes": 31},
            **{"min_samples_leaf": 20, "l2": 1e-6, "max_features": 1.0},
        },
        "frames",
        {"early_stopping": False},
    ),
}


def scores_of(model: Any, split: Split, inputs: Any) -> dict[str, float]:
    """Return the scores of a fitted model on the second part."""
    y = split.targets[1]
    if split.kind != CLASSES:
        return in_percent(split, mse=np.mean((model.predict(inputs) - y) ** 2))
    accuracy = np.mean(model.predict(inputs) == y)
    loss = log_loss(y, model.predict_proba(inputs))
    return in_percent(split, accuracy=accuracy, loss=float(loss))


def default(name: str, split: Split, seed: int) -> dict[str, Any]:
    """Return the scores of a model as scikit-learn makes it."""
    one = CONTENDERS[name]
    begun = time.process_time()
    model = one.models[split.kind != CLASSES](random_state=seed)
    train, test = getattr(split, one.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(train, split.targets[0])
    scores = scores_of(model, split, test)
    return scores | {"seconds": time.process_time() - begun, "trials": 1}


def tuned(name: str, split: Split, seed: int, seconds: float) -> dict[str, Any]:
    """Return the scores of a model that Optuna's TPE has tuned for some seconds.

    The trial that is under way when the time is over is ended and counts; the fit of
    the best setting comes on top.
    """
    one = CONTENDERS[name]
    kind = one.models[split.kind != CLASSES]
    train, test = getattr(split, one.inputs)
    cut = StratifiedKFold if split.kind == CLASSES else KFold
    folds = cut(FOLDS, shuffle=True, random_state=seed)
    goal = "neg_log_loss" if split.kind == CLASSES else "neg_mean_squared_error"

    def model(trial: optuna.Trial) -> Any:
        return kind(random_state=seed, **one.suggest(trial), **one.fixed)

    def objective(trial: optuna.Trial) -> float:
        how = {"cv": folds, "scoring": goal}
        return cross_val_score(model(trial), train, split.targets[0], **how).mean()

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
    )
    study.enqueue_trial(one.first)
    begun = time.process_time()

    def look_at_the_clock(study: optuna.Study, _: optuna.trial.FrozenTrial) -> None:
        if time.process_time() - begun >= seconds:
            study.stop()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # epochs are over, a batch is cut: as was meant
        study.optimize(objective, callbacks=[look_at_the_clock])
        spent = {"seconds": time.process_time() - begun, "trials": len(study.trials)}
        best = model(optuna.trial.FixedTrial(study.best_params))
        best.fit(train, split.targets[0])
    return scores_of(best, split, test) | spent
