import gzip
import importlib.resources
import itertools

import pytest
from cleaning_reference import need

from arena_estimators.exceptions import ArenaError, ResourceNotFoundError
from arena_estimators.preprocessing import _words


@pytest.mark.parametrize(
    ("pos", "word", "lemma"),
    [
        ("n", "dogs", "dog"),
        ("n", "children", "child"),
        ("n", "women", "woman"),
        ("n", "us", "u"),
        ("n", "unknownwords", "unknownwords"),
        ("n", "", ""),
        ("v", "flies", "fly"),
        ("v", "went", "go"),
        ("v", "running", "run"),
        ("a", "better", "good"),
        ("a", "nicest", "nice"),
        ("r", "best", "best"),
        ("any", "better", "good"),
        ("any", "flies", "fly"),
        (None, "dogs", "dogs"),
    ],
)
def test_lemmas(pos, word, lemma):
    assert _words.lemmatizer(pos)(word) == lemma


@pytest.mark.parametrize("pos", _words.PARTS_OF_SPEECH)
def test_every_lemma_exception_and_ending_is_nltks(pos):
    need("corpora/wordnet")
    from nltk.stem import WordNetLemmatizer

    nltk_lemma = WordNetLemmatizer().lemmatize
    lemma = _words.lemmatizer(pos)
    tables = _words._tables()
    words = set(tables["lemmas"][pos].split()) | set(tables["exceptions"][pos].split())
    endings = itertools.cycle(("s", "es", "ies", "ves", "men", "ed", "ing", "er", "est"))
    words |= {word + ending for word, ending in zip(sorted(words), endings, strict=False)}
    assert not [word for word in words if lemma(word) != nltk_lemma(word, pos)]


def test_english_stop_words_are_nltks():
    need("corpora/stopwords")
    from nltk.corpus import stopwords

    assert _words.stop_words("english") == set(stopwords.words("english"))


def test_stop_words_of_each_kind():
    assert {"the", "wouldn't"} < _words.stop_words("english")
    assert _words.stop_words(["a", "b", "a"]) == {"a", "b"}
    assert _words.stop_words(None) == frozenset()


@pytest.mark.parametrize("name", ["klingon", "", "../english", "file:///etc/passwd", "http://x"])
def test_only_known_languages_reach_nltk(name, monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "find", lambda *_: pytest.fail("nltk.data was asked"))
    with pytest.raises(ArenaError, match="is no language of NLTK's stop words"):
        _words.stop_words(name)


def test_missing_language_says_how_to_get_it(monkeypatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(ResourceNotFoundError) as caught:
        _words.stop_words("tamil")
    for part in ("'tamil'", "python -m nltk.downloader stopwords", "NLTK_DATA", "own list"):
        assert part in str(caught.value)


def test_a_language_comes_from_the_users_data(tmp_path):
    (tmp_path / "corpora" / "stopwords").mkdir(parents=True)
    (tmp_path / "corpora" / "stopwords" / "danish").write_text("og\ni\n", encoding="utf-8")
    code = (
        "from arena_estimators.preprocessing import _words;"
        "print(sorted(_words.stop_words('danish')))"
    )
    assert run_with_data(code, tmp_path) == "['i', 'og']"


def run_with_data(code, folder):
    """Run code in a new Python, because NLTK reads its data's folder once."""
    import os
    import subprocess
    import sys

    environment = os.environ | {"NLTK_DATA": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def test_tables_are_small_and_licensed():
    data = importlib.resources.files("arena_estimators.preprocessing") / "data"
    assert len((data / "english.json.gz").read_bytes()) < 1_500_000
    assert "Princeton University" in (data / "LICENSE.wordnet").read_text(encoding="ascii")
    assert len(gzip.decompress((data / "english.json.gz").read_bytes())) > 2_000_000


def test_english_needs_no_nltk():
    code = (
        "import sys; from arena_estimators.preprocessing import _words;"
        "_words.stop_words('english'); _words.lemmatizer('any')('dogs');"
        "print('nltk' in sys.modules)"
    )
    assert run_with_data(code, ".") == "False"
