"""Search features and regularisation of a pipeline with Optuna.

    pip install optuna
    python examples/optuna_search.py --train train.csv --test test.csv --trials 50

Without --train and --test it makes up its own battles. Optuna draws the next point from where the
results so far look best, which pays off as soon as a grid would have many dimensions.
"""

import argparse

import optuna
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_score
from submit_files import parse, read_test, read_train, save, submit

from arena_estimators import PromptGroupKFold, make_arena_pipeline

N_TRAIN = 600
CV = PromptGroupKFold(3, shuffle=True, random_state=0)


def log_loss(model, train):
    return -cross_val_score(model, train.X, train.y, cv=CV, scoring="neg_log_loss").mean()


def make_model(trial, n_battles):
    """Compose the linear pipeline with the parameters of a trial, around its defaults."""
    alpha = trial.suggest_float("alpha", 10 / n_battles, 1000 / n_battles, log=True)
    tie_alpha = trial.suggest_float("tie_alpha", 100 / n_battles, 10_000 / n_battles, log=True)
    return make_arena_pipeline("linear").set_params(
        davidsonclassifier__alpha=alpha,
        davidsonclassifier__tie_alpha=tie_alpha,
        featureunion__words__min_df=trial.suggest_int("min_df", 2, 20),
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=8, help="points to try (default: 8)")
    args = parse(parser, argv, N_TRAIN)
    train, test = read_train(args.train, N_TRAIN), read_test(args.test)
    print(f"class prior: log loss {log_loss(DummyClassifier(), train):.4f}")
    print(f"defaults: log loss {log_loss(make_arena_pipeline('linear'), train):.4f}", flush=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    for number in range(args.trials):
        trial = study.ask()
        loss = log_loss(make_model(trial, len(train.X)), train)
        study.tell(trial, loss)
        print(f"trial {number + 1}: log loss {loss:.4f}", flush=True)
    print(f"best: {study.best_params}, log loss {study.best_value:.4f}")
    model = make_model(study.best_trial, len(train.X)).fit(train.X, train.y)
    save(model, args.model)
    submit(model, test, args.out)


if __name__ == "__main__":
    main()
