"""The fast counts are those of the plain patterns and loops that define the measures."""

import re
import time
from collections import Counter
from math import log1p

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arena_estimators.battles import texts
from arena_estimators.datasets import make_battles
from arena_estimators.feature_extraction import _style_lexicon as lexicon
from arena_estimators.feature_extraction._style_counts import MEASURES, measure_texts
from arena_estimators.feature_extraction._style_words import MAX_TEXTS, Words
from arena_estimators.feature_extraction._words import find_runs

MARKDOWN = """# Title
Some **bold** and __also bold__ text.

1. one
2. two
- three
* four
   + five

```python
# no header
- no item
```
See [a link](http://example.org), `inline` and
| a | b |
"""
CODE_BLOCK = re.compile(r"```[^`]*```")
COUNTED = {  # in the whole text
    "sentences": r"[.!?…][\"')*]?(?=\s|$)|[。！？।॥۔؟]",
    "log_lines": r"\n",
    "links": r"https?://|\]\(\S",
    "emoji": "[\u2600-\u27bf\U0001f300-\U0001faff]",
    "questions": "[?？؟]",
    "exclamations": "[!！]",
    "semicolons": "[;；؛]",
    "names": r"[a-z,] [A-Z](?=[a-z])",
    "quotes": '["“«「『]',
    "parentheses": "[(（]",
    "dashes": " - |[—–]",
}
COUNTED_IN_PROSE = {  # outside of fenced code
    "headers": r"\n#{1,6}(?=\s)",
    "ordered_items": r"\n[^\S\n]*\d+\.(?=\s)",
    "bullet_items": r"\n[^\S\n]*[-*+](?=\s)",
    "bold": r"\*\*[^*\n]+\*\*|__[^_\n]+__",
    "table_rows": r"\n *\|.*\| *(?=\n|$)",
    "inline_code": r"`[^`\n]+`",
}
SHARES = {"digits": "[0-9]", "non_ascii": r"[^\x00-\x7f]", "commas": "[,，、،]"}
NASTY = st.text(
    alphabet="aAbéÉßİΣ ._-*+#`|,;:/()[]!?…。！？।॥۔؟“«「『，、،；؛（—–\"'’1٣"
    "\n\t\r\x00\x1c\x85\xa0\u2003\u2028\ud83d😀☀\ufe0f中\u0301\ufeff",
    max_size=60,
)
PIECES = (
    "**", "__", "```", "1. ", "\n- ", "\n\n", "\n \n", "\r\n", " - ", "https://", "](", "| a |\n",
    "# ", "Ada", "in Paris", "the", "code", "internationalisation", "a" * 40, "t",
    *lexicon.OPENINGS,
    *(p for groups in lexicon.PHRASES.values() for _, phrases in groups for p in phrases),
)  # fmt: skip
PIECED = st.lists(st.sampled_from(PIECES) | NASTY, max_size=12).map(" ".join)


