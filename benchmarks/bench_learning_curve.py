"""How many battles does a kind need? Log loss on judge_unique, 5 folds grouped by prompt.

    python -m benchmarks.bench_learning_curve --data FOLDER --only linear,forest

Of the battles that a fold trains on, random parts are taken, as `learning_curve` with
`random_state=0` takes them, and in the end all. The interval is of the difference to "ensemble"
trained on the same battles: a paired bootstrap over prompts, 95 %.
"""

import numpy as np
from sklearn.utils import check_random_state
from tqdm import tqdm

from arena_estimators import prompt_groups
from benchmarks import _battles, _recipes, _rows
from benchmarks._harness import report

SIZES = (100, 300, 1000, 3000, "all")


def evaluate(name, options):
    """Give the loss of each battle, in the order of the folds, for each number trained on."""
    X, y = _rows.read(options)
    rng = check_random_state(0)
    folds = [(rng.permutation(train), test) for train, test in _battles.CV.split(X)]
    found = {"tested": np.concatenate([test for _, test in folds])}
    least = min(len(train) for train, _ in folds)
    for size in tqdm([size for size in SIZES if size == "all" or size < least], unit="size"):
        losses = []
        for train, test in folds:
            part = train[: None if size == "all" else size]
            model = _recipes.compose(name).fit(X.iloc[part], y[part])
            proba = model.predict_proba(X.iloc[test])
            losses.append(_rows.losses_of(proba, model.classes_, y[test]))
        found[str(size)] = np.concatenate(losses)
        found[f"mean {size}"] = np.mean([fold.mean() for fold in losses])
    return found


def main(argv=None):
    options = _rows.arguments(
        argv, "learning_curve", _recipes.KINDS, __doc__.splitlines()[0], ["--all"]
    )
    if options is None:
        return
    _rows.measure(
        options, _recipes.KINDS, evaluate, _rows.encoders_left_out(options, _recipes.ENCODERS)
    )
    groups = prompt_groups(_rows.read(options)[0])
    found, rows = _rows.kept(options, _recipes.KINDS), []
    for name, row in found.items():
        for size in (size for size in map(str, SIZES) if size in row):
            cells = {"model": name, "battles": size, "log loss": f"{row[f'mean {size}']:.4f}"}
            if "ensemble" in found and name != "ensemble":
                gap = _rows.difference(row[size], found["ensemble"][size], groups[row["tested"]])
                cells["minus ensemble"] = gap
            rows.append(cells)
    report(options.table, rows, "Log loss is the mean of the five folds' means.")
    _rows.finish(options)


if __name__ == "__main__":
    main()
