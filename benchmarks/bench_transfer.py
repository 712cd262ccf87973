"""Do a language model's votes teach what people prefer? Log loss on two sets of human votes.

    python -m benchmarks.bench_transfer --data FOLDER --only linear,boosting

Each kind, and the class prior, is fitted on all of judge_unique and predicts the votes of people.
For comparison each is also trained on these votes themselves, by cross-validation over 5 folds
grouped by prompt. Where people could not vote for a tie, ties are left out of the predictions. The
interval is of the difference to the class prior trained on the same votes: a paired bootstrap over
prompts, 95 %.
"""

import numpy as np

from arena_estimators import load_arena, prompt_groups
from benchmarks import _recipes, _rows
from benchmarks._harness import report

VOTES = ("pandalm_human", "hh_harmless_human")
TAUGHT = {"judge": "judge_unique", "itself": "the votes"}


def read_votes(folder, name):
    """Read one of the files of votes; some cells of pandalm_human are not text."""
    data = load_arena(folder / f"{name}.parquet", non_text="json")
    return data.X, data.y


def evaluate(name, options):
    """Give each vote's loss, from a model of the judge's votes and from models of these votes."""
    model = _recipes.compose(name).fit(*_rows.read(options))
    found = {}
    for votes in VOTES:
        X, y = read_votes(options.data, votes)
        known = np.isin(model.classes_, y)
        proba = model.predict_proba(X)[:, known]
        proba /= proba.sum(axis=1, keepdims=True)
        found[f"{votes} judge"] = _rows.losses_of(proba, model.classes_[known], y)
        own = _rows.out_of_fold(lambda: _recipes.compose(name), X, y)
        found[f"{votes} itself"] = own["losses"][np.argsort(own["tested"])]
    return found


def main(argv=None):
    options = _rows.arguments(argv, "transfer", _recipes.KINDS, __doc__.splitlines()[0], ["--all"])
    if options is None:
        return
    _rows.measure(
        options, _recipes.KINDS, evaluate, _rows.encoders_left_out(options, _recipes.ENCODERS)
    )
    found = _rows.kept(options, _recipes.KINDS)
    rows = []
    for votes in VOTES:
        groups = prompt_groups(read_votes(options.data, votes)[0])
        for name, losses in found.items():
            row = {"votes": votes, "model": name}
            for taught, title in TAUGHT.items():
                key = f"{votes} {taught}"
                row[f"trained on {title}"] = f"{losses[key].mean():.4f}"
                if "class prior" in found and name != "class prior":
                    gap = _rows.difference(losses[key], found["class prior"][key], groups)
                    row[f"{title}: minus prior"] = gap
            rows.append(row | {"all, s": round(float(losses["seconds"])), "n": len(groups)})
    report(options.table, rows, "Trained on the votes: 5 folds grouped by prompt.")
    _rows.finish(options)


if __name__ == "__main__":
    main()