def reference(text):
    """Measure one text plainly, for all measures that NumPy counts."""
    text = text.strip().replace("\r\n", "\n")
    lower = text.lower().replace("’", "'")
    words = re.findall(r"\w+", lower)
    counts = Counter(words)
    prose = "\n" + CODE_BLOCK.sub("", text)
    found = {name: len(re.findall(pattern, text)) for name, pattern in COUNTED.items()}
    found |= {name: len(re.findall(p, prose)) for name, p in COUNTED_IN_PROSE.items()}
    sentences = max(1, found.pop("sentences"))
    values = {name: log1p(count) for name, count in found.items()}
    for name, pattern in SHARES.items():
        values[name] = len(re.findall(pattern, text)) / len(text)
    n_words = max(1, len(words))
    for name in ("first_person", "hedges", "function_words"):
        listed = lexicon.WORD_LISTS[name].split()
        values[name] = sum(word in listed for word in words) / n_words
    lines = [line for line in text.split("\n") if line.strip()]
    return values | {
        "log_characters": log1p(len(text)),
        "log_words": log1p(len(words)),
        "log_distinct_words": log1p(len(counts)),
        "log_sentences": log1p(sentences),
        "log_paragraphs": log1p(len(re.findall(r"\n\s*\n", text)) + 1),
        "log_long_words": log1p(sum(len(word) >= 8 for word in counts)),
        "long_words": sum(len(word) >= 8 for word in words) / n_words,
        "word_length": min(30, sum(map(len, words)) / n_words),
        "log_sentence_length": log1p(n_words / sentences),
        "type_token_ratio": len(counts) / n_words,
        "code_blocks": log1p(text.count("```") // 2),
        "repeated_lines": 1 - len(set(lines)) / len(lines),
        "greets": any(
            lower.startswith(opening) and not re.match(r"\w", lower[len(opening) :])
            for opening in lexicon.OPENINGS
        ),
        "offers_more": any(offer in lower[-250:] for offer in lexicon.OFFERS),
        "ends_asking": bool(re.search(r"[?？؟]\ufe0f?\Z", text)),
        "finished": bool(
            re.search(
                "[.!?…。！？।॥۔؟)\\]}>\"'”’`*|~）］｝〉》」』】\u2600-\u27bf🌀-\U0001faff]\ufe0f?$",
                text,
            )
        ),
    }


def assert_as_reference(some):
    some = [text for text in some if text and not text.isspace()] or ["x"]
    measured = measure_texts(some)[0]
    for i, text in enumerate(some):
        expected = {name: float(value) for name, value in reference(text).items()}
        got = {name: measured[name][i] for name in expected}
        assert got == pytest.approx(expected, abs=1e-12), text


def measure_text(text):
    """Measure one cell."""
    return {name: column[0] for name, column in measure_texts([text])[0].items()}


@settings(max_examples=200, deadline=None)
@example(["Really?\ufe0f", "\ufe0f"])
@given(st.lists(NASTY | PIECED, max_size=6))
def test_measures_are_those_of_the_plain_definitions(some):
    assert_as_reference(some)


def test_measures_of_made_battles_are_those_of_the_plain_definitions():
    X = make_battles(n_samples=200, random_state=0).X
    assert_as_reference(texts(X.response_a))


def test_words_are_thirty_characters_long_at_most():
    some = ["a" * 29, "a" * 30, "a" * 31, "b " + "a" * 5000, "月" * 5000]
    assert measure_texts(some)[0]["word_length"].tolist() == [29, 30, 30, 30, 30]


@pytest.mark.parametrize("name", lexicon.PHRASES)
def test_every_phrase_is_found_and_its_guard_hides_none(name):
    phrases = [phrase for _, group in lexicon.PHRASES[name] for phrase in group]
    some = [f"Well, {phrase.replace(chr(39), '’').upper()}: so." for phrase in phrases]
    every = [sum(map(f"well, {p.upper().lower()}: so.".count, phrases)) for p in phrases]
    np.testing.assert_allclose(measure_texts(some)[0][name], np.log1p(every))
    assert min(every) > 0


@given(st.lists(NASTY))
def test_words_are_runs_of_word_characters(some):
    runs = find_runs(some)
    words = [runs.raw[start:end] for start, end in zip(runs.starts, runs.ends, strict=True)]
    words = [word.decode("utf-8", "surrogatepass") for word in words]
    found = [re.findall(r"\w+", text) for text in some]
    assert words == sum(found, [])
    assert np.diff(runs.bounds).tolist() == list(map(len, found))


def test_measures_are_those_that_are_listed():
    assert tuple(measure_text("x")) == MEASURES


@given(st.lists(NASTY | PIECED, min_size=2, max_size=6))
def test_shared_words_are_those_of_sets(some):
    lower = [text.lower() for text in some]
    words = Words(lower)
    sets = [set(re.findall(r"\w+", text)) for text in lower]
    ours = np.arange(len(some) - 1)
    assert words.shared(ours, ours + 1).tolist() == [
        len(a & b) for a, b in zip(sets, sets[1:], strict=False)
    ]
    function_words = set(lexicon.WORD_LISTS["function_words"].split())
    content = words.shared(ours + 1, ours, without="function_words")
    assert content.tolist() == [
        len((a & b) - function_words) for a, b in zip(sets, sets[1:], strict=False)
    ]
    asks = [not words.isdisjoint(lexicon.KINDS["asks_code"].split()) for words in sets]
    assert words.meets("asks_code").tolist() == asks


def test_words_of_other_lists_are_shared():
    words = Words(["the code may list what i mean"] * 2)  # function words: the, what, i
    one, other = np.array([[0], [1]])
    found = {name: words.shared(one, other, name)[0] for name in ("function_words", "asks_fact")}
    assert found == {"function_words": 4, "asks_fact": 6}


def test_long_words_differ_wherever_they_differ():
    one = "abcdefgh" * 4
    other = [one[:i] + "X" + one[i + 1 :] for i in range(len(one))]
    assert Words([" ".join([one, *other, one + "a", one[:-1]]).lower()]).n_distinct[0] == 35


def test_as_many_texts_as_a_key_holds():
    words = Words(["one two two"] * MAX_TEXTS)
    assert words.n_distinct.tolist() == [2] * MAX_TEXTS
    assert len(words.keys) == 2 * MAX_TEXTS


def test_markdown_counts_are_those_of_style_control():
    values = measure_text(MARKDOWN)
    expected = {"headers": 1, "ordered_items": 2, "bullet_items": 3, "bold": 2, "code_blocks": 1}
    expected |= {"links": 1, "inline_code": 1, "table_rows": 1}
    assert {name: values[name] for name in expected} == pytest.approx(
        {name: log1p(count) for name, count in expected.items()}
    )


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="#1.-*+_ \n\txé", max_size=40))
def test_list_and_header_patterns_find_what_anchored_ones_find(text):
    values = measure_text(text)
    text = text.strip()
    patterns = {
        "headers": r"^#{1,6}\s",
        "ordered_items": r"^\s*\d+\.\s",
        "bullet_items": r"^\s*[-*+]\s",
    }
    for name, pattern in patterns.items():
        assert values[name] == pytest.approx(log1p(len(re.findall(pattern, text, re.MULTILINE))))


