"""make_battles: reproducible, believable, and drawn from the model it says."""

import math
import random
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from arena_estimators import check_battles, check_labels, make_battles
from arena_estimators.battles import CLASSES, text_of
from arena_estimators.datasets._writer import FEATURES, LANGUAGES, Writer, features


def _logits(data, parameters):
    """Compute the Davidson logits from coef_, tie_coef_ and tie_intercept_ in one vector."""
    D = data.D.to_numpy()
    coef, tie_coef, intercept = np.split(parameters, [D.shape[1], 2 * D.shape[1]])
    return np.column_stack([D @ coef / 2, -D @ coef / 2, np.abs(D) @ tie_coef + intercept])


def _truth(data):
    return np.concatenate([data.coef_, data.tie_coef_, [data.tie_intercept_]])


def test_keeps_the_data_contract():
    data = make_battles(300, random_state=0)
    assert check_battles(data.X) is data.X
    assert data.X.columns.tolist() == ["prompt", "response_a", "response_b"]
    assert data.X.index.equals(pd.RangeIndex(300))
    classes, _ = check_labels(data.y, n_battles=300)
    assert tuple(classes) == CLASSES
    assert len(set(data.id)) == 300
    assert (data.model_a != data.model_b).all()


def test_texts_are_varied():
    data = make_battles(1000, random_state=0)
    responses = pd.concat([data.X.response_a, data.X.response_b]).map(text_of)
    prompts = data.X.prompt.map(text_of)
    assert 0.1 < prompts.duplicated(keep=False).mean() < 0.4
    assert 0.05 < data.X.prompt.map(lambda cell: isinstance(cell, list)).mean() < 0.2
    for pattern in ("```", r"^#", r"^- ", r"^1\. ", r"\*\*", r"\|---", "sorry", "[\u4e00-\u9fff]"):
        assert responses.str.contains(pattern, regex=True, flags=8).sum() >= 10, pattern
    null = data.X.response_a.map(lambda cell: isinstance(cell, list) and None in cell)
    assert 0 < null.sum() < 30


def test_turns_are_paired():
    X = make_battles(500, random_state=0).X
    turns = X.map(lambda cell: len(cell) if isinstance(cell, list) else 1)
    assert (turns.nunique(axis=1) == 1).all()
    assert (turns.prompt > 1).any()


def test_probabilities_are_the_models():
    data = make_battles(200, random_state=3)
    np.testing.assert_allclose(data.proba, softmax(_logits(data, _truth(data)), axis=1))


@pytest.mark.parametrize("tie_rate", [0.05, 0.3, 0.8])
def test_mean_probability_of_a_tie_is_tie_rate(tie_rate):
    data = make_battles(400, tie_rate=tie_rate, length_effect=4.0, random_state=0)
    assert data.proba[:, 2].mean() == pytest.approx(tie_rate)


def test_no_ties_makes_two_classes():
    data = make_battles(200, tie_rate=0, random_state=0)
    assert set(data.y) == {"model_a", "model_b"}
    assert data.proba.shape == (200, 2)
    assert data.tie_intercept_ == -np.inf
    np.testing.assert_allclose(data.proba, softmax(_logits(data, _truth(data))[:, :2], axis=1))


def test_effects_are_the_coefficients():
    data = make_battles(50, length_effect=2.5, style_effect=-0.7, random_state=0)
    assert data.D.columns.tolist()[:4] == ["log_length", "lists", "headers", "bold"]
    assert data.coef_[:4].tolist() == [2.5, -0.7, -0.7, -0.7]


def test_features_can_be_measured_from_the_texts():
    data = make_battles(200, random_state=0)
    a, b = (data.X[side].map(text_of) for side in ("response_a", "response_b"))
    np.testing.assert_allclose(data.D.log_length, np.log1p(a.str.len()) - np.log1p(b.str.len()))
    headers = [np.log1p(side.str.count(r"^#{1,6} ", flags=8)) for side in (a, b)]
    np.testing.assert_allclose(data.D.headers, headers[0] - headers[1])


