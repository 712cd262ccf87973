"""PairStyleFeatures: the style of two responses as named numbers."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from arena_estimators._validation import (
    ReadsBattles,
    StrOptions,
    check_blocks,
    fit_context,
    validate_battles,
)
from arena_estimators.battles import PROMPT, RESPONSE_A, RESPONSE_B, turns_of
from arena_estimators.exceptions import ArenaError
from arena_estimators.feature_extraction._style_counts import MEASURES, measure_texts
from arena_estimators.feature_extraction._style_relations import (
    ANSWER_MEASURES,
    PROMPT_MEASURES,
    SIMILARITY_MEASURES,
    measure_answers,
    measure_prompts,
    measure_similarity,
)
from arena_estimators.feature_extraction._style_words import MAX_TEXTS

ODD = ("difference", "ratio", "tanh", "interaction")
SYMMETRIC = ("absolute", "sum", "similarity", "prompt")
BLOCKS = (*ODD, *SYMMETRIC)
_MEASURES = (*MEASURES, *ANSWER_MEASURES)
_CHUNK = 300_000  # characters measured at once: much per call of NumPy, yet within a CPU's cache


class PairStyleFeatures(ReadsBattles, TransformerMixin, BaseEstimator):
    """The style of two responses as dense, named numbers.

    Length, markdown, characters, wording, loops, ending and fit to the prompt are measured on the
    raw text of each response (clean the text after this step, not before it), the same way on
    either side. The blocks say how the measures of a and b become columns.

    Parameters
    ----------
    blocks : str, or list or tuple of str, default=("difference", "ratio", "tanh")
        Which of these to give, one or more; the columns are in the order of `blocks`:

        - `"difference"`: a - b.
        - `"ratio"`: (a - b) / (abs(a) + abs(b)), and 0 where both are 0.
        - `"tanh"`: tanh((a - b) / scale), scale being the root mean square of the differences
          seen in `fit`.
        - `"interaction"`: the `"tanh"` column times tanh of the standardised a + b. It lets a gap
          count more, or less, where the two responses have much of what is measured.
        - `"absolute"`: abs(a - b).
        - `"sum"`: a + b.
        - `"similarity"`: how alike the two responses are: the Jaccard index of their words and
          whether they are identical.
        - `"prompt"`: size, characters and kind of the prompt.

        The first four are odd: swapping the responses negates every column exactly, which is
        what `DavidsonClassifier` needs. The others are symmetric: swapping changes nothing.

    Attributes
    ----------
    blocks_ : tuple of str
        The blocks of columns, in their order.
    scale_ : ndarray of shape (n_measures,)
        Root mean square of a - b in the fitted battles, 1 for a measure that never differed. It is
        the same for swapped battles.
    sum_mean_, sum_scale_ : ndarray of shape (n_measures,)
        Mean and standard deviation of a + b, for the block `"interaction"`.
    n_features_in_ : int
        3: the prompt and the two responses.
    feature_names_in_ : ndarray of shape (3,)
        Their names, in the order of the fitted frame.

    Raises
    ------
    BattlesError, LabelsError
        If `X` or `y` break the data contract.
    ArenaError
        If `blocks` is empty, repeats a block or names an unknown one, or if `fit` gets no battles.

    See Also
    --------
    PairTfidfVectorizer : Which words the responses use.
    DavidsonClassifier : Reads the odd blocks.

    Notes
    -----
    Counts enter as log(1 + count), and the mean length of words is capped at 30. A response without
    text (missing, `[]`, null turns, blanks) has `empty` = 1 and 0 for all else. Turns are joined by
    a blank line.

    The measures of a response, with shares of its words or characters unless stated otherwise:

    - `empty` (share of turns without text), `log_turns`, `log_characters`, `log_words`,
      `log_distinct_words`, `log_sentences`, `log_lines` (line breaks), `log_paragraphs`;
    - `log_long_words` (distinct ones of eight characters or more), `long_words` (share of such),
      `word_length`, `log_sentence_length` (in words), `type_token_ratio` (share of distinct words);
    - `headers`, `ordered_items`, `bullet_items`, `bold`, `table_rows`, `code_blocks`,
      `inline_code`, `links`: counts of what markdown marks;
    - `digits`, `non_ascii`, `commas`: shares; `emoji`, `questions`, `exclamations`, `semicolons`,
      `quotes`, `parentheses`, `dashes`: counts of such marks; `names`: count of capitalised words
      amid a sentence;
    - `first_person`, `hedges`, `function_words`: shares of such words; `refusals`, `apologies`,
      `examples`, `self_mentions` ("as an AI"): counts of such phrases;
    - `repeated_lines` (share of lines that came before), and whether it `greets` ("Hello", "Sure"),
      `offers_more` (help, in its last 250 characters), `ends_asking` (the last character is a
      question mark), is `finished` (that character is an emoji or a mark that may end a text) or
      `cut_off` (a code block is left open, or a long last line is not `finished`);
    - `prompt_overlap` (share of the prompt's words it takes up), `log_new_words` (distinct ones the
      prompt lacks), both without function words, `script_match` (1 minus the distance between the
      two `non_ascii`), `format_match` (whether it has the code, list, table or brevity asked for).

    The block `"similarity"` has `shared_words` and `identical`; `"prompt"` has some of the above
    for the prompt, and what its words ask for: `asks_code`, `asks_list`, `asks_table`,
    `asks_brief`, `asks_prose`, `asks_edit`, `asks_fact`, `asks_how`, `asks_number`.

    References
    ----------
    Headers, list items and bold follow Arena's style control: Li, Angelopoulos and Chiang, "Does
    style matter? Disentangling style and substance in Chatbot Arena" (2024),
    https://lmsys.org/blog/2024-08-28-style-control/, which also normalises differences by sums.

    Examples
    --------
    >>> import pandas as pd
    >>> from arena_estimators import PairStyleFeatures, swap
    >>> X = pd.DataFrame({
    ...     "prompt": ["Name two colours."],
    ...     "response_a": ["Sure! **Red** and **blue**."],
    ...     "response_b": ["red"],
    ... })
    >>> style = PairStyleFeatures().set_output(transform="pandas").fit(X)
    >>> D = style.transform(X)
    >>> D[["difference__bold", "ratio__log_words"]].round(2)
       difference__bold  ratio__log_words
    0               1.1               0.4
    >>> bool((style.transform(swap(X)) == -D).all(axis=None))
    True
    """

    _parameter_constraints = {
        "blocks": [StrOptions(set(BLOCKS)), list, tuple],
    }

    def __init__(self, blocks=("difference", "ratio", "tanh")):
        self.blocks = blocks

    def fit(self, X, y=None):
        """Learn the scale of the differences.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Labels. They are checked to be the arena's, and not used.

        Returns
        -------
        PairStyleFeatures
            Itself.
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn the scale and transform in one pass; equal to `fit(X).transform(X)`.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.
        y : array-like of shape (n_battles,), optional
            Labels. They are checked to be the arena's, and not used.

        Returns
        -------
        ndarray of shape (n_battles, n_features)
            As in `transform`.
        """
        validate_battles(self, X, y)
        if len(X) == 0:
            raise ArenaError("X has 0 battles; fit needs at least one.")
        self.blocks_ = check_blocks(self.blocks, BLOCKS)
        measured = self._measure(X)
        total = measured["a"] + measured["b"]
        self.scale_ = _not_zero(np.sqrt(np.mean((measured["a"] - measured["b"]) ** 2, axis=0)))
        self.sum_mean_ = total.mean(axis=0)
        self.sum_scale_ = _not_zero(total.std(axis=0))
        return self._combine(measured)

    def transform(self, X):
        """Measure battles.

        Parameters
        ----------
        X : DataFrame of shape (n_battles, n_columns)
            Battles.

        Returns
        -------
        ndarray of shape (n_battles, n_features) of float32
            The blocks side by side, in the order of `get_feature_names_out`.
        """
        check_is_fitted(self, "sum_scale_")
        validate_battles(self, X, reset=False)
        return self._combine(self._measure(X))

    def get_feature_names_out(self, input_features=None):
        """Name the columns: block, two underscores, measure; such as `difference__log_words`.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self, "sum_scale_")
        special = {"similarity": SIMILARITY_MEASURES, "prompt": PROMPT_MEASURES}
        names = [
            f"{block}__{measure}"
            for block in self.blocks_
            for measure in special.get(block, _MEASURES)
        ]
        return np.array(names, dtype=object)

    def _measure(self, X):
        """Measure each distinct text once per chunk; rows with the same prompt stand together."""
        cells = [list(map(_hashable, X[column])) for column in (PROMPT, RESPONSE_A, RESPONSE_B)]
        seen = {}
        order = np.argsort([seen.setdefault(key, len(seen)) for key in cells[0]], kind="stable")
        rows = ([column[i] for column in cells] for i in order)
        parts = [_measure_chunk(self.blocks_, *chunk) for chunk in _chunks(rows)]
        back = np.argsort(order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}

    def _combine(self, measured):
        a, b = measured["a"], measured["b"]
        make = {
            "difference": lambda: a - b,
            "ratio": lambda: _ratio(a, b),
            "tanh": lambda: np.tanh((a - b) / self.scale_),
            "interaction": lambda: (
                np.tanh((a - b) / self.scale_) * np.tanh((a + b - self.sum_mean_) / self.sum_scale_)
            ),
            "absolute": lambda: np.abs(a - b),
            "sum": lambda: a + b,
            "similarity": lambda: measured["similarity"],
            "prompt": lambda: measured["prompt"],
        }
        return np.hstack([make[block]().astype(np.float32) for block in self.blocks_])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


