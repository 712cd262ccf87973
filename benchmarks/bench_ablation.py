"""What does each block of features gain? Log loss on judge_unique, 5 folds grouped by prompt.

    python -m benchmarks.bench_ablation --data FOLDER --folds 1

"boosting" and "linear" are fitted without each of their parts, with style alone, and with blocks
added. The interval is of the difference to the whole: a paired bootstrap over prompts, 95 %.
Above zero, what was left out had helped, or what was added hurts.
"""

from sklearn.pipeline import FeatureUnion

from arena_estimators import PairStyleFeatures, make_arena_pipeline, prompt_groups
from benchmarks import _recipes, _rows
from benchmarks._harness import report

ADDED = {
    "boosting": {"length by kind of prompt": _recipes.LengthByPromptKind},
    "linear": {
        "character dimensions": _recipes.character_dimensions,
        "length by kind of prompt": _recipes.LengthByPromptKind,
    },
}


def parts_of(model):
    """Find the union of features of a pipeline and the style within it."""
    parts = model.get_params().values()
    (union,) = (part for part in parts if isinstance(part, FeatureUnion))
    (style,) = (part for part in parts if isinstance(part, PairStyleFeatures))
    return union, style


def list_rows():
    """Name every variant of each kind: what it is made of, and how it is changed."""
    rows = {}
    for kind in ADDED:
        union, style = parts_of(make_arena_pipeline(kind))
        rows[kind] = kind, None, None
        others = [name for name, _ in union.transformer_list if name != "style"]
        for name in others:
            rows[f"{kind} without {name}"] = kind, "drop", [name]
        if len(others) > 1:
            rows[f"{kind} on style alone"] = kind, "drop", others
        for block in style.blocks:
            rows[f"{kind} without {block}"] = kind, "block", block
        for name in ADDED[kind]:
            rows[f"{kind} with {name}"] = kind, "add", name
    return rows


ROWS = list_rows()


def make(row):
    """Compose a variant."""
    kind, change, what = ROWS[row]
    model = make_arena_pipeline(kind, n_jobs=2, random_state=0)
    union, style = parts_of(model)
    if change == "drop":
        union.set_params(**dict.fromkeys(what, "drop"))
    elif change == "block":
        style.set_params(blocks=tuple(block for block in style.blocks if block != what))
    elif change == "add":
        union.transformer_list = [*union.transformer_list, ("added", ADDED[kind][what]())]
    return model


def evaluate(row, options):
    return _rows.out_of_fold(lambda: make(row), *_rows.read(options), options.folds)


def main(argv=None):
    options = _rows.arguments(argv, "ablation", ROWS, __doc__.splitlines()[0], ["--folds"])
    if options is None:
        return
    _rows.measure(options, ROWS, evaluate)
    groups = prompt_groups(_rows.read(options)[0])
    found = _rows.kept(options, ROWS)
    rows = []
    for name, row in found.items():
        kind = ROWS[name][0]
        cells = {"features": name, "log loss": f"{row['losses'].mean():.4f}"}
        if kind in found:
            reference = found[kind]["losses"]
            gap = _rows.difference(row["losses"], reference, groups[row["tested"]])
            cells["minus the whole (95 %)"] = "" if name == kind else gap
        rows.append(cells | {"fit, s a fold": float(row["fit"])})
    tested = len(row["tested"]) if rows else 0
    report(options.table, rows, f"judge_unique, {tested:,} battles predicted.")
    _rows.finish(options)


if __name__ == "__main__":
    main()