def test_truth_is_recovered_within_its_standard_error():
    data = make_battles(4000, random_state=1)
    codes = pd.Index(CLASSES).get_indexer(data.y)
    D, zeros, ones = data.D.to_numpy(), np.zeros(data.D.shape), np.ones((4000, 1))
    design = np.stack(  # of shape (battles, classes, parameters)
        [
            np.hstack([D / 2, zeros, 0 * ones]),
            np.hstack([-D / 2, zeros, 0 * ones]),
            np.hstack([zeros, np.abs(D), ones]),
        ],
        axis=1,
    )

    def loss(parameters):
        log_proba = log_softmax(design @ parameters, axis=1)
        residual = np.exp(log_proba) - np.eye(3)[codes]
        gradient = np.einsum("nc,ncp->p", residual, design)
        return -log_proba[np.arange(4000), codes].sum(), gradient

    fitted = minimize(loss, np.zeros(13), jac=True, method="BFGS").x
    centred = design - np.einsum("nc,ncp->np", data.proba, design)[:, None]
    information = np.einsum("nc,ncp,ncq->pq", data.proba, centred, centred, optimize=True)
    z = (fitted - _truth(data)) / np.sqrt(np.diag(np.linalg.inv(information)))
    assert np.abs(z).max() < 3.5
    assert 0.2 < np.mean(z**2) < 2.5


def test_same_seed_same_battles_in_another_process():
    code = (
        "from arena_estimators import make_battles; d = make_battles(60, random_state=5);"
        "print(ascii((d.X.values.tolist(), d.y.tolist(), d.id.tolist(), d.model_a.tolist())))"
    )
    data = make_battles(60, random_state=5)
    here = (data.X.values.tolist(), data.y.tolist(), data.id.tolist(), data.model_a.tolist())
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == ascii(here)


def test_other_seed_other_battles():
    a, b = (make_battles(20, random_state=seed).X for seed in (0, 1))
    assert not a.equals(b)
    state = np.random.RandomState(0)
    assert not make_battles(20, random_state=state).X.equals(make_battles(20, random_state=state).X)


@pytest.mark.parametrize(
    "arguments",
    [{"n_samples": 0}, {"tie_rate": 1.0}, {"tie_rate": -0.1}, {"length_effect": float("inf")}],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make_battles(**arguments)


def test_one_battle():
    assert make_battles(1, random_state=0).X.shape == (1, 3)


def test_all_features_but_the_subject_can_be_measured_from_the_turns():
    turns = ["- one\n2. two **bold** **more**\n# Head", None, LANGUAGES[0]["refusals"][0]]
    text = text_of(turns)
    found = dict(zip(FEATURES, features(turns, 0.25), strict=True))
    counts = {"log_length": len(text), "lists": 2, "headers": 1, "bold": 2}
    assert found == {name: math.log1p(n) for name, n in counts.items()} | {
        "refusal": 1.0,
        "on_topic": 0.25,
    }
    assert features(["Sure.", None], 1.0)[4] == 0.0
    assert all(features([language["refusals"][-1]], 0.0)[4] == 1.0 for language in LANGUAGES)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("9. nine\n10. ten", [2, 0, 0]),
        ("One - or 2. two", [0, 0, 0]),
        ("#tag\nA # sign", [0, 0, 0]),
        ("2**3\n3**2", [0, 0, 0]),
    ],
)
def test_only_what_markdown_shows_as_such_is_counted(text, counts):
    assert features([text], 0.0)[1:4] == [math.log1p(count) for count in counts]


def test_on_topic_is_a_share():
    D = make_battles(300, random_state=0).D
    assert D.on_topic.abs().max() == 1


