"""The characters of many texts, counted by NumPy all at once."""

import functools
from io import BytesIO

import numpy as np

_LINE, _BLANK, _HYPHEN, _POINT = b"\n -."
# Beyond ASCII, one byte stands for a character that is counted, and one for each other kind.
_FIRST_WIDE = 128
_WIDE = "…。！？।॥۔؟“«「『，、،；؛（—–"
_OTHER, _SPACE, _EMOJI, _N_CODES = range(148, 152)
_BEFORE_NAME = b"abcdefghijklmnopqrstuvwxyz,"
_SPACES = b" \t\n\v\f\r\x1c\x1d\x1e\x1f\x95"  # the last is _SPACE


def is_emoji(character):
    """Tell whether a character is from U+2600 to U+27BF or from U+1F300 to U+1FAFF."""
    return "\u2600" <= character <= "\u27bf" or "\U0001f300" <= character <= "\U0001faff"


@functools.cache
def _codes():
    """Map numbers of characters to bytes; the last entry stands for all above."""
    codes = np.full(0x1FB01, _OTHER, dtype=np.uint8)
    codes[:_FIRST_WIDE] = range(_FIRST_WIDE)
    codes[[*filter(lambda number: chr(number).isspace(), range(_FIRST_WIDE, 0x3001))]] = _SPACE
    codes[0x2600:0x27C0] = codes[0x1F300:0x1FB00] = _EMOJI
    codes[list(map(ord, _WIDE))] = range(_FIRST_WIDE, _OTHER)
    return codes


@functools.cache
def _table(codes):
    """Make a table that says of each byte whether it is one of `codes`."""
    table = np.zeros(256, dtype=bool)
    table[list(codes)] = True
    return table


def one_byte_each(texts):
    """Write each character as one byte: ASCII as it is, what else there is by its kind."""
    wide = "".join([text for text in texts if not text.isascii()])
    numbers = np.frombuffer(wide.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    table = _codes()
    rest = BytesIO(table[np.minimum(numbers, len(table) - 1)].tobytes())
    return [text.encode() if text.isascii() else rest.read(len(text)) for text in texts]


class Characters:
    """The characters of texts without blank space around them.

    Parameters
    ----------
    texts : list of str
    """

    def __init__(self, texts):
        # A line break stands before every text; two stand behind the last.
        raw = b"\n".join([b"", *one_byte_each(texts), b"", b""])
        self._codes = np.frombuffer(raw, dtype=np.uint8)
        sizes = np.array([len(text) + 1 for text in texts])
        self._bounds = np.concatenate([[0], np.cumsum(sizes)])
        # Lower-case letters and spaces, nine out of ten characters, are not counted themselves.
        rare = (self._codes - np.uint8(97) > 25) & (self._codes != _BLANK)
        at = np.flatnonzero(rare[: self._bounds[-1]])
        ends = np.searchsorted(at, self._bounds)
        text = np.repeat(np.arange(len(texts)), np.diff(ends))
        self._at, self._kind = at, self._codes[at]
        counts = np.bincount(text * _N_CODES + self._kind, minlength=len(texts) * _N_CODES)
        self._counts = counts.reshape(len(texts), _N_CODES)
        self._counts[:, _LINE] -= 1

    def number(self, characters):
        """Count characters out of `characters` in each text."""
        return self._counts[:, _codes()[list(map(ord, characters))]].sum(axis=1)

    def not_ascii(self):
        """Count characters that are not ASCII."""
        return self._counts[:, _FIRST_WIDE:].sum(axis=1)

    def emoji(self):
        """Count characters that are emoji."""
        return self._counts[:, _EMOJI]

    def sentence_ends(self):
        r"""Count what ``[.!?…]["')*]?(?=\s|$)`` finds."""
        at = self._at[_table(b".!?\x80")[self._kind]]
        space, closing = _table(_SPACES), _table(b"\"')*")
        after, later = self._codes[at + 1], self._codes[at + 2]
        return self._number_at(at[space[after] | closing[after] & space[later]])

    def names(self):
        """Count what ``[a-z,] [A-Z](?=[a-z])`` finds."""
        at = self._at[self._kind - np.uint8(65) <= 25]
        before, earlier = self._codes[at - 1], self._codes[at - 2]
        found = (before == _BLANK) & _table(_BEFORE_NAME)[earlier]
        return self._number_at(at[found & (self._codes[at + 1] - np.uint8(97) <= 25)])

    def blank_lines(self):
        r"""Count what ``\n\s*\n`` finds: runs of blank space with two line breaks or more."""
        at = self._at[self._kind == _LINE]
        start, end = at[:-1] + 1, at[1:]  # of each line
        blank = start == end
        space = _table(_SPACES)
        unsure = ~blank & space[self._codes[start]] & space[self._codes[end - 1]]
        for i in np.flatnonzero(unsure).tolist():
            blank[i] = space[self._codes[start[i] : end[i]]].all()
        first = blank & ~np.concatenate([[False], blank[:-1]])
        return self._number_at(at[:-1][first])

    def marks(self):
        """Count what ``[-*+]`` finds between two blanks of any kind: bullets, dashes, minus."""
        at = self._at[_table(b"-*+")[self._kind]]
        space = _table(_SPACES)
        return self._number_at(at[space[self._codes[at - 1]] & space[self._codes[at + 1]]])

    def hyphens(self):
        """Count `-` between two blanks."""
        at = self._at[self._kind == _HYPHEN]
        alone = (self._codes[at - 1] == _BLANK) & (self._codes[at + 1] == _BLANK)
        return self._number_at(at[alone])

    def numbered(self):
        r"""Count what ``\d\.(?=\s)`` finds, as if each character beyond ASCII were a digit."""
        at = self._at[self._kind == _POINT]
        before = self._codes[at - 1]
        digit = (before - np.uint8(48) <= 9) | (before >= _FIRST_WIDE)
        return self._number_at(at[digit & _table(_SPACES)[self._codes[at + 1]]])

    def _number_at(self, positions):
        return np.diff(np.searchsorted(positions, self._bounds))