def test_lone_surrogates_are_measured():
    values = measure_text("broken \ud83d text")
    assert values["non_ascii"] == pytest.approx(1 / 13)


OPEN = "start\n- x\n1. y\n# z | ` ** __ ](h://\n"  # so that no pattern is passed over


@pytest.mark.parametrize("part", ["\n", " ", "\n ", "](", "**", "__", "`", "|", "```", ". ", "1."])
def test_no_text_takes_quadratic_time(part):
    begin = time.process_time()
    assert measure_text(OPEN + part * 40_000 + " end")["log_characters"] > 10
    assert time.process_time() - begin < 2  # about 0.1; in quadratic time, 10 or more


@pytest.mark.parametrize(
    "text",
    [
        "यह एक शहर है। यह नदी पर स्थित है और सुंदर है।",  # Hindi, Urdu, Arabic
        "یہ ایک شہر ہے۔ یہ دریا پر واقع ہے اور خوبصورت ہے۔",
        "هذه مدينة كبيرة؟ هل تريد أن تعرف المزيد عن هذه المدينة الآن؟",
    ],
)
def test_sentences_of_scripts_with_spaces_end_where_their_own_marks_say(text):
    values = measure_text(text)
    assert (values["finished"], values["cut_off"]) == (1, 0)
    assert values["log_sentences"] == pytest.approx(log1p(2))


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("one two three four five six seven eight", 1),
        ("one two three four five six seven eight 😊", 0),
        ("one two three four five six seven", 0),
        ("one two three four five six seven eight.", 0),
        ("one two three four five six seven eight\nand so", 0),
        ("and so\none two three four five six seven eight", 1),
    ],
)
def test_a_last_line_of_eight_words_without_an_end_is_cut_off(text, cut):
    assert measure_text(text)["cut_off"] == cut