def test_names_of_models_stand_beside_their_responses():
    data = make_battles(1000, random_state=0)
    lengths = [
        data.X[f"response_{side}"].map(text_of).str.len().groupby(data[f"model_{side}"]).median()
        for side in "ab"
    ]
    assert np.corrcoef(*lengths)[0, 1] > 0.8  # each model has a length of its own


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language["subjects"][0])
def test_sentences_are_about_the_subject_as_often_as_they_say_and_none_is_lost(language):
    writer, subject = Writer(random.Random(0)), language["subjects"][0]
    for model in range(20):
        sentences, about = writer.sentences(language, subject, 12, 0.5)
        assert sum(subject in text for text in sentences) == about
        assert len(set(sentences)) >= min(len(sentences), len(language["sentences"]))
        text = writer.layout(language, subject, sentences, model)
        assert all(sentence in text.replace("**", "") for sentence in sentences)
        assert text == text.strip() and "\n\n\n" not in text


def test_headers_are_of_three_levels_and_begin_with_a_capital():
    X = make_battles(300, random_state=0).X
    headers = re.findall(r"^(#+) (.)", "\n".join(X.response_a.map(text_of)), re.MULTILINE)
    assert {marks for marks, _ in headers} == {"#", "##", "###"}
    assert not any(letter.islower() for _, letter in headers)


@pytest.mark.parametrize("accuracy", [0.2, 0.9])
def test_the_share_of_sentences_about_the_subject_is_the_accuracy(accuracy):
    writer = Writer(random.Random(0))
    language = LANGUAGES[0]
    sentences, about = writer.sentences(language, language["subjects"][0], 4000, accuracy)
    assert about / len(sentences) == pytest.approx(accuracy, abs=0.05)


def test_a_response_of_one_sentence_is_on_topic_or_is_not(monkeypatch):
    writer = Writer(random.Random(0))
    for about in (0, 1):
        monkeypatch.setattr(writer, "sentences", lambda *given, about=about: (["One."], about))
        shares = {writer.response(LANGUAGES[0], "tea", 1, 0)[1] for _ in range(20)}
        assert about in shares and shares <= {0, about}  # a refusal or a null turn has none


def test_the_share_on_topic_is_that_of_all_turns(monkeypatch):
    writer, turns = Writer(random.Random(0)), iter([(["One."] * 3, 1), (["One."], 1)])
    monkeypatch.setattr(writer, "sentences", lambda *given: next(turns))
    assert writer.response(LANGUAGES[0], "tea", 2, 0)[1] == 2 / 4


def test_no_response_is_without_a_sentence():
    writer = Writer(random.Random(0))
    drawn = [writer.sentences(LANGUAGES[0], "tea", 1, 0.5)[0] for _ in range(200)]
    assert min(map(len, drawn)) == 1


def test_conversations_have_up_to_four_turns():
    cells = make_battles(600, random_state=0).X["prompt"]
    assert {len(cell) for cell in cells if isinstance(cell, list)} == {2, 3, 4}


def test_the_response_that_is_more_on_topic_names_the_subject_more_often():
    data = make_battles(400, random_state=0)
    subjects = sorted({name for one in LANGUAGES for name in one["subjects"]}, key=len)[::-1]
    asked = [next(s for s in subjects if s in text) for text in data.X.prompt.map(text_of)]
    a, b = (
        [text.count(name) / max(len(text), 1) for text, name in zip(texts, asked, strict=True)]
        for texts in (data.X[side].map(text_of) for side in ("response_a", "response_b"))
    )
    assert np.corrcoef(np.subtract(a, b), data.D.on_topic)[0, 1] > 0.5


def test_any_earlier_prompt_may_come_up_again():
    prompts = make_battles(1000, random_state=0).X.prompt.map(text_of)
    again = prompts[prompts.duplicated()]
    assert again.value_counts().max() < 10
    assert prompts.index.to_series().groupby(prompts).diff().median() > 20
