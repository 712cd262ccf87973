"""What NLTK itself makes of texts: the reference of the parity tests and of the expected table.

    NLTK_DATA=FOLDER python tests/preprocessing/cleaning_reference.py --update

writes `expected_cleaning.json` anew, with NLTK's own stop words, Punkt and WordNet.
"""

import functools
import json
import pathlib
import sys

import pytest

EXPECTED = pathlib.Path(__file__).with_name("expected_cleaning.json")
SETTINGS = [
    {"tokenizer": tokenizer, "lemmatize": pos, "keep_punctuation": keep, "lowercase": lowercase}
    for tokenizer, pos, keep, lowercase in [
        ("treebank", "n", False, True),
        ("treebank", "v", True, True),
        ("treebank", "any", True, False),
        ("punkt", "n", True, True),
        ("punkt", "a", False, False),
        ("punkt", "r", True, False),
        ("tweet", None, True, True),
        ("tweet", "n", False, False),
    ]
]
# Written for the rules that look beyond one word: quotes, sentence ends, ellipses, contractions.
TEXTS = [
    "",
    "   \n\t ",
    "Dogs were barking at the geese, and the children's mice ran.",
    '"Where is it?" she asked. "Over there," said the boys.',
    'He left.\n"Why?"\n\t"Nobody knows."',
    "''Quoted twice'' she said. ''Again.''",
    '""Doubled"" quotes, "\'nested\'" and (“curly”) ‘ones’ and «guillemets».',
    "The dogs' bowls were empty.\nThe cats'\nwere not. It was the dogs'",
    "I'm gonna say you cannot, don't and won't; we're wannabes. Wanna go? 'Tis d'ye more'n gimme",
    "Wait... what?! No way.... Really?!! Yes.",
    "Dr. Smith met J. K. Rowling at 5 p.m. on Jan. 5. He paid $3.88, i.e. less than 4,000 yen.",
    "1. First item\n2. Second item\n10. **Bold:** text\n\n* bullets - and -- dashes --- here",
    "It ends in a bracket (like this.) And it goes on.)",
    "She stopped. ) \" '",
    "Ends with a colon:",
    "Ends with two::",
    "Ends with commas,,\n",
    "a.b)  .",
    ".",
    ".)",
    "...",
    "The list: a,b,c:d 1,000 10:30 x,١ y:é z,, w",
    "`code` and ``quoted`` and ```python\nprint('hi')\n```",
    "Caf\u00e9s and nai\u0308ve ones\u2026 \u05e9\u05dc\u05d5\u05dd. \u0645\u0631! 你好。",
    "Emoji \U0001f600 and flags \U0001f1e9\U0001f1ea :-) <3 #hashtags @users http://x.org/a.b?c=d",
    "Call +1 (800)  555-1234 or 555  1234 . . . now",
    "no\u00a0break spaces. Thin\u2009ones? Line\u2028separators! Next\u0085line's",
    "separators\x1cof\x1dfiles. and\x1egroups\x1f too. marks\x01 and\x02 'more'\x03",
    "lone \ud800 surrogates. And \udfff 'others' \"too\"",
    "men women oxen better best worse running ran went flies data us was has lives leaves",
    "don't.Stop it.Now 3.14.15 e.g.this U.S.A. a.m.Next etc.) (etc.\" Then [vs. them].",
    "x = f(a)[0] if a <= b else {'k': \"v\"}; // comment & more % $5 #1 a*b **c**",
    "Mixed \"quotes.\" 'Single.' (Brackets!) [More?] {Braces.}",
    "\u2018Curly.\u2019 \u201cTwo.\u201d \u00abThree.\u00bb",
    "ALL CAPS. Title Case Words. iPhone's CamelCase!",
    "\u0130stanbul \u03a3\u0391\u03a3 \u017fcannot \u212a",
]


def reference(tokenizer, lemmatize, keep_punctuation, lowercase, stop="english"):
    """Give the function that cleans one text by the line people write."""
    from nltk.corpus import stopwords
    from nltk.stem import WordNetLemmatizer
    from nltk.tokenize import NLTKWordTokenizer, TweetTokenizer

    tokenize = {
        "treebank": NLTKWordTokenizer().tokenize,
        "punkt": word_tokenizer(),
        "tweet": TweetTokenizer().tokenize,
    }[tokenizer]
    stop_words = set(stopwords.words(stop))
    lemma = functools.cache(WordNetLemmatizer().lemmatize)
    parts = "nvar" if lemmatize == "any" else lemmatize

    def clean(text):
        words = tokenize(text.lower() if lowercase else text)
        words = [word for word in words if word not in stop_words]
        if not keep_punctuation:
            words = [word for word in words if any(map(str.isalnum, word))]
        if parts is not None:
            words = [min((lemma(word, pos) for pos in parts), key=len) for word in words]
        return " ".join(words)

    return clean


def word_tokenizer():
    """Give a function that does what `word_tokenize` does, but splits each sentence only once."""
    from nltk.tokenize import NLTKWordTokenizer, sent_tokenize

    words = functools.cache(NLTKWordTokenizer().tokenize)
    return lambda text: [word for sentence in sent_tokenize(text) for word in words(sentence)]


def found(resource):
    import nltk

    try:
        return bool(nltk.data.find(resource))
    except LookupError:
        return False


def need(*resources):
    """Skip a test, and say so, where NLTK's data lack a resource."""
    for resource in resources:
        name = resource.split("/")[1]
        if not (found(resource) or found(f"{resource}.zip/{name}/")):
            pytest.skip(f"{resource} is not in NLTK's data: set NLTK_DATA to a folder that has it")


def need_all():
    need("corpora/stopwords", "corpora/wordnet", "tokenizers/punkt_tab/english/")


def update():
    cases = [
        {"settings": settings, "cleaned": [reference(**settings)(text) for text in TEXTS]}
        for settings in SETTINGS
    ]
    EXPECTED.write_text(json.dumps(cases, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit(__doc__)
    update()
