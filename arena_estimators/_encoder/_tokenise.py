"""Turn battles into the token sequences an encoder reads."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from arena_estimators._encoder import _layout, _texts
from arena_estimators.battles import PROMPT, RESPONSE_A, RESPONSE_B, turns_of
from arena_estimators.exceptions import warn

_UNKNOWN = 0.25  # of all tokens; English text has less than one in a thousand


@dataclass
class Sequences:
    """Token sequences of different lengths, end to end.

    Attributes
    ----------
    ids : ndarray of shape (n_tokens,), int32
    offsets : ndarray of shape (n_sequences + 1,), int64
        Sequence i is `ids[offsets[i]:offsets[i + 1]]`.
    types : ndarray of shape (n_tokens,), uint8, or None
        Token type ids, where the tokenizer has them.
    """

    ids: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def lengths(self):
        """The number of tokens of each sequence."""
        return np.diff(self.offsets)

    def places(self, indices):
        """Give the lengths of some sequences, and where their tokens are, one after the other."""
        indices = np.asarray(indices, dtype=np.int64)
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return lengths, np.repeat(starts, lengths) + within

    def take(self, indices):
        """Give some of the sequences, in that order."""
        lengths, places = self.places(indices)
        types = None if self.types is None else self.types[places]
        return Sequences(self.ids[places], np.concatenate([[0], np.cumsum(lengths)]), types)


@dataclass
class Tokenised:
    """Battles as token sequences.

    Attributes
    ----------
    sequences : Sequences
        Each distinct sequence once.
    rows : ndarray of shape (n_battles, 2), int64
        Positions in `sequences`. Siamese: (prompt, a) and (prompt, b). Cross: the battle in the
        order (a, b) and in the order (b, a).
    report : DataFrame
        What was cut; one row each for prompt, response_a and response_b.
    """

    sequences: Sequences
    rows: np.ndarray
    report: pd.DataFrame


def tokenise(
    X,
    tokenizer,
    *,
    layout="siamese",
    max_length=512,
    prompt_share=0.25,
    truncation="head_tail",
    progress=False,
):
    """Tokenise battles, each distinct text once, within a budget of tokens.

    Prompt and responses each have a budget; what one does not use goes to the others. A text over
    its budget is cut and the place is marked. Several rounds are laid out in their order, and every
    turn keeps a part; if there are too many for that, the earliest rounds except the first are left
    out, and the place is marked.

    Parameters
    ----------
    X : DataFrame
        Battles, checked.
    tokenizer : PreTrainedTokenizer
        From `load_tokenizer`.
    layout : {"siamese", "cross"}, default="siamese"
        One sequence a response, with the prompt; or one sequence that holds both responses.
    max_length : int, default=512
        Tokens of a sequence, special tokens included.
    prompt_share : float, default=0.25
        The prompt's part of the budget, between 0 and 1.
    truncation : {"head_tail", "middle", "head", "tail"}, default="head_tail"
        What a cut keeps: the beginning and the end (three quarters and one quarter), the same in
        equal halves, the beginning, or the end.
    progress : bool, default=False
        Show a progress bar if it takes over two seconds.

    Returns
    -------
    Tokenised
    """
    plan = _layout.Plan(tokenizer, layout, max_length, prompt_share, truncation)
    cells = [[_turns(cell) for cell in X[column]] for column in (PROMPT, RESPONSE_A, RESPONSE_B)]
    keys, rows = _distinct(*cells, layout)
    turns = {turn for key in keys for turns in key for turn in turns}
    ids_of = _texts.tokenise_texts(sorted(turns), tokenizer, progress=progress)
    built = [plan.build([[ids_of[turn] for turn in turns] for turns in key]) for key in keys]
    return Tokenised(
        _join(built, "token_type_ids" in tokenizer.model_input_names),
        rows,
        _report([counts for _, _, counts in built], rows, layout),
    )


def warn_of_unknown(sequences, tokenizer):
    """Say if much of the text is in a script that the tokenizer does not know."""
    share = np.count_nonzero(sequences.ids == tokenizer.unk_token_id) / max(1, len(sequences.ids))
    if share > _UNKNOWN:
        warn(
            f"{share:.0%} of the tokens are unknown to the encoder's tokenizer, which reads them "
            "all alike. Take an encoder that was made for this text, such as "
            "'FacebookAI/xlm-roberta-base' for other languages."
        )


def _turns(cell):
    """Give the turns of a cell, one at least; null turns are empty."""
    return tuple(turn or "" for turn in turns_of(cell)) or ("",)


def _distinct(prompts, firsts, seconds, layout):
    """Give the cells of each distinct sequence and the (n_battles, 2) positions among them."""
    number = {}
    rows = np.empty((len(prompts), 2), dtype=np.int64)
    for row, (prompt, a, b) in enumerate(zip(prompts, firsts, seconds, strict=True)):
        if layout == "siamese":
            pair = (prompt, a), (prompt, b)
        else:
            pair = (prompt, a, b), (prompt, b, a)
        rows[row] = [number.setdefault(key, len(number)) for key in pair]
    return list(number), rows


def _join(built, with_types):
    lengths = [len(ids) for ids, _, _ in built]
    ids = np.concatenate([np.empty(0, dtype=np.int32), *(ids for ids, _, _ in built)])
    types = None
    if with_types:
        types = np.concatenate([np.empty(0, dtype=np.uint8), *(types for _, types, _ in built)])
    return Sequences(ids, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), types)


def _report(counts, rows, layout):
    """Sum tokens, kept tokens and rounds left out over battles; count the battles with a cut.

    A siamese prompt is in two sequences; the one that keeps less of it counts.
    """
    n_sections = 2 if layout == "siamese" else 3
    counts = np.array(counts, dtype=np.int64).reshape(len(counts), n_sections, 4)
    if layout == "siamese":
        first, second = counts[rows[:, 0]], counts[rows[:, 1]]
        worse = first[:, 0, 1] <= second[:, 0, 1]
        prompt = np.where(worse[:, None], first[:, 0], second[:, 0])
        sections = [prompt, first[:, 1], second[:, 1]]
    else:
        sections = list(counts[rows[:, 0]].swapaxes(0, 1))
    table = []
    for figures in sections:
        tokens, kept, cut, rounds = figures.T
        table.append([len(rows), int((cut > 0).sum()), tokens.sum(), kept.sum(), rounds.sum()])
    columns = ["battles", "cut", "tokens", "tokens_kept", "rounds_left_out"]
    return pd.DataFrame(table, columns=columns, index=[PROMPT, RESPONSE_A, RESPONSE_B])
