"""The usual notebook, step by step: clean, TF-IDF, search, features, augment, SVM, forest, vote.

    python examples/workflow.py --train train.csv --test test.csv --out submission.csv

Without --train and --test it makes up its own battles. Every step is judged by its log loss over
folds that share no prompt. The last, a soft vote, is fitted on all battles and makes the
predictions. With --encoder a fine-tuned BERT becomes a step too and joins the vote: seven
fine-tunings, for a GPU.
"""

import argparse

from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from submit_baseline import cross_validate
from submit_files import check_complete, parse, read_test, read_train, save, submit

from arena_estimators import (
    AugmentingClassifier,
    NLTKCleaner,
    PairTfidfVectorizer,
    PromptGroupKFold,
    make_arena_pipeline,
)

N_TRAIN = 600
CV = PromptGroupKFold(3, shuffle=True, random_state=0)
INNER = PromptGroupKFold(3)  # of the search, and of "svm" and "forest", which calibrate themselves
GRID = {"logisticregression__C": [0.1, 1.0], "pairtfidfvectorizer__ngram_range": [(1, 1), (1, 2)]}


def make_steps(n_jobs=None, encoder=None):
    """Compose the steps, by what is printed of each; any of them could be submitted."""
    words = make_pipeline(
        NLTKCleaner(),
        PairTfidfVectorizer(combine="separate", min_df=5, sublinear_tf=True),
        LogisticRegression(max_iter=1000),
    )
    search = GridSearchCV(words, GRID, cv=INNER, scoring="neg_log_loss", n_jobs=n_jobs)
    linear = make_arena_pipeline("linear", n_jobs=n_jobs)
    members = {
        "differences and style": linear,
        "SVM": make_arena_pipeline("svm", n_jobs=n_jobs, random_state=0),
        "random forest": make_arena_pipeline("forest", n_jobs=n_jobs, random_state=0),
    }
    if encoder:
        from arena_estimators import BertPairClassifier  # which imports torch

        members["BERT"] = BertPairClassifier(encoder, random_state=0, verbose=1)
    return {
        "class prior": DummyClassifier(),
        "cleaned TF-IDF": words,
        "the same, searched": search,
        "augmented": AugmentingClassifier(linear, random_state=0),
        **members,
        "vote": VotingClassifier(list(members.items()), voting="soft"),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", help="also fine-tune this one, a folder or a hub name")
    parser.add_argument("--n-jobs", type=int, help="threads or processes that a step may use")
    args = parse(parser, argv, N_TRAIN)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)

    steps = make_steps(args.n_jobs, args.encoder)
    cross_validate(steps, train.X, train.y, CV)
    print(f"\nFitting the vote on all {len(train.X):,} battles ...", flush=True)
    model = steps["vote"].fit(train.X, train.y)
    check_complete(model)
    save(model, args.model)
    submit(model, test, args.out)


if __name__ == "__main__":
    main()