def test_turns_are_stripped_and_joined_by_a_blank_line_and_empty_ones_counted():
    values, joined = measure_text(["One.", None, " Two.\n", " "]), measure_text("One.\n\nTwo.")
    assert (values.pop("empty"), joined.pop("empty")) == (0.5, 0)
    assert (values.pop("log_turns"), joined.pop("log_turns")) == pytest.approx((log1p(2), log1p(1)))
    assert values == joined


def test_lines_end_alike_and_blank_ones_repeat_nothing():
    text = "Dogs\n\nCats\n\nMice\n| a | b |\n| c | d |\n"
    values = measure_text(text)
    assert values["repeated_lines"] == 0 and values["table_rows"] == pytest.approx(log1p(2))
    assert measure_text(text.replace("\n", "\r\n")) == values
    assert measure_text("a\n \nb\n \nc")["repeated_lines"] == 0
    assert measure_text("a\n \na\n\nb\n \na")["repeated_lines"] == 0.5


# Written here once more, so that none is lost from the lexicon unnoticed.
@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("refusals", "I cannot|cannot assist|cannot provide|cannot help|I can’t|I won't"),
        ("refusals", "can't assist|can't provide|can't help with|I am unable|I'm unable"),
        ("refusals", "i am not able|I'm not able|i do not have access|i don't have access"),
        ("refusals", "i must decline|not comfortable|not appropriate|against my|No puedo"),
        ("refusals", "je ne peux pas|ich kann nicht|Не могу|无法"),
        ("apologies", "Sorry|apologize|apologise|apologies|Unfortunately|lo siento|tut mir leid"),
        ("apologies", "Désolé|извините|抱歉|对不起"),
        ("examples", "for example|for instance|such as|e.g.|por ejemplo|zum beispiel"),
        ("self_mentions", "as an AI|I'm an AI|I am an AI|language model|AI assistant"),
        ("first_person", "i|me|my|mine|myself|we|us|our"),
        ("hedges", "may|maybe|perhaps|might|could|possibly|probably|seems|seem|likely|generally"),
        ("hedges", "typically|usually|often|sometimes|depends|depending"),
        ("function_words", "a|about|after|all|also|am|an|and|any|are|as|at|be|been|but|by|can"),
        ("function_words", "could|did|do|does|for|from|had|has|have|he|her|his|how|i|if|in|into"),
        ("function_words", "is|it|its|just|like|me|more|most|my|no|not|of|on|one|or|our|out|over"),
        ("function_words", "she|should|so|some|such|than|that|the|their|them|then|there|these"),
        ("function_words", "they|this|to|up|us|was|we|were|what|when|where|which|who|will|with"),
        ("function_words", "would|you|your"),
    ],
)
def test_what_is_looked_for(name, phrases):
    for phrase in phrases.split("|"):
        assert measure_text(f"Xx {phrase} yy.")[name] > 0, phrase


@pytest.mark.parametrize(
    ("name", "some"),
    [
        ("greets", "Sure, it is.|Certainly.|Of course!|Absolutely.|Great question!|Good question."),
        ("greets", "Hi.|Hey.|Thank you.|Thanks.|I'd be happy.|I would be happy.|Here is.|Here’s."),
        ("greets", "Hello.|Here are.|Okay.|Yes."),
        ("offers_more", "Let me know.|Feel free.|Hope this helps.|Hope that helps."),
        ("offers_more", "If you have any.|Would you like.|Anything else.|Happy to help."),
        ("offers_more", "Need more.|If you need."),
    ],
)
def test_how_a_response_begins_and_ends(name, some):
    for text in some.split("|"):
        assert measure_text(text)[name] == 1, text
    assert measure_text("It is so.")[name] == 0