def _ratio(a, b):
    return (a - b) / _not_zero(np.abs(a) + np.abs(b))


def _not_zero(scale):
    return np.where(scale > 1e-12, scale, 1.0)


def _hashable(cell):
    turns = turns_of(cell)
    return turns[0] if len(turns) == 1 else tuple(turns)  # "Hi" and ["Hi"] are one text


def _chunks(rows):
    """Cut rows into chunks; yield each one's distinct cells, and each row's positions in them."""
    numbers, cells, size = [], {}, 0
    for row in rows:
        if size > _CHUNK or len(cells) > MAX_TEXTS - 3:
            yield list(cells), np.array(numbers)
            numbers, cells, size = [], {}, 0
        for cell in row:
            if cell not in cells:
                cells[cell] = len(cells)
                size += sum(map(len, filter(None, turns_of(cell))))
        numbers.append([cells[cell] for cell in row])
    yield list(cells) or [None], np.array(numbers, dtype=np.intp).reshape(-1, 3)


def _measure_chunk(blocks, cells, numbers):
    """Measure the distinct cells of a chunk; return matrices, by name, with a row per battle."""
    values, words = measure_texts(cells)
    asked = measure_prompts(values, words)
    prompt, *responses = numbers.T
    measured = {}
    if "prompt" in blocks:
        measured["prompt"] = _as_columns(asked, prompt)
    if "similarity" in blocks:
        measured["similarity"] = _as_columns(measure_similarity(words, *responses))
    for side, response in zip("ab", responses, strict=True):
        answers = measure_answers(asked, values, words, prompt, response)
        measured[side] = np.hstack([_as_columns(values, response), _as_columns(answers)])
    return measured


def _as_columns(values, rows=slice(None)):
    return np.column_stack([*values.values()])[rows]
