"""How good are the predictions? Log loss on judge_unique, 5 folds grouped by prompt.

    python -m benchmarks.bench_quality --data FOLDER --only "linear,boosting"

Each model runs all folds in a process of its own, so that seconds and peak memory are its own.
The interval is of the difference to "linear": a paired bootstrap over prompts, 95 %. What is
measured is kept, and the table is made of all the rows there are; `--only` adds to them.
"""

import importlib.util

from sklearn.pipeline import make_pipeline

from arena_estimators import (
    NLTKCleaner,
    expected_calibration_error,
    make_arena_pipeline,
    prompt_groups,
)
from benchmarks import _battles, _recipes, _rows
from benchmarks._harness import report


def kind(name):
    return lambda: make_arena_pipeline(name, n_jobs=2, random_state=0)


MODELS = {
    "class prior": _battles.prior,
    "length alone": _battles.length,
    "joined TF-IDF + LogisticRegression": _battles.joined,
    "joined after cleaning": lambda: make_pipeline(NLTKCleaner(), _battles.joined()),
    "TF-IDF differences by hand + LogisticRegression": _battles.differences,
    "published sparse recipe": _recipes.published_sparse,
    "published boosting recipe": _recipes.published_boosting,
    "linear": kind("linear"),
    "linear after cleaning": lambda: make_pipeline(NLTKCleaner(), make_arena_pipeline("linear")),
    "svm": kind("svm"),
    "forest": kind("forest"),
    "boosting": kind("boosting"),
    "boosting without LightGBM": _recipes.boosting_without_lightgbm,
    "kernel": kind("kernel"),
    "ensemble": kind("ensemble"),
    "embedding": _recipes.embedding,
    "bert": _recipes.minilm,
    "ensemble with MiniLM": _recipes.ensemble_with_minilm,
    "ensemble and bert, equal weights": _recipes.ensemble_beside_minilm,
}
ENCODERS = ("embedding", "bert", "ensemble with MiniLM", "ensemble and bert, equal weights")


def evaluate(name, options):
    return _rows.out_of_fold(MODELS[name], *_rows.read(options), options.folds)


def unfit(options):
    """Say which rows are left out here, and why."""
    reasons = _rows.encoders_left_out(options, ENCODERS)
    if importlib.util.find_spec("lightgbm") is None:
        reasons["published boosting recipe"] = "LightGBM is not installed"
    return reasons


def main(argv=None):
    options = _rows.arguments(argv, "quality", MODELS, __doc__.splitlines()[0], _rows.EXTRA)
    if options is None:
        return
    _rows.measure(options, MODELS, evaluate, unfit(options))
    rows = []
    X, y = _rows.read(options)
    groups = prompt_groups(X)
    found = _rows.kept(options, MODELS)
    tested = next(iter(found.values()))["tested"] if found else []
    for name, row in found.items():
        cells = {"model": name, "log loss": f"{row['losses'].mean():.4f}"}
        if "linear" in found:
            gap = _rows.difference(row["losses"], found["linear"]["losses"], groups[tested])
            cells["minus linear (95 %)"] = "" if name == "linear" else gap
        cells |= {"fit, s a fold": float(row["fit"]), "predict, s a fold": float(row["predict"])}
        cells |= {"all, s": round(float(row["seconds"])), "peak, MiB": round(float(row["peak"]))}
        cells["calibration error"] = expected_calibration_error(y[row["tested"]], row["proba"])
        rows.append(cells | {"swap inconsistency": float(row["swaps"])})
    note = f"judge_unique, {len(tested):,} battles predicted, {len(set(groups[tested]))} prompts. "
    report(options.table, rows, note + "Memory is of the process and joblib's workers.")
    _rows.finish(options)


if __name__ == "__main__":
    main()
