"""The characters of many texts, counted by NumPy all at once."""

from io import BytesIO

import numpy as np

_LINE, _BLANK, _HYPHEN, _POINT = 10, 32, 45, 46
_FIRST_WIDE = 128  # from here on, a code stands for characters that are not ASCII
_WIDE = {character: _FIRST_WIDE + i for i, character in enumerate("…。！？।॥۔؟“«「『，、،；؛（—–")}
_OTHER, _SPACE, _EMOJI = range(_FIRST_WIDE + len(_WIDE), _FIRST_WIDE + len(_WIDE) + 3)
_N_CODES = _EMOJI + 1


def _holds(characters, *codes):
    table = np.zeros(256, dtype=bool)
    table[[*map(ord, characters), *codes]] = True
    return table


_IS_STOP = _holds(".!?", _WIDE["…"])
_IS_CLOSING = _holds("\"')*")
_IS_SPACE = _holds([chr(c) for c in range(128) if chr(c).isspace()], _SPACE)
_IS_BEFORE_NAME = _holds("abcdefghijklmnopqrstuvwxyz,")
_IS_MARK = _holds("-*+")


def is_emoji(character):
    """Tell whether a character is from U+2600 to U+27BF or from U+1F300 to U+1FAFF."""
    return "\u2600" <= character <= "\u27bf" or "\U0001f300" <= character <= "\U0001faff"


class _WideCodes(dict):
    """The codes of characters that are not ASCII, by their numbers."""

    def __missing__(self, number):
        character = chr(number)
        if character.isspace():
            code = _SPACE
        elif is_emoji(character):
            code = _EMOJI
        else:
            code = _WIDE.get(character, _OTHER)
        self[number] = code
        return code


_WIDE_CODES = _WideCodes()


def one_byte_each(texts):
    """Write each character as one byte: ASCII as it is, what else there is by its kind."""
    wide = "".join([text for text in texts if not text.isascii()])
    numbers = np.frombuffer(wide.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    codes = np.minimum(numbers, _OTHER).astype(np.uint8)
    at = np.flatnonzero(numbers >= _FIRST_WIDE)
    codes[at] = [_WIDE_CODES[number] for number in numbers[at].tolist()]
    rest = BytesIO(codes.tobytes())
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
        codes = [_WIDE.get(character) or ord(character) for character in characters]
        return self._counts[:, codes].sum(axis=1)

    def not_ascii(self):
        """Count characters that are not ASCII."""
        return self._counts[:, _FIRST_WIDE:].sum(axis=1)

    def emoji(self):
        """Count characters that are emoji."""
        return self._counts[:, _EMOJI]

    def sentence_ends(self):
        r"""Count what ``[.!?…]["')*]?(?=\s|$)`` finds."""
        at = self._at[_IS_STOP[self._kind]]
        after, later = self._codes[at + 1], self._codes[at + 2]
        return self._number_at(at[_IS_SPACE[after] | _IS_CLOSING[after] & _IS_SPACE[later]])

    def names(self):
        """Count what ``[a-z,] [A-Z](?=[a-z])`` finds."""
        at = self._at[self._kind - np.uint8(65) <= 25]
        before, earlier = self._codes[at - 1], self._codes[at - 2]
        found = (before == _BLANK) & _IS_BEFORE_NAME[earlier]
        return self._number_at(at[found & (self._codes[at + 1] - np.uint8(97) <= 25)])

    def blank_lines(self):
        r"""Count what ``\n\s*\n`` finds: runs of blank space with two line breaks or more."""
        at = self._at[self._kind == _LINE]
        start, end = at[:-1] + 1, at[1:]  # of each line
        blank = start == end
        unsure = ~blank & _IS_SPACE[self._codes[start]] & _IS_SPACE[self._codes[end - 1]]
        for i in np.flatnonzero(unsure).tolist():
            blank[i] = _IS_SPACE[self._codes[start[i] : end[i]]].all()
        first = blank & ~np.concatenate([[False], blank[:-1]])
        return self._number_at(at[:-1][first])

    def marks(self):
        """Count what ``[-*+]`` finds between two blanks of any kind: bullets, dashes, minus."""
        at = self._at[_IS_MARK[self._kind]]
        return self._number_at(at[_IS_SPACE[self._codes[at - 1]] & _IS_SPACE[self._codes[at + 1]]])

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
        return self._number_at(at[digit & _IS_SPACE[self._codes[at + 1]]])

    def _number_at(self, positions):
        return np.diff(np.searchsorted(positions, self._bounds))
