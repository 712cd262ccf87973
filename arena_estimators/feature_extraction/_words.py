r"""Words: where the runs of word characters of many texts begin and end.

TF-IDF and style both read words as ``\w+`` finds them. NLTKCleaner alone does not: it must split as
NLTK does, which no single pattern can.
"""

import functools
import re
from dataclasses import dataclass

import numpy as np

_PADDING = b" " * 8  # so that eight bytes may be read from the start of every word


@dataclass
class Runs:
    """Runs of characters of texts that stand one after the other, as UTF-8.

    Attributes
    ----------
    raw : bytes
        The texts, with a space before each. Outside the runs everything is ASCII.
    inside : ndarray of shape (n_bytes,) of bool
        Whether a byte is in a run.
    starts, ends : ndarray of shape (n_runs,)
        Positions of bytes.
    bounds : ndarray of shape (n_texts + 1,)
        Where the runs of each text begin.
    """

    raw: bytes
    inside: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bounds: np.ndarray


def find_runs(texts, kind=r"\w"):
    r"""Find the longest runs of characters of `kind`, written as within a regex's brackets: `\w`.

    In UTF-8 all bytes of a character beyond ASCII are beyond ASCII. So, once all characters beyond
    ASCII that are not of the kind are replaced by spaces, every byte says by itself whether it is
    in a run, and the edges of all runs are found at once.
    """
    other = re.compile(rf"[^{kind}\x00-\x7f]")
    texts = [text if text.isascii() else other.sub(" ", text) for text in texts]
    texts = [text.encode("utf-8", "surrogatepass") for text in texts]
    raw = b" ".join([b"", *texts, _PADDING])
    inside = np.frombuffer(raw.translate(_table(kind)), dtype=bool)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    bounds = np.searchsorted(starts, np.cumsum([0, *(len(text) + 1 for text in texts)]))
    return Runs(raw, inside, starts, ends, bounds)


@functools.cache
def _table(kind):
    """Say of each byte whether it is in a run: that of a character beyond ASCII always is."""
    is_kind = re.compile(f"[{kind}]").match
    return bytes(byte > 127 or is_kind(chr(byte)) is not None for byte in range(256))
