"""Tokenise single texts, each distinct one once, and remember the result."""

import hashlib
import multiprocessing
import os
import sys
import threading
from collections import OrderedDict

import numpy as np
from tqdm.auto import tqdm

# (tokenizer's fingerprint, text) -> token ids, least recently used first
_CACHE: OrderedDict = OrderedDict()
_ROOM = 2**28  # bytes of texts and token ids to remember
_LOCK = threading.Lock()
_CHUNK = 2048
_held = 0


def tokenise_texts(texts, tokenizer, *, progress=False):
    """Tokenise texts without special tokens; None counts as an empty text.

    The process remembers the most recent results, up to `_ROOM` bytes, so folds, candidates and
    estimators that share a tokenizer share the work.

    Parameters
    ----------
    texts : iterable of str or None
    tokenizer : PreTrainedTokenizer
    progress : bool, default=False
        Show a progress bar if it takes over two seconds.

    Returns
    -------
    dict of str or None to ndarray of int32
        Do not write to the arrays: they are shared.
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
    bar = tqdm(total=len(new), delay=2, disable=not progress, unit="text", desc="tokenise")
    with bar:
        for start in range(0, len(new), _CHUNK):
            some = new[start : start + _CHUNK]
            found.update(zip(some, _clean_ids(some, tokenizer), strict=True))
            bar.update(len(some))
    _remember(mark, new, found)
    return found


def raw_ids(texts, tokenizer):
    """Tokenise a batch as it stands: nothing added, nothing cut."""
    options = {"add_special_tokens": False, "truncation": False, "padding": False}
    options |= {"return_attention_mask": False, "return_token_type_ids": False}
    if multiprocessing.parent_process() is not None:  # the cores belong to the other workers too
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    lists = tokenizer(texts, split_special_tokens=True, verbose=False, **options)["input_ids"]
    return [np.array(ids, dtype=np.int32) for ids in lists]


def fingerprint(tokenizer):
    """Give a text that tells apart tokenizers with different vocabularies or rules."""
    state = (len(tokenizer), *tokenizer.all_special_tokens)  # adding a token changes one of these
    known = tokenizer.__dict__.get("_arena_fingerprint")
    if known and known[0] == state:
        return known[1]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules = type(tokenizer).__name__, sorted(map(repr, tokenizer.init_kwargs.items()))
        content = repr((rules, sorted(tokenizer.get_vocab().items())))
    else:
        backend.no_truncation()  # both are set anew by each call
        backend.no_padding()
        content = backend.to_str()
    digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    tokenizer._arena_fingerprint = (state, digest)
    return digest


def clear_cache():
    """Forget every text."""
    global _held
    with _LOCK:
        _CACHE.clear()
        _held = 0


def _clean_ids(texts, tokenizer):
    """Tokenise what people wrote: no text can make a special token, no surrogate an error."""
    found = raw_ids([_without_surrogates(text) for text in texts], tokenizer)
    special = [i for i in tokenizer.all_special_ids if i != tokenizer.unk_token_id]
    names = [name for name in tokenizer.all_special_tokens if len(name) > 1]
    for place, ids in enumerate(found):
        if not np.isin(ids, special).any():
            continue
        text = _without_surrogates(texts[place])
        for name in names:
            text = text.replace(name, f"{name[0]} {name[1:]}")
        (ids,) = raw_ids([text], tokenizer)
        found[place] = ids[~np.isin(ids, special)]
    return found


def _without_surrogates(text):
    """Join surrogate pairs and replace lone ones, which Rust's strings refuse, by "?"."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return joined.replace("\ufffd", "?")
    return text


def _remember(mark, texts, found):
    global _held
    with _LOCK:
        for text in texts:
            if (mark, text) not in _CACHE:
                _CACHE[mark, text] = found[text]
                _held += _size(text, found[text])
        while _held > _ROOM:
            (_, text), ids = _CACHE.popitem(last=False)
            _held -= _size(text, ids)


def _size(text, ids):
    """Count the bytes of an entry: the key's tuple and the table take 200 more."""
    return sys.getsizeof(text) + sys.getsizeof(ids) + 200
