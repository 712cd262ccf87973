"""Made battles in the competition's files."""

import json

import pandas as pd

from arena_estimators import make_battles


def write_competition_files(folder, n_train, n_test):
    """Write train.csv and test.csv; give the options by which the examples take them."""
    data = make_battles(n_train, random_state=0)
    cells = data.X.map(lambda cell: json.dumps(cell if isinstance(cell, list) else [cell]))
    winners = {
        f"winner_{name}": (data.y == name).astype(int) for name in ("model_a", "model_b", "tie")
    }
    train = pd.concat([pd.Series(data.id, name="id"), cells, pd.DataFrame(winners)], axis=1)
    train.to_csv(folder / "train.csv", index=False)
    train.iloc[:n_test, :4].to_csv(folder / "test.csv", index=False)
    return ["--train", str(folder / "train.csv"), "--test", str(folder / "test.csv")]
