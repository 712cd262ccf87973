"""Give columns of raw values their meaning: cells, labels, ids and models of battles."""

import json
from collections import Counter
from itertools import chain
from math import inf
from types import NoneType

import numpy as np
import orjson

from arena_estimators.battles import COLUMNS, GROUP
from arena_estimators.exceptions import FileFormatError, warn

CONVERSATIONS = ("conversation_a", "conversation_b")
WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
IDS = ("id", "question_id")
MODELS = ("model_a", "model_b")
JUDGED = "turn"
KNOWN = frozenset((*IDS, *MODELS, *COLUMNS, GROUP, *CONVERSATIONS, JUDGED, *WINNERS, "winner"))

_LABELS = {
    "model_a": "model_a",
    "model_b": "model_b",
    "tie": "tie",
    "tie (bothbad)": "tie",
    "both_bad": "tie",
    "tie (inconsistent)": "tie",
}
_BITS = {"0": "0", "0.0": "0", "false": "0", "1": "1", "1.0": "1", "true": "1"}
_ONE_HOT = {("1", "0", "0"): "model_a", ("0", "1", "0"): "model_b", ("0", "0", "1"): "tie"}
SAMPLE_ROWS = 100
_LISTS_TO_WARN_OF = 10  # among the first cells; fewer than that may well be plain text
_DECODER = json.JSONDecoder(strict=False)


class _CellError(Exception):
    """What is wrong with a cell, and what was expected; the row and column are not known yet."""


class Schema:
    """How the columns of one file become battles.

    Parameters
    ----------
    path : str or path-like
        For the errors.
    names : list of str
        All columns of the file.
    cells : {"json", "text"}
    non_text : {"raise", "json"}
    """

    def __init__(self, path, names, cells, non_text):
        self.path, self.names = path, names
        self.cells, self.non_text = cells, non_text
        self.id = next((name for name in IDS if name in names), None)
        self.arena = not any(name in names for name in COLUMNS) and "conversation_a" in names
        self._require(CONVERSATIONS if self.arena else COLUMNS)
        self.one_hot = any(name in names for name in WINNERS)
        if self.one_hot:
            self._require(WINNERS)
            if "winner" in names:
                self._fail(f"both the column 'winner' and {WINNERS}; drop one of the two")

    def __call__(self, columns, first_row):
        """Convert one batch, whose first row is row `first_row` of the file."""
        rows = _Rows(self.path, columns.get(self.id), first_row)
        battles = self._from_conversations(columns, rows) if self.arena else {}
        if not self.arena:
            for name in COLUMNS:
                fast = _decode_lists(columns[name]) if self.cells == "json" else None
                battles[name] = fast or rows.apply(self._cell, columns[name], name)
        if self.one_hot:
            bits = list(zip(*(columns[name] for name in WINNERS), strict=True))
            try:
                labels = list(map(_ONE_HOT.get, bits))
            except TypeError:  # a list has no hash
                labels = [None]
            if None in labels:
                labels = rows.apply(_one_hot_label, bits, ", ".join(WINNERS))
            battles["y"] = labels
        elif "winner" in columns:
            battles["y"] = rows.apply(_label, columns["winner"], "winner")
        battles["id"] = columns.get(self.id)
        return battles | {name: columns.get(name) for name in (*MODELS, GROUP)}

    def _require(self, needed):
        missing = [name for name in needed if name not in self.names]
        if missing:
            pairs = {"chosen", "rejected"} <= set(self.names)
            hint = "; half of the chosen must become response_b, or it never wins" if pairs else ""
            self._fail(
                f"no column {', '.join(map(repr, missing))}. Expected prompt, response_a and "
                "response_b, or conversation_a and conversation_b; and winner_model_a, "
                "winner_model_b and winner_tie, or winner, or no label. "
                f"Found: {', '.join(map(str, self.names))}{hint}"
            )

    def _fail(self, problem):
        raise FileFormatError(f"{self.path} has {problem}.")

    def _cell(self, cell):
        if self.cells == "json" and isinstance(cell, str):
            turns = _decode_list(cell)
        elif self.cells == "json" and not (cell is None or isinstance(cell, list)):
            raise _CellError(f"{cell!r:.60}. Expected a JSON list of turns")
        else:
            turns = cell
        if turns.__class__ is not list:
            return self._turn(turns)
        for turn in turns:
            if turn.__class__ is not str and turn is not None:
                return [self._turn(turn) for turn in turns]
        return turns

    def _turn(self, turn):
        if turn is None or isinstance(turn, str):
            return turn
        writable = isinstance(turn, bool | int | float) and abs(turn) < inf
        if writable and self.non_text == "json":
            return json.dumps(turn)
        hint = ""
        if writable:
            hint = "; non_text='json' keeps true, false and numbers as their JSON text"
        elif isinstance(turn, dict) and {"role", "content"} <= turn.keys():
            hint = "; whole conversations are read from conversation_a and conversation_b alone"
        raise _CellError(f"{turn!r:.60}, which is not text. Expected text or null{hint}")

    def _from_conversations(self, columns, rows):
        sides = {
            name: rows.apply(self._conversation, columns[name], name) for name in CONVERSATIONS
        }
        if JUDGED in columns:
            ends = rows.apply(_last_turn, columns[JUDGED], JUDGED)
            for name, side in sides.items():
                judged = zip(side, ends, strict=True)
                sides[name] = [(asked[:end], answered[:end]) for (asked, answered), end in judged]
        pairs = zip(*([asked for asked, _ in side] for side in sides.values()), strict=True)
        prompts = rows.apply(_common_prompt, pairs, "conversation_a, conversation_b")
        responses = [
            [answered + [None] * (len(asked) - len(answered)) for (_, answered), asked in both]
            for both in (zip(side, prompts, strict=True) for side in sides.values())
        ]
        return dict(zip(COLUMNS, (prompts, *responses), strict=True))

    def _conversation(self, cell):
        """Split a conversation into the user's turns and their answers, None for a skipped one."""
        messages = _decode_list(cell, "messages") if isinstance(cell, str) else cell
        if not isinstance(messages, list):
            raise _CellError(f"{cell!r:.60}. Expected a list of messages")
        asked, answered = [], []
        for message in messages:
            if not (isinstance(message, dict) and {"role", "content"} <= message.keys()):
                raise _CellError(f"{message!r:.60}. Expected messages with role and content")
            role, content = message["role"], self._content(message["content"])
            if role == "user":
                answered += [None] * (len(asked) - len(answered))
                asked.append(content)
            elif role == "assistant" and len(answered) < len(asked):
                answered.append(content)
            elif role == "assistant":
                raise _CellError("an assistant's message that follows no user's message")
            else:
                raise _CellError(
                    f"a message of the role {role!r:.60}. Expected user and assistant; put the "
                    "text of a system message into the first user's message"
                )
        return asked, answered

    def _content(self, content):
        """Give the text of a message, which may be in parts."""
        if not isinstance(content, list | tuple | np.ndarray):
            return self._turn(content)
        for part in content:
            if not isinstance(part, dict) or part.get("text") is None:
                raise _CellError(f"{part!r:.60}, which is not text. Expected parts with text")
        return "\n".join(self._turn(part["text"]) for part in content)


