"""Stop words and lemmas: what NLTK's word lists and WordNetLemmatizer answer, from our own file.

`data/english.json.gz` holds NLTK's English stop words and WordNet 3.0's lemmas and irregular forms
(see `tools/build_wordnet_tables.py`); nothing of NLTK is imported for English.
"""

import functools
import gzip
import importlib.resources
import json
import threading
import zipfile

from arena_estimators.exceptions import ArenaError, ResourceNotFoundError

# The languages of NLTK's stopwords corpus: only these names ever reach nltk.data.
LANGUAGES = tuple(
    """albanian arabic azerbaijani basque belarusian bengali catalan chinese danish dutch english
    finnish french german greek hebrew hinglish hungarian indonesian italian kazakh nepali
    norwegian portuguese romanian russian slovene spanish swedish tajik tamil turkish""".split()
)
# What NLTK raises for data that are missing, or whose download broke off.
NOT_THERE = (LookupError, OSError, zipfile.BadZipFile)
_LOCK = threading.Lock()
PARTS_OF_SPEECH = ("n", "v", "a", "r")

# The endings morphy detaches, in the order in which WordNet (and NLTK) tries them.
_ENDINGS = {
    "n": ["s:", "ses:s", "ves:f", "xes:x", "zes:z", "ches:ch", "shes:sh", "men:man", "ies:y"],
    "v": ["s:", "ies:y", "es:e", "es:", "ed:e", "ed:", "ing:e", "ing:"],
    "a": ["er:", "est:", "er:e", "est:e"],
    "r": [],
}


def stop_words(choice):
    """Give the stop words of a language, of a list or of None as a frozenset.

    Raises
    ------
    ResourceNotFoundError
        If the words of another language than English are not among the user's NLTK data.
    """
    if choice is None:
        return frozenset()
    if not isinstance(choice, str):
        return frozenset(choice)
    if choice == "english":
        return frozenset(_tables()["stop_words"].split("\n"))
    if choice not in LANGUAGES:
        raise ArenaError(
            f"stop_words={choice!r} is no language of NLTK's stop words. Choose one of "
            f"{', '.join(LANGUAGES)}, a list of words, or None."
        )
    with _LOCK:  # NLTK loads a corpus when first asked for it, and only one thread may do that
        return _nltk_stop_words(choice)


def lemmatizer(pos):
    """Give the function that does what `WordNetLemmatizer().lemmatize(word, pos)` does.

    `"any"` takes the shortest of the lemmas of the four parts of speech, the first of equals in
    the order noun, verb, adjective, adverb; None changes nothing.
    """
    if pos is None:
        return str
    if pos != "any":
        return _lemmatizer(pos)
    each = [_lemmatizer(part) for part in PARTS_OF_SPEECH]
    return lambda word: min([lemmatize(word) for lemmatize in each], key=len)


@functools.cache
def _lemmatizer(pos):
    tables = _tables()
    lemmas = frozenset(tables["lemmas"][pos].split("\n"))
    lines = [line.split() for line in tables["exceptions"][pos].split("\n")]
    exceptions = {form: bases for form, *bases in lines}
    endings = [ending.split(":") for ending in _ENDINGS[pos]]
    suffixes = tuple(old for old, _ in endings)

    def lemmatize(word):
        bases = exceptions.get(word)
        if bases is None:
            if not word.endswith(suffixes):
                return word
            bases = [word[: -len(old)] + new for old, new in endings if word.endswith(old)]
        known = [form for form in (word, *bases) if form in lemmas]
        return min(known, key=len) if known else word

    return lemmatize


@functools.cache
def _tables():
    file = importlib.resources.files(__package__).joinpath("data", "english.json.gz")
    return json.loads(gzip.decompress(file.read_bytes()))


@functools.cache
def _nltk_stop_words(language):
    from nltk.corpus import stopwords

    try:
        return frozenset(stopwords.words(language))
    except NOT_THERE:
        raise missing(
            f"NLTK's stop words for {language!r}",
            "stopwords",
            f"corpora/stopwords/{language}",
            "pass your own list as stop_words",
        ) from None


def missing(what, package, path, instead):
    """Build the error for NLTK data that is not on this machine."""
    return ResourceNotFoundError(
        f"{what} are missing or incomplete on this machine. With a network, get them by: "
        f"python -m nltk.downloader {package}. Without, copy {path} from the NLTK data of another "
        f"machine to FOLDER/{path} and set the environment variable NLTK_DATA=FOLDER before Python "
        f"starts. Or {instead}."
    )
