"""Tokenise single texts, each distinct one once, and remember the result."""

import hashlib
import threading
from collections import OrderedDict

import numpy as np

_CACHE = OrderedDict()  # (fingerprint of the tokenizer, text) -> token ids
_CACHE_TOKENS = 2**26  # 256 MiB of token ids; the oldest go first
_LOCK = threading.Lock()
_held = 0
_CHUNK = 2048


def tokenise_texts(texts, tokenizer):
    """Tokenise texts without special tokens; None counts as an empty text.

    Parameters
    ----------
    texts : iterable of str or None
    tokenizer : PreTrainedTokenizer

    Returns
    -------
    dict of str or None to ndarray of int32
    """
    wanted = dict.fromkeys(texts)
    mark = fingerprint(tokenizer)
    found, new = {}, []
    with _LOCK:
        for text in wanted:
            if not text:
                found[text] = np.empty(0, dtype=np.int32)
            elif (mark, text) in _CACHE:
                _CACHE.move_to_end((mark, text))
                found[text] = _CACHE[mark, text]
            else:
                new.append(text)
    for at in range(0, len(new), _CHUNK):
        some = new[at : at + _CHUNK]
        for text, ids in zip(some, raw_ids(some, tokenizer), strict=True):
            found[text] = np.array(ids, dtype=np.int32)
    _remember(mark, new, found)
    return found


def raw_ids(texts, tokenizer):
    """Tokenise a batch as it stands: nothing added, nothing cut, no text read as special token."""
    texts = [_sound(text) for text in texts]
    options = {"add_special_tokens": False, "truncation": False, "padding": False}
    options |= {"return_attention_mask": False, "return_token_type_ids": False}
    return tokenizer(texts, split_special_tokens=True, verbose=False, **options)["input_ids"]


def fingerprint(tokenizer):
    """Give a text that tells apart tokenizers with different vocabularies or rules."""
    known = tokenizer.__dict__.get("_arena_fingerprint")
    if known and known[0] == len(tokenizer):
        return known[1]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content = repr(sorted(tokenizer.get_vocab().items()))
    else:
        backend.no_truncation()
        backend.no_padding()
        content = backend.to_str()
    digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    tokenizer._arena_fingerprint = (len(tokenizer), digest)
    return digest


def clear_cache():
    """Forget every text."""
    global _held
    with _LOCK:
        _CACHE.clear()
        _held = 0


def _sound(text):
    """Replace lone surrogates, which Rust's strings refuse, by the replacement character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _remember(mark, texts, found):
    global _held
    with _LOCK:
        for text in texts:
            if (mark, text) not in _CACHE:
                _CACHE[mark, text] = found[text]
                _held += len(found[text])
        while _held > _CACHE_TOKENS:
            _held -= len(_CACHE.popitem(last=False)[1])
