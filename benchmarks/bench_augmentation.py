"""Do augmentation and distillation help? Log loss on judge_unique, 5 folds grouped by prompt.

Each row is compared with the plain pipeline of its kind on the same battles: the difference (less
is better) with a 95 % interval, a paired bootstrap over prompts. An interval that holds zero
means that no effect was found. The noisy rows are trained on votes of which three in ten were
drawn anew at random, and judged by the true ones.
"""

import time

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from arena_estimators import (
    AugmentingClassifier,
    BlendingClassifier,
    DavidsonClassifier,
    DistillingClassifier,
    PairStyleFeatures,
    SwapSymmetricClassifier,
    make_arena_pipeline,
    prompt_groups,
)
from benchmarks import _battles, _rows
from benchmarks._harness import data_folder, report

N_BATTLES = 2000


def linear():
    return make_arena_pipeline("linear")


def weak():
    """Compose "linear" with a sixth of the penalty that its default takes here."""
    alphas = {"davidsonclassifier__alpha": 0.01, "davidsonclassifier__tie_alpha": 0.1}
    return linear().set_params(**alphas)


def style():
    scaler = StandardScaler(with_mean=False)
    return make_pipeline(PairStyleFeatures(), scaler, DavidsonClassifier())


def blend():
    trees = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.06, max_leaf_nodes=12)
    trees = SwapSymmetricClassifier(make_pipeline(PairStyleFeatures(), trees))
    return BlendingClassifier([("linear", linear()), ("trees", trees)], cv=2)


def augmented(*names, make=linear):
    return lambda: AugmentingClassifier(make(), augmentations=names, random_state=0)


def itself(make, hard_weight=0.5):
    return lambda: DistillingClassifier(make(), hard_weight=hard_weight, cv=3)


# Name: how it is made, which row it is compared with, and whether the votes are noisy.
MODELS = {
    "linear": (linear, None, False),
    "linear + drop_turns": (augmented("drop_turns"), "linear", False),
    "linear + trim": (augmented("trim"), "linear", False),
    "linear + strip_markdown": (augmented("strip_markdown"), "linear", False),
    "linear + all three": (augmented("drop_turns", "trim", "strip_markdown"), "linear", False),
    "linear, self-distilled": (itself(linear), "linear", False),
    "weak": (weak, None, False),
    "weak + strip_markdown": (augmented("strip_markdown", make=weak), "weak", False),
    "weak, self-distilled": (itself(weak), "weak", False),
    "style": (style, None, False),
    "style, self-distilled": (itself(style), "style", False),
    "style, taught by a blend": (
        lambda: DistillingClassifier(style(), blend(), hard_weight=0.5, cv=2),
        "style",
        False,
    ),
    "noisy linear": (linear, None, True),
    "noisy linear, self-distilled": (itself(linear), "noisy linear", True),
}


def evaluate(make, X, y, train_y):
    """Predict every battle out of fold; give the loss of each and the seconds of a fit."""
    losses = np.empty(len(y))
    seconds = 0.0
    for train, test in _battles.CV.split(X):
        start = time.process_time()
        model = make().fit(X.iloc[train], train_y[train])
        seconds += time.process_time() - start
        proba = model.predict_proba(X.iloc[test])
        losses[test] = _rows.losses_of(proba, model.classes_, y[test])
    return losses, seconds / 5


def table(name, models, X, y, note):
    """Evaluate each model, compare it with its base, and report."""
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.3, rng.permutation(y), y)
    groups = prompt_groups(X)
    losses, rows = {}, []
    for model, (make, base, with_noise) in models.items():
        losses[model], seconds = evaluate(make, X, y, noisy if with_noise else y)
        row = {"model": model, "log loss": float(losses[model].mean()), "CPU s a fit": seconds}
        if base:
            row["difference"] = _rows.difference(losses[model], losses[base], groups)
            row["compared with"] = base
        rows.append(row)
        print(row, flush=True)
    counts = f"{len(X)} battles of {len(set(groups))} prompts"
    report(name, rows, f"{note}, {counts}, 5 folds grouped by prompt.")


def several_turns(folder):
    """Measure drop_turns where there are turns to drop: votes of people, no ties."""
    X, y = _battles.read(folder, "hh_harmless_human")
    models = {name: MODELS[name] for name in ("linear", "linear + drop_turns")}
    table("augmentation_turns", models, X, y, "hh_harmless_human")


def main(argv=None):
    folder = data_folder(argv)
    if folder is None:
        print("Skipped: set ARENA_DATA or pass --data to the folder with judge_unique.parquet.")
        return
    X, y = _battles.some(*_battles.read(folder), N_BATTLES)
    note = "judge_unique (of one turn each: nothing for drop_turns to drop)"
    table("augmentation", MODELS, X, y, note)
    several_turns(folder)


if __name__ == "__main__":
    main()
