"""Prompts and responses from the phrases, and the true features of a response."""

import importlib.resources
import json
import math
import re

from arena_estimators.battles import text_of

_DATA = importlib.resources.files(__package__).joinpath("data", "phrases.json")
_PHRASES = json.loads(_DATA.read_text(encoding="utf-8"))  # `{s}` is the subject asked about
MODELS = _PHRASES["models"]
# The first is English, whose texts serve where a language, such as that of code, has none.
LANGUAGES = [_PHRASES["languages"][0] | language for language in _PHRASES["languages"]]
_SHARES = [language["share"] for language in LANGUAGES]
FEATURES = ("log_length", "lists", "headers", "bold", "refusal", "on_topic")
_COUNTED = (
    re.compile(r"^(?:- |\d+\. )", re.M),
    re.compile(r"^#{1,6} ", re.M),
    re.compile(r"\*\*[^*\n]+\*\*"),
)
_REFUSALS = tuple(phrase for language in LANGUAGES for phrase in language["refusals"])
_REPEATED, _MULTI_TURN, _NULL = 0.12, 0.12, 0.004


class Writer:
    """Writes battles; `rng` is a `random.Random`, which draws single numbers fast."""

    def __init__(self, rng):
        self.rng = rng
        self.asked = []

    def battle(self):
        """Write one battle: its three cells, the two models, and both responses' features."""
        language, subject, prompt = self.conversation()
        models = self.rng.sample(range(len(MODELS)), 2)
        responses, on_topic = zip(
            *(self.response(language, subject, len(prompt), model) for model in models),
            strict=True,
        )
        cells = [_cell(turns) for turns in (prompt, *responses)]
        phi = [features(turns, share) for turns, share in zip(responses, on_topic, strict=True)]
        return cells, [MODELS[model] for model in models], phi

    def conversation(self):
        """Take an earlier prompt once in a while, else write a new one of one or more turns."""
        rng = self.rng
        if self.asked and rng.random() < _REPEATED:
            return rng.choice(self.asked)
        language = rng.choices(LANGUAGES, _SHARES)[0]
        subject = rng.choice(language["subjects"])
        turns = [rng.choice(language["prompts"]) + "".join(rng.sample(language["endings"], 2))]
        if rng.random() < _MULTI_TURN:
            turns += rng.choices(language["later"], k=rng.choice((1, 1, 1, 2, 3)))
        self.asked.append((language, subject, [turn.replace("{s}", subject) for turn in turns]))
        return self.asked[-1]

    def response(self, language, subject, n_turns, model):
        """Write a response's turns and say which share of its sentences is about the subject."""
        length, accuracy = 3 + 5 * model % 12, 0.6 + 0.035 * model
        if self.rng.random() < 0.25:  # a model misses the point of a whole conversation
            accuracy = 0.2
        turns, kept, total = [], 0, 0
        for _ in range(n_turns):
            if self.rng.random() < _NULL:
                turns.append(None)
            elif self.rng.random() < 0.02 + 0.015 * (model % 4):
                turns.append(self.rng.choice(language["refusals"]))
            else:
                sentences, about = self.sentences(language, subject, length, accuracy)
                turns.append(self.layout(language, subject, sentences, model))
                kept, total = kept + about, total + len(sentences)
        return turns, kept / max(total, 1)

    def sentences(self, language, subject, length, accuracy):
        """Draw sentences, of which a share of about `accuracy` is about the subject."""
        rng, phrases = self.rng, language["sentences"]
        count = max(1, round(length * rng.lognormvariate(0, 0.5)))
        about = [rng.random() < accuracy for _ in range(count)]
        other = [name for name in rng.sample(language["subjects"], 3) if name != subject]
        order = rng.sample(range(len(phrases)), len(phrases))
        written = [
            phrases[order[i % len(order)]].replace("{s}", subject if kept else rng.choice(other))
            for i, kept in enumerate(about)
        ]
        return written, sum(about)

    def layout(self, language, subject, sentences, model):
        """Set sentences as paragraphs or in Markdown, as the model tends to."""
        rng, markdown = self.rng, 0.15 + 0.2 * (model % 5)
        parts = [rng.choice(language["openings"])]
        if "blocks" in language and rng.random() < 0.7:
            parts.append(rng.choice(language["blocks"]).replace("{s}", subject))
        if rng.random() > markdown:
            parts += [" ".join(sentences[i : i + 4]) for i in range(0, len(sentences), 4)]
            return "\n\n".join(part for part in parts if part)
        if rng.random() < 0.4:
            sentences = [
                text.replace(subject, f"**{subject}**") if rng.random() < 0.5 else text
                for text in sentences
            ]
        while sentences:
            take = rng.randint(1, 5)
            part, sentences = sentences[:take], sentences[take:]
            if rng.random() < 0.35:
                parts.append(f"{'#' * rng.randint(1, 3)} {subject[0].upper() + subject[1:]}")
            kind = rng.random()
            if kind < 0.4:
                parts.append("\n".join(f"- {text}" for text in part))
            elif kind < 0.6:
                parts.append("\n".join(f"{i}. {text}" for i, text in enumerate(part, 1)))
            elif kind < 0.65:
                rows = (f"| {i} | {text} |" for i, text in enumerate(part, 1))
                parts.append("\n".join(["| # | note |", "|---|---|", *rows]))
            else:
                parts.append(" ".join(part))
        return "\n\n".join(part for part in parts if part)


def features(turns, on_topic):
    """Measure a response: log(1 + characters), log(1 + counts), any refusal, share on topic."""
    text = text_of(turns)
    counts = [len(pattern.findall(text)) for pattern in _COUNTED]
    refused = any(turn in _REFUSALS for turn in turns)
    return [*map(math.log1p, (len(text), *counts)), float(refused), on_topic]


def _cell(turns):
    """One turn is plain text, more are a list; a null turn alone stays a list."""
    return turns[0] if len(turns) == 1 and turns[0] is not None else list(turns)
