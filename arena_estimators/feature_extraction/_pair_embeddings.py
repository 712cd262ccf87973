"""PairEmbeddings: what a pretrained encoder makes of two responses, as numbers."""

import contextlib
import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
from arena_estimators._encoder._layout import TRUNCATIONS
from arena_estimators._validation import (
    Interval,
    ReadsBattles,
    StrOptions,
    check_blocks,
    fit_context,
    validate_battles,
)
from arena_estimators.exceptions import ArenaError
from arena_estimators.feature_extraction._vector_cache import VectorCache

BLOCKS = ("difference", "absolute", "product", "similarity")
_STORED_AT_ONCE = 4096  # vectors; an interrupted run loses at most that many


class PairEmbeddings(ReadsBattles, TransformerMixin, BaseEstimator):
    """Vectors of a frozen Hugging Face encoder, compared between the two responses.

    The encoder reads each distinct pair of prompt and response once and gives one vector; the
    blocks say how the vectors of a and b become columns. Nothing is trained.

    Parameters
    ----------
    encoder : str or path-like, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder, or a name on the Hugging Face hub; see :class:`BertPairClassifier` for what is
        refused. The default is found without a network where the extra `minilm` is installed.
    pooling : {"auto", "mean", "cls", "last", "max"}, default="auto"
        How the vectors of the tokens become one. "auto" takes what the encoder was made for: the
        pooling named in the folder of a sentence encoder, else the last token for one that reads
        from left to right, else the mean. Where transformers alone has fetched the encoder, the
        cache lacks `1_Pooling`, which names it: pass the pooling then, such as "cls" for BGE.
    blocks : str, or list or tuple of str, default="difference"
        Which of these to give, one or more; the columns are in the order of `blocks`:

        - `"difference"`: a - b.
        - `"absolute"`: abs(a - b).
        - `"product"`: a * b.
        - `"similarity"`: the cosine of a and b, one column.

        The first is odd: swapping the responses negates every column exactly, which is what
        `DavidsonClassifier` needs. The others are symmetric: swapping changes nothing.
    normalize : bool, default=True
        Scale every vector to unit length.
    max_length : int, default=512
        The most tokens that the encoder reads of a prompt and a response together; fewer if it
        cannot read that many.
    prompt_share : float, default=0.25
        The part of them that belongs to the prompt. What one side does not need goes to the other.
    truncation : {"head_tail", "middle", "head", "tail"}, default="head_tail"
        What is kept of a text that is too long: three quarters from its beginning and one from its
        end, two equal halves, the beginning, or the end. The place is marked.
    batch_tokens : int, default=None
        Tokens of a batch; None means 65,536 on a CUDA GPU and 1,024 elsewhere.
    precision : {"auto", "fp32", "bf16", "fp16"}, default="auto"
        What to compute in. "auto" is float32 on a CPU and on Apple's GPUs, else bfloat16 or, on
        GPUs without it, float16.
    device : str, default="auto"
        A torch device; "auto" is a GPU if there is one.
    cache_dir : str or path-like, default=None
        A folder in which vectors are kept; they are looked up by the encoder's weights, the
        settings and the text. Several processes may share it. It may be deleted at any time.
    verbose : bool, default=False
        Show progress bars: for tokenising, if it takes over two seconds, and for the vectors.

    Attributes
    ----------
    blocks_ : tuple of str
        The blocks of columns, in their order.
    fingerprint_ : str
        Of the encoder's weights and configuration. `transform` refuses another encoder under the
        same name, and another tokenizer beside it.
    width_ : int
        Number of columns of one vector.
    n_features_in_ : int
        3: the prompt and the two responses.
    feature_names_in_ : ndarray of shape (3,)
        Their names, in the order of the fitted frame.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract.
    ResourceNotFoundError, MissingExtraError
        If the encoder is not here and cannot be fetched, or a package that it needs is missing.
    ArenaError
        If `blocks` is empty, repeats a block or names an unknown one; if the encoder is of a
        family that is refused; if `cache_dir` cannot be written. In `transform` if the encoder is
        no longer the same or its files are damaged, if `device` is not there, if `max_length` is
        too short, if memory runs out, or if vectors are not finite.

    Warns
    -----
    ArenaWarning
        If over a quarter of the tokens are unknown to the encoder's tokenizer, or if cells look
        like JSON.

    See Also
    --------
    BertPairClassifier : Trains the encoder on battles.
    PairStyleFeatures : How the responses are written.

    Notes
    -----
    A pickle holds the name of the encoder and the settings, not its weights: where it is loaded,
    `encoder` must be found as in `fit`, with the same files, or be set to a folder that holds them.
    It keeps `cache_dir`, too: set that to None where the folder is not to be made.
    The weights are read when they are first needed; between calls they stay in memory on the CPU,
    and the GPU holds nothing. Up to 256 MiB of texts and their tokens are kept as well, shared by
    all estimators of the process.

    Every call encodes all its texts, without a GPU at a few battles per second and core: pass
    `cache_dir` where more than one fit sees the same texts, as in cross-validation.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import PairEmbeddings, swap
    >>> X = pd.DataFrame({
    ...     "prompt": ["Name two colours.", "Hi"],
    ...     "response_a": ["Red and blue.", "Hello!"],
    ...     "response_b": ["I like trains.", "Hello!"],
    ... })
    >>> embeddings = PairEmbeddings(blocks=("difference", "similarity")).fit(X)
    >>> D = embeddings.transform(X)
    >>> D.shape
    (2, 385)
    >>> D[:, -1].round(2)
    array([0.75, 1.  ], dtype=float32)
    >>> bool((embeddings.transform(swap(X))[:, :-1] == -D[:, :-1]).all())
    True
    """

    _parameter_constraints = {
        "encoder": [str, os.PathLike],
        "pooling": [StrOptions({"auto", "mean", "cls", "last", "max"})],
        "blocks": [StrOptions(set(BLOCKS)), list, tuple],
        "normalize": ["boolean"],
        "max_length": [Interval(Integral, 8, None, closed="left")],
        "prompt_share": [Interval(Real, 0, 1, closed="neither")],
        "truncation": [StrOptions(set(TRUNCATIONS))],
        "batch_tokens": [Interval(Integral, 1, None, closed="left"), None],
        "precision": [StrOptions({"auto", "fp32", "bf16", "fp16"})],
        "device": [str],
        "cache_dir": [str, os.PathLike, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        encoder=DEFAULT_ENCODER,
        *,
        pooling="auto",
        blocks="difference",
        normalize=True,
        max_length=512,
        prompt_share=0.25,
        truncation="head_tail",
        batch_tokens=None,
        precision="auto",
        device="auto",
        cache_dir=None,
        verbose=False,
    ):
        self.encoder = encoder
        self.pooling = pooling
        self.blocks = blocks
        self.normalize = normalize
        self.max_length = max_length
        self.prompt_share = prompt_share
        self.truncation = truncation
        self.batch_tokens = batch_tokens
        self.precision = precision
        self.device = device
        self.cache_dir = cache_dir
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find the encoder; nothing is learned from the battles.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Labels. They are checked to be the arena's, and not used.

        Returns
        -------
        PairEmbeddings
            Itself.
        """
        validate_battles(self, X, y)
        self.blocks_, folder = self.check_settings()
        found = _open_encoder(folder)
        self.fingerprint_, self.width_ = found.fingerprint, found.width
        # A copy of the folder may lack these.
        self._tokenizer, self._own_pooling = found.tokenizer_fingerprint, found.pooling
        self._found, self._found_as = found, self.encoder
        return self

    def transform(self, X):
        """Compare the vectors of the two responses.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, n_features) of float32
            The blocks side by side, in the order of `get_feature_names_out`.
        """
        check_is_fitted(self, "width_")
        self._validate_params()  # some may be set after fit
        validate_battles(self, X, reset=False)
        a, b = self._pooled(X)
        make = {
            "difference": lambda: a - b,
            "absolute": lambda: np.abs(a - b),
            "product": lambda: a * b,
            "similarity": lambda: np.sum(_unit(a) * _unit(b), axis=1, keepdims=True),
        }
        return np.hstack([make[block]() for block in self.blocks_])

    def get_feature_names_out(self, input_features=None):
        """Name the columns: block, underscores, number, as `difference__17`; `similarity__cosine`.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "width_")
        names = [
            f"{block}__{number}"
            for block in self.blocks_
            for number in (["cosine"] if block == "similarity" else range(self.width_))
        ]
        return np.array(names, dtype=object)

    def check_settings(self):
        """Refuse settings that cannot work on this machine, before anything is computed.

        Returns
        -------
        blocks : tuple of str
        folder : pathlib.Path
            The encoder's.
        """
        blocks = check_blocks(self.blocks, BLOCKS)
        if self.cache_dir is not None:
            VectorCache(self.cache_dir)
        return blocks, find_encoder(self.encoder)

    def _pooled(self, X):
        """Give the vectors of a and of b, each of shape (n_battles, width_)."""
        from arena_estimators._encoder._tokenise import tokenise, warn_of_unknown

        found = self._find_again()
        budget = {"prompt_share": self.prompt_share, "truncation": self.truncation}
        length = min(self.max_length, found.longest_input or self.max_length)
        progress = bool(self.verbose)
        tokenised = tokenise(X, found.tokenizer, max_length=length, progress=progress, **budget)
        warn_of_unknown(tokenised.sequences, found.tokenizer)
        vectors = self._vectors(found, tokenised.sequences)
        if self.normalize:
            vectors = _unit(vectors)
        return vectors[tokenised.rows[:, 0]], vectors[tokenised.rows[:, 1]]

    def _find_again(self):
        """Return the encoder seen in `fit`; until its weights are read, check it is that one."""
        if self.__dict__.get("_found_as") == self.encoder:
            found = self._found
        else:  # loaded from a pickle, or set after `fit`
            found = _open_encoder(find_encoder(self.encoder))
        if not found.is_loaded and found.fingerprint != self.fingerprint_:
            raise ArenaError(
                f"The encoder found as {self.encoder!r} ({found.folder}) has other weights, or "
                "another configuration, than the one this estimator was fitted with. Fit it again, "
                "or put the same encoder there."
            )
        if not found.is_loaded and found.tokenizer_fingerprint != self._tokenizer:
            raise ArenaError(
                f"The tokenizer of the encoder found as {self.encoder!r} ({found.folder}) makes "
                "other tokens of a text than the one this estimator was fitted with. Put all of "
                "that tokenizer's files there, tokenizer_config.json among them, or fit the "
                "estimator again."
            )
        self._found, self._found_as = found, self.encoder
        return found

    def _vectors(self, found, sequences):
        """Give a vector for each sequence, from the cache where it is known."""
        from arena_estimators._encoder import _placement, _run

        device = _run.resolve_device(self.device)
        pooling = self._own_pooling if self.pooling == "auto" else self.pooling
        computed_in = _run.resolve_precision(self.precision, device)
        keys = _run.digests(sequences, f"2 {self.fingerprint_} {pooling} {computed_in}")
        cache = VectorCache(self.cache_dir) if self.cache_dir is not None else None
        known = cache.load(keys) if cache else {}
        place_of = {key: place for place, key in enumerate(keys)}
        # Sorted, so that the same texts are computed together whatever the order of the battles.
        missing = sorted(set(keys) - set(known))
        step = _STORED_AT_ONCE if cache else max(1, len(missing))
        bar = _run.encoding_bar(len(missing), bool(self.verbose and missing))
        placed = contextlib.nullcontext()
        if missing:  # which is when the weights are read
            placed = _placement.on_device(found.model, device, computed_in, len(missing))
        with bar, placed as model:
            for start in range(0, len(missing), step):
                part = missing[start : start + step]
                vectors = _run.encode(
                    model,
                    sequences.take([place_of[key] for key in part]),
                    pooling=pooling,
                    device=device,
                    batch_tokens=self.batch_tokens,
                    precision=self.precision,
                    progress=bar,
                )
                known.update(zip(part, vectors, strict=True))
                if cache:
                    cache.store(part, vectors)
        return np.array([known[key] for key in keys], np.float32).reshape(len(keys), self.width_)

    def __getstate__(self):
        state = super().__getstate__()
        return {name: value for name, value in state.items() if not name.startswith("_found")}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _open_encoder(folder):
    from arena_estimators._encoder._frozen import FrozenEncoder

    return FrozenEncoder(folder)


def _unit(vectors):
    """Scale rows to length one; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
