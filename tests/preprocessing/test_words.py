import gzip
import importlib.resources
import itertools
import os
import subprocess
import sys
import threading
import time

import nltk
import pytest
from cleaning_reference import need

from arena_estimators.exceptions import ArenaError
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


NLTK_LANGUAGES = """albanian arabic azerbaijani basque belarusian bengali catalan chinese danish
dutch english finnish french german greek hebrew hinglish hungarian indonesian italian kazakh nepali
norwegian portuguese romanian russian slovene spanish swedish tajik tamil turkish"""


def test_languages_are_those_of_nltks_corpus(monkeypatch):
    monkeypatch.setattr(_words, "_nltk_stop_words", lambda name: frozenset([name]))
    for name in set(NLTK_LANGUAGES.split()) - {"english"}:
        assert _words.stop_words(name) == {name}
    assert len(_words.LANGUAGES) == len(NLTK_LANGUAGES.split())


WITHOUT_DATA = """
import nltk, pandas as pd
from arena_estimators import NLTKCleaner
from arena_estimators.exceptions import ResourceNotFoundError

def download(*args, **kwargs):
    raise AssertionError("something was to be downloaded")

nltk.data.path = []
nltk.download = nltk.downloader.Downloader.download = download
X = pd.DataFrame({name: ["It ends. Here."] for name in ("prompt", "response_a", "response_b")})

def refused(**parameters):
    try:
        NLTKCleaner(**parameters).fit(X)
    except ResourceNotFoundError as error:
        print(error)

"""


@pytest.fixture(scope="module")
def danish_alone(tmp_path_factory):
    """Give a folder of NLTK data that has the stop words of one language."""
    folder = tmp_path_factory.mktemp("danish")
    (folder / "corpora" / "stopwords").mkdir(parents=True)
    (folder / "corpora" / "stopwords" / "danish").write_text("og\ni\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def said(danish_alone, tmp_path_factory):
    """Give what a new Python prints, a line per refusal, without data and with incomplete data."""
    broken = tmp_path_factory.mktemp("broken")
    for package in ("corpora/stopwords", "tokenizers/punkt_tab"):
        file = broken / f"{package}.zip"
        file.parent.mkdir()
        file.write_bytes(b"PK\3\4 the first bytes of an archive")
    code = f"""
refused(stop_words="tamil"); NLTKCleaner().fit_transform(X); refused(tokenizer="punkt")
nltk.data.path = [{str(broken)!r}]
refused(stop_words="tamil"); refused(tokenizer="punkt")
nltk.data.path = [{str(danish_alone)!r}]
refused(stop_words="tamil")
"""
    lines = run_with_data(WITHOUT_DATA + code, ".").splitlines()
    assert len(lines) == 5
    return {"no data": lines[:2], "broken archives": lines[2:4], "danish alone": lines[4:]}


def test_missing_language_says_how_to_get_it(said):
    language, _ = said["no data"]
    for part in ("'tamil'", "python -m nltk.downloader stopwords", "NLTK_DATA", "own list"):
        assert part in language


def test_nothing_is_downloaded_but_the_command_for_it_is_said(said):
    _, punkt = said["no data"]
    assert "python -m nltk.downloader punkt_tab" in punkt


@pytest.mark.parametrize("path", ["corpora/stopwords/tamil", "tokenizers/punkt_tab"])
def test_missing_data_says_where_a_copy_must_lie(said, path):
    (line,) = (line for line in said["no data"] if path in line)
    assert f"copy {path} from" in line
    assert f"to FOLDER/{path} and set the environment variable NLTK_DATA=FOLDER" in line


def test_a_download_that_broke_off_is_missing(said):
    language, punkt = said["broken archives"]
    assert "python -m nltk.downloader stopwords" in language
    assert "python -m nltk.downloader punkt_tab" in punkt


def test_a_language_that_the_users_data_lack_is_missing(said):
    (language,) = said["danish alone"]
    assert "python -m nltk.downloader stopwords" in language


def test_a_language_comes_from_the_users_data(danish_alone):
    code = """
import pandas as pd
from arena_estimators import NLTKCleaner
cleaner = NLTKCleaner(columns=["prompt"], stop_words="danish", lemmatize=None)
print(cleaner.fit_transform(pd.DataFrame({"prompt": ["Hunde og katte i haven"]})).prompt[0])
"""
    assert run_with_data(code, danish_alone) == "hunde katte haven"


def test_threads_load_languages_one_at_a_time(monkeypatch):
    active, most = [], []

    def load(language):
        active.append(language)
        most.append(len(active))
        time.sleep(0.02)
        active.remove(language)

    monkeypatch.setattr(_words, "_nltk_stop_words", load)
    threads = [
        threading.Thread(target=_words.stop_words, args=(language,))
        for language in ("danish", "greek", "tamil")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_other_processes_find_nltks_data_where_this_one_does():
    need("tokenizers/punkt_tab/english/")
    code = f"""
import nltk, pandas as pd
from arena_estimators import NLTKCleaner
nltk.data.path[:] = {nltk.data.path!r}
X = pd.DataFrame({{"prompt": ["Dr. Smith met 19 dogs. They barked."] * 300_000}})
cleaner = NLTKCleaner(columns=["prompt"], tokenizer="punkt", n_jobs=2)
print(cleaner.fit_transform(X).prompt[19])
"""
    assert run_with_data(code, ".") == "dr. smith met 19 dog barked"


def run_with_data(code, folder):
    """Run code in a new Python, because NLTK reads its data's folder once."""
    environment = os.environ | {"NLTK_DATA": str(folder)}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def test_tables_are_small_and_licensed():
    data = importlib.resources.files("arena_estimators.preprocessing") / "data"
    assert len((data / "english.json.gz").read_bytes()) < 1_500_000
    for name, owner in {"wordnet": "Princeton University", "snowball": "Dr Martin Porter"}.items():
        assert owner in (data / f"LICENSE.{name}").read_text(encoding="ascii")
    assert len(gzip.decompress((data / "english.json.gz").read_bytes())) > 2_000_000


def test_english_needs_no_nltk():
    code = (
        "import sys; from arena_estimators.preprocessing import _words;"
        "_words.stop_words('english'); _words.lemmatizer('any')('dogs');"
        "print('nltk' in sys.modules)"
    )
    assert run_with_data(code, ".") == "False"
