"""Lay the parts of a battle out in one sequence of at most `max_length` tokens."""

import numpy as np

from arena_estimators._encoder._texts import raw_ids
from arena_estimators.exceptions import ArenaError

TRUNCATIONS = ("head_tail", "middle", "head", "tail")
_HEADINGS = {
    "siamese": ("Prompt:\n", "\n\nResponse:\n"),
    "cross": ("Prompt:\n", "\n\nResponse A:\n", "\n\nResponse B:\n"),
}
_GAP = "\n\n"
_CUT_MARKERS = ("…", "...")
_LEAST = 2  # tokens of a cut text: the marker and one of its own


class Plan:
    """How sequences are built with one tokenizer and one budget.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizer
    layout : {"siamese", "cross"}
    max_length : int
    prompt_share : float
    truncation : {"head_tail", "middle", "head", "tail"}
    """

    def __init__(self, tokenizer, layout, max_length, prompt_share, truncation):
        if truncation not in TRUNCATIONS:
            raise ArenaError(f"truncation must be one of {TRUNCATIONS}, got {truncation!r}.")
        self.truncation = truncation
        self.before, self.after = special_tokens(tokenizer)
        first, *others = _HEADINGS[layout]
        first_ids, *self.others = _arrays([first, *others], tokenizer)
        self.first = first_ids
        (self.again,) = _arrays([_GAP + first], tokenizer)
        self.marker = _cut_marker(tokenizer)
        self.least = len(self.marker) + 1
        n_responses = len(others)
        self.shares = np.array([prompt_share] + [(1 - prompt_share) / n_responses] * n_responses)
        self.budget = max_length - len(self.before) - len(self.after)
        headings = len(self.first) + sum(map(len, self.others))
        needed = headings + self.least * (1 + n_responses)
        if self.budget < needed:
            raise ArenaError(
                f"max_length={max_length} is too short: this tokenizer needs at least "
                f"{needed + max_length - self.budget} tokens for headings and a cut text in each "
                "section."
            )

    def build(self, sections):
        """Build one sequence.

        Parameters
        ----------
        sections : list of list of ndarray
            The turns of the prompt and of each response.

        Returns
        -------
        ids, types : ndarray
        counts : list of tuple
            For each section its tokens, those kept, texts cut and rounds left out.
        """
        n_rounds = max(1, *map(len, sections))
        empty = np.empty(0, dtype=np.int32)
        sections = [turns + [empty] * (n_rounds - len(turns)) for turns in sections]
        rounds = list(zip(*sections, strict=True))
        kept = self._rounds_that_fit(rounds)
        sizes = self._divide([rounds[i] for i in kept])
        pieces, types = [self.before], [0]
        for place, (number, size) in enumerate(zip(kept, sizes, strict=True)):
            pieces.append(self.again if place else self.first)
            types.append(0)
            if place == 1 and len(kept) < n_rounds:
                pieces.insert(-1, self.marker)
                types.append(0)
            for section, (ids, room) in enumerate(zip(rounds[number], size, strict=True)):
                if section:
                    pieces.append(self.others[section - 1])
                    types.append(int(section == 2))
                pieces.append(cut(ids, int(room), self.marker, self.truncation))
                types.append(int(section == 2))
        pieces.append(self.after)
        types.append(types[-1])
        counts = [
            (
                sum(map(len, turns)),
                sum(min(len(turns[i]), int(size[s])) for i, size in zip(kept, sizes, strict=True)),
                sum(len(turns[i]) > size[s] for i, size in zip(kept, sizes, strict=True))
                + sum(len(turns[i]) > 0 for i in range(n_rounds) if i not in kept),
                n_rounds - len(kept),
            )
            for s, turns in enumerate(sections)
        ]
        lengths = [len(piece) for piece in pieces]
        return np.concatenate(pieces), np.repeat(types, lengths), counts

    def _rounds_that_fit(self, rounds):
        """Give the rounds that fit when each text keeps its least; the first and the last ones."""
        heading = len(self.again) + sum(map(len, self.others))
        cost = [heading + sum(min(len(ids), self.least) for ids in texts) for texts in rounds]
        if sum(cost) <= self.budget:
            return list(range(len(rounds)))
        kept, spent = [], cost[0] + len(self.marker)
        for number in range(len(rounds) - 1, 0, -1):
            if spent + cost[number] > self.budget:
                break
            kept.append(number)
            spent += cost[number]
        return [0, *reversed(kept)]

    def _divide(self, rounds):
        """Give each text its number of tokens: shares between sections, then between turns."""
        wanted = np.array([[len(ids) for ids in texts] for texts in rounds])
        headings = len(self.first) + (len(rounds) - 1) * len(self.again)
        headings += len(rounds) * sum(map(len, self.others))
        room = self.budget - headings - (len(self.marker) if len(rounds) > 1 else 0)
        if wanted.sum() <= room:
            return wanted
        least = np.minimum(wanted, self.least)
        weights = np.broadcast_to(self.shares / len(rounds), wanted.shape)
        sizes = _fill(wanted.ravel(), least.ravel(), weights.ravel(), room)
        return sizes.reshape(wanted.shape)


def cut(ids, room, marker, truncation):
    """Cut a text to `room` tokens, the marker included."""
    if len(ids) <= room:
        return ids
    room = max(room - len(marker), 0)
    head = {"head": room, "tail": 0, "middle": (room + 1) // 2}.get(truncation, -(-room * 3 // 4))
    tail = room - head
    return np.concatenate([ids[:head], marker, ids[len(ids) - tail :]])


def special_tokens(tokenizer):
    """Give what the tokenizer puts before and after a single text, by looking at one."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            before, after = whole[:start], whole[start + len(bare) :]
            return np.array(before, dtype=np.int32), np.array(after, dtype=np.int32)
    raise ArenaError("This tokenizer changes a text when it adds special tokens to it.")


def _arrays(texts, tokenizer):
    return [np.array(ids, dtype=np.int32) for ids in raw_ids(texts, tokenizer)]


def _cut_marker(tokenizer):
    """Give the shortest marker this tokenizer knows."""
    known = [ids for ids in _arrays(_CUT_MARKERS, tokenizer) if tokenizer.unk_token_id not in ids]
    return min(known or _arrays(_CUT_MARKERS[1:], tokenizer), key=len)


def _fill(wanted, least, weights, room):
    """Share `room` by weight; what one does not want goes to the others."""
    sizes = least.copy()
    while True:
        open_ = sizes < wanted
        rest = room - sizes.sum()
        if rest <= 0 or not open_.any():
            return sizes
        part = np.zeros(len(sizes))
        part[open_] = rest * weights[open_] / weights[open_].sum()
        grown = np.minimum(wanted, sizes + np.floor(part).astype(sizes.dtype))
        if (grown == sizes).all():
            return sizes
        sizes = grown