class _Rows:
    """The rows of a batch, and how errors name them so that a user can find them."""

    def __init__(self, path, ids, first_row):
        self.path, self.ids, self.first_row = path, ids, first_row

    def apply(self, function, values, column):
        """Call `function` on every value; on a wrong one say where it is."""
        result = []
        try:
            for value in values:
                result.append(function(value))
        except _CellError as error:
            row = len(result)
            known = "" if self.ids is None else f" (id {self.ids[row]!s:.60})"
            raise FileFormatError(
                f"{self.path}: row {self.first_row + row}{known}, column {column}: {error}. "
                "Rows are counted from 0, without the header."
            ) from None
        return result


def guess_cells(columns):
    """Return "json" if most cells of the first rows, `columns`, look like lists, else "text"."""
    if CONVERSATIONS[0] in columns and not any(name in columns for name in COLUMNS):
        return "json"
    cells = chain.from_iterable(columns.get(name, ()) for name in COLUMNS)
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    shapes = Counter(text[0] + text[-1] == "[]" for text in texts if text)
    if shapes[True] > shapes[False]:
        return "json"
    if shapes[True] >= _LISTS_TO_WARN_OF:
        warn(
            f"{shapes[True]} of the first {shapes.total()} cells look like lists of turns, the "
            "others do not: all are read as text. If they are turns, write every cell as a list "
            "with json.dumps; if not, pass cells='text'."
        )
    return "text"


def _decode_lists(cells):
    """Decode cells fast if all of them are JSON lists of text and null; else give None.

    All cells are decoded together, as one list with line breaks between them. A JSON string may not
    hold a line break, so no string runs from one cell into the next; nor does a list, if each cell
    begins with [ and ends with ], and no list holds another.
    """
    try:
        if not all(cell[0] == "[" and cell[-1] == "]" for cell in cells):
            return None
        lists = orjson.loads("[" + ",\n".join(cells) + "]")
    except (TypeError, ValueError, LookupError):
        return None
    if len(lists) != len(cells) or not set(map(type, lists)) <= {list}:
        return None
    return lists if set(map(type, chain.from_iterable(lists))) <= {str, NoneType} else None


def _decode_list(cell, items="turns"):
    if not cell:
        return None
    try:
        value = _DECODER.decode(cell)
    except (ValueError, RecursionError) as error:
        python = cell.startswith(("['", "[{'"))
        hint = " (a Python list? write cells with json.dumps)" if python else ""
        advice = "; if the cells are plain text, pass cells='text'" if items == "turns" else ""
        raise _CellError(
            f"{cell!r:.60} is not JSON: {error}{hint}. Expected a JSON list of {items}{advice}"
        ) from None
    if value is None or isinstance(value, list):
        return value
    raise _CellError(f"{cell!r:.60}. Expected a JSON list of {items}")


def _last_turn(value):
    """Read the number of the turn that was judged, None if the cell is empty."""
    text = str(value).strip().removesuffix(".0")  # pandas makes floats of integers beside NaN
    if text in ("", "None", "nan"):
        return None
    if not (text.isdecimal() and len(text) < 10 and int(text)):
        raise _CellError(f"{value!r:.60}. Expected the number of the turn that was judged, from 1")
    return int(text)


def _common_prompt(pair):
    """Return the longer of two prompts, which must begin with the shorter one."""
    shorter, longer = sorted(pair, key=len)
    if longer[: len(shorter)] != shorter:
        raise _CellError(
            "the user's messages differ between the two. Expected one prompt for both responses"
        )
    return longer


def _one_hot_label(values):
    values = [str(value) for value in values]
    bits = tuple(_BITS.get(value.strip().lower()) for value in values)
    if bits not in _ONE_HOT:
        shown = ", ".join(value[:60] for value in values)
        raise _CellError(f"{shown}. Expected one 1 and two 0")
    return _ONE_HOT[bits]


def _label(value):
    if not isinstance(value, str) or value not in _LABELS:
        raise _CellError(f"{value!r:.60}. Expected one of {', '.join(map(repr, _LABELS))}")
    return _LABELS[value]
