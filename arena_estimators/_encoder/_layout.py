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
_CUT_MARKERS = ["…", "..."]


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
        self.truncation = truncation
        self.before, self.after = special_tokens(tokenizer)
        first, *others = _HEADINGS[layout]
        self.first, self.again, *self.others = raw_ids([first, _GAP + first, *others], tokenizer)
        self.marker = _cut_marker(tokenizer)
        self.least = len(self.marker) + 1
        n_responses = len(others)
        self.types = [0, 0, 0, 0, 1, 1, 0] if n_responses == 2 else [0] * 5
        shares = [prompt_share] + [(1 - prompt_share) / n_responses] * n_responses
        self.shares = np.maximum(shares, 1e-6)
        self.budget = max_length - len(self.before) - len(self.after)
        headings = len(self.first) + sum(map(len, self.others))
        needed = headings + self.least * (1 + n_responses) + len(self.marker)  # rounds left out
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
            The tokens of each section, those kept, texts cut and rounds left out.
        """
        n_rounds = max(1, *map(len, sections))
        empty = np.empty(0, dtype=np.int32)
        padded = [[*turns, *[empty] * (n_rounds - len(turns))] for turns in sections]
        rounds = list(zip(*padded, strict=True))
        kept = self._rounds_that_fit(rounds)
        sizes = self._divide([rounds[i] for i in kept], marked=len(kept) < n_rounds)
        pieces, types = [self.before], [0]
        for place, (number, size) in enumerate(zip(kept, sizes, strict=True)):
            parts = [self.again if place else self.first]
            for section, (ids, room) in enumerate(zip(rounds[number], size, strict=True)):
                if section:
                    parts.append(self.others[section - 1])
                parts.append(cut(ids, room, self.marker, self.truncation))
            if place == 0 and len(kept) < n_rounds:
                parts.append(self.marker)
            pieces += parts
            types += self.types[: len(parts)]
        pieces.append(self.after)
        types.append(types[-1])
        counts = _count(rounds, kept, sizes, len(self.marker))
        types = np.repeat(np.array(types, dtype=np.uint8), [len(piece) for piece in pieces])
        return np.concatenate(pieces), types, counts

    def _rounds_that_fit(self, rounds):
        """Give the rounds that fit if each text keeps its minimum: all, or the first and latest."""
        heading = len(self.again) + sum(map(len, self.others))
        cost = [heading + sum(min(len(ids), self.least) for ids in texts) for texts in rounds]
        cost[0] += len(self.first) - len(self.again)  # the first has no gap before it
        if sum(cost) <= self.budget:
            return list(range(len(rounds)))
        kept, spent = [], cost[0] + len(self.marker)
        for number in range(len(rounds) - 1, 0, -1):
            if spent + cost[number] > self.budget:
                break
            kept.append(number)
            spent += cost[number]
        return [0, *reversed(kept)]

    def _divide(self, rounds, *, marked):
        """Give each text its number of tokens, of shape (n_rounds, n_sections)."""
        wanted = [[len(ids) for ids in texts] for texts in rounds]
        headings = len(self.first) + (len(rounds) - 1) * len(self.again)
        headings += len(rounds) * sum(map(len, self.others))
        room = self.budget - headings - (len(self.marker) if marked else 0)
        if sum(map(sum, wanted)) <= room:
            return wanted
        wanted = np.array(wanted)
        return _fill(wanted, np.minimum(wanted, self.least), self.shares, room).tolist()


def _count(rounds, kept, sizes, marker_length):
    """Count for each section its tokens, those kept, the texts cut and the rounds left out."""
    n_out = len(rounds) - len(kept)
    granted = dict(zip(kept, sizes, strict=True))
    counts = []
    for section in range(len(rounds[0])):
        tokens = kept_tokens = n_cut = 0
        for number, texts in enumerate(rounds):
            wanted = len(texts[section])
            room = granted[number][section] if number in granted else 0
            tokens += wanted
            kept_tokens += wanted if room >= wanted else max(room - marker_length, 0)
            n_cut += room < wanted
        counts.append((tokens, kept_tokens, n_cut, n_out))
    return counts


def cut(ids, room, marker, truncation):
    """Cut a text to `room` tokens, the marker included."""
    if len(ids) <= room:
        return ids
    room = max(room - len(marker), 0)
    heads = {"head_tail": -(-room * 3 // 4), "middle": (room + 1) // 2, "head": room, "tail": 0}
    head = heads[truncation]
    tail = room - head
    return np.concatenate([ids[:head], marker, ids[len(ids) - tail :]])


def special_tokens(tokenizer):
    """Give what the tokenizer puts before and after a single text, by looking at one."""
    # split_special_tokens as in `raw_ids`: changing it would disturb threads using the tokenizer.
    bare, whole = (
        tokenizer("a", add_special_tokens=added, split_special_tokens=True)["input_ids"]
        for added in (False, True)
    )
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            before, after = whole[:start], whole[start + len(bare) :]
            return np.array(before, dtype=np.int32), np.array(after, dtype=np.int32)
    raise ArenaError("This tokenizer changes a text when it adds special tokens to it.")


def _cut_marker(tokenizer):
    """Give the shortest marker this tokenizer knows."""
    markers = raw_ids(_CUT_MARKERS, tokenizer)
    known = [ids for ids in markers if len(ids) and tokenizer.unk_token_id not in ids]
    return min(known or markers[-1:], key=len)


def _fill(wanted, least, shares, room):
    """Divide `room` in proportion to `shares`; what one text does not want goes to the others.

    Tokens left over by rounding go to the last rounds, one to each text that wants more, but only
    if they suffice for the whole round, so that responses are treated alike.
    """
    sizes = least.copy()
    while True:
        open_ = sizes < wanted
        rest = room - sizes.sum()
        if rest <= 0 or not open_.any():
            return sizes
        weights = open_ * shares
        part = np.floor(rest * weights / weights.sum()).astype(sizes.dtype)
        if not part.any():
            part = open_ & (open_.sum(1)[::-1].cumsum()[::-1, None] <= rest)
        if not part.any():
            return sizes
        sizes = np.minimum(wanted, sizes + part)