def test_long_words_differ_by_any_letter():
    word = "x" * 2000
    changed = [word[:at] + "y" + word[at + 1 :] for at in (0, 511, 512, 519, 520, 521, 1999)]
    texts = [word, *changed, word + "x", word]
    keys = Words(texts).keys & np.uint64((1 << 54) - 1)
    assert len(set(keys.tolist())) == len(texts) - 1


@pytest.mark.parametrize("emoji", "☀✅❤➿🌀😀🚀🧠🫠🫶🫿")
def test_emoji_are_those_of_their_blocks(emoji):
    assert measure_texts([f"a {emoji} b"])[0]["emoji"][0] > 0


@pytest.mark.parametrize("other", "◿⟀🄀\U0001f2ff\U0001fb00é→中")
def test_other_characters_are_no_emoji(other):
    assert measure_texts([f"a {other} b"])[0]["emoji"][0] == 0


@pytest.mark.parametrize(("n_after", "offers"), [(239, 1), (240, 0)])
def test_an_offer_stands_among_the_last_250_characters(n_after, offers):
    text = "Well, let me know" + "." * n_after
    assert measure_texts([text])[0]["offers_more"][0] == offers


@pytest.mark.parametrize("name", lexicon.WORD_LISTS)
def test_every_listed_word_is_found_and_no_text_lends_its_own(name):
    listed = sorted(lexicon.WORD_LISTS[name].split())
    words = Words([text for word in listed for text in ("", word)])
    found = [text % 2 for text in range(2 * len(listed))]
    assert words.meets(name).tolist() == found
    assert words.number_in(name).tolist() == words.distinct_in(name).tolist() == found


@pytest.mark.parametrize("number", ["0", "9", "10", "٣"])
def test_items_are_ordered_by_any_digits(number):
    assert measure_text(f"Xx\n{number}. yy")["ordered_items"] == pytest.approx(log1p(1))


def test_a_stem_of_one_letter_begins_longer_words():
    assert measure_text("Xx, e.gyy.")["examples"] == pytest.approx(log1p(1))


@pytest.mark.parametrize(
    ("text", "greets"),
    [
        ("Hi!", 1),
        ("Hi, you", 1),
        ("History", 0),
        ("Hey.", 1),
        ("Heyday", 0),
        ("Yes", 1),
        ("Yesterday", 0),
        ("Surely", 0),
        ("Here’s one", 1),
        ("Thank yours", 0),
    ],
)
def test_openings_greet_as_words_of_their_own(text, greets):
    assert measure_text(text)["greets"] == greets


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("links", "See [one](x) and", 1),
        ("links", "See http://example.org and", 1),
        ("links", "See https://example.org and", 1),
        ("table_rows", "So:\n| one |\nand", 1),
        ("table_rows", "So:\n  | one |\nand", 1),
        ("table_rows", "So:\n| one |  \nand", 1),
        ("names", "To Za", 1),
        ("names", "To Z{", 0),
        ("names", "To @a", 0),
        ("headers", "So:\n###### one", 1),
        ("headers", "So:\n####### one", 0),
        ("bullet_items", "```x```- one", 1),  # what begins a line when the code is taken out
        ("ordered_items", "1```x```. one", 1),
    ],
)
def test_what_a_text_holds_once_is_found(name, text, count):
    assert measure_text(text)[name] == pytest.approx(log1p(count))


@pytest.mark.parametrize(("text", "share"), [("Two\nTwo", 0.5), ("Two\ntwo", 0)])
def test_a_line_is_repeated_to_the_letter(text, share):
    assert measure_text(text)["repeated_lines"] == share


@pytest.mark.parametrize(
    ("ends", "finished"),
    [
        (".!?…。！？।॥۔؟)]}>\"'”’`*|~）］｝〉》」』】😊✅☀", 1),
        (["❤\ufe0f", "👍🏽", "👩\u200d💻"], 1),
        (",:;-—(a1中，、「क", 0),
    ],
)
def test_what_a_finished_text_ends_with(ends, finished):
    values, _ = measure_texts([f"It is {end}" for end in ends])
    assert values["finished"].tolist() == [finished] * len(ends)
