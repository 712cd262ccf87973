"""Read a file or a frame in batches of columns of Python values, whatever they mean.

A reader yields triples: the names of all columns, a batch as a dict of lists of the `wanted`
columns, and the share of the file that is done.
"""

import gzip
import json
import os
import zlib
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from arena_estimators.exceptions import FileFormatError

# Columns of long cells. If these are JSON, as in most files, they are read without a dtype, which
# is far faster.
_LONG = ("prompt", "response_a", "response_b", "conversation_a", "conversation_b")


def find_reader(path):
    """Choose the reader by the ending of the name."""
    if os.path.isdir(path):
        raise FileFormatError(
            f"{path} is a folder; expected a file of battles in it. A whole folder of parquet "
            "files is read by pandas.read_parquet: pass what it returns."
        )
    for ending, reader in _READERS.items():
        if os.fspath(path).lower().endswith(ending):
            return reader
    ending = os.path.splitext(os.fspath(path))[1].lower()
    raise FileFormatError(
        f"{path}: unknown format. Expected a name that ends in {', '.join(_READERS)}."
        f"{_OTHERS.get(ending, '')}"
    )


def name_of(source):
    """Return what errors call a source: a file by its path, or "The DataFrame"."""
    return "The DataFrame" if isinstance(source, pd.DataFrame) else source


def read_batches(path, wanted, batch_rows, *, json_cells):
    """Yield the batches of a file or a frame; damage or no battles raise a FileFormatError.

    An OSError of the system's own, such as for a missing file, is passed on. `path` is a path or a
    frame. `json_cells` says that the long cells of a file may be JSON.
    """
    if isinstance(path, pd.DataFrame):
        reader = _read_frame
    else:
        reader = find_reader(path)
        os.stat(path)  # raises if there is no such file; pandas would try to download some names
    empty = True
    try:
        for batch in reader(path, wanted, batch_rows, json_cells):
            empty = False
            yield batch
    except UnicodeDecodeError as error:
        hint = _advise(path, "encoding='cp1252'") + _ENCODINGS if reader is _read_csv else ""
        raise FileFormatError(
            f"{path}: not UTF-8 text ({error}). Save it as UTF-8{hint}."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path}: damaged or cut-off gzip file ({error}).") from None
    except pd.errors.EmptyDataError:
        pass
    except (pd.errors.ParserError, pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, such as no permission
            raise
        hint = " The file may be cut off." if "EOF" in str(error) else ""
        message = str(error).strip()
        raise FileFormatError(f"{path}: cannot be read: {message}.{hint}") from None
    if empty:
        raise FileFormatError(f"{name_of(path)}: there are no battles.")


def _check_names(path, names, wanted):
    counts = Counter(name for name in names if name in wanted)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise FileFormatError(f"{path}: more than one column is named {', '.join(repeated)}.")


def _read_csv(path, wanted, batch_rows, json_cells):
    _check_kind(path)
    options = {"keep_default_na": False, "encoding": "utf-8"}
    first_rows = {"header": None, "dtype": str, **options}
    _check_separator(path, pd.read_csv(path, nrows=1, **first_rows).iloc[0].tolist())
    # The header is read as a row: below a header, pandas would make an index from longer rows.
    head = pd.read_csv(path, nrows=100, **first_rows)
    names = head.iloc[0].tolist()
    _check_names(path, names, wanted)
    long = [name for name in names if name in _LONG]
    sample = head.iloc[1:].set_axis(names, axis=1)[long]
    if not (json_cells and sample.map(lambda cell: cell.startswith("[")).to_numpy().all()):
        long = []
    options["dtype"] = {name: str for name in names if name not in long}
    options["compression"] = "gzip" if _is_packed(path) else None
    size, checked = os.path.getsize(path), False
    with open(path, "rb") as file, pd.read_csv(file, chunksize=batch_rows, **options) as frames:
        for frame in frames:
            if len(frame) == 0:
                break  # a header alone
            if not checked and (frame.iloc[:, -1].array == "").any():
                _check_row_lengths(path, names)
                checked = True
            columns = {name: frame[name].tolist() for name in names if name in wanted}
            yield names, columns, file.tell() / size


def _check_kind(path):
    """Refuse what is no text, or no UTF-8, whatever its name says."""
    with gzip.open(path) if _is_packed(path) else open(path, "rb") as file:
        head = file.read(4)
    for start, kind in _NO_TEXT.items():
        if head.startswith(start):
            raise FileFormatError(f"{path}: this is {kind}.")


def _check_separator(path, names):
    for separator in (";", "\t", "|"):
        if len(names) == 1 and separator in names[0]:
            raise FileFormatError(
                f"{path}: columns are separated by {separator!r}. Save it with commas"
                f"{_advise(path, f'sep={separator!r}')}."
            )


def _advise(path, option):
    return (
        f", or pass what pandas reads: load_arena(pandas.read_csv({str(path)!r}, {option}, "
        "dtype=str, keep_default_na=False))"
    )


def _is_packed(path):
    return os.fspath(path).lower().endswith(".gz")


def _check_row_lengths(path, names):
    """Refuse rows that are too short: pandas fills them with empty cells, pyarrow raises an error.

    Lines that hold only spaces and tabs do not count as rows; pandas skips them.
    """
    packed = "gzip" if _is_packed(path) else None
    with (
        pa.input_stream(_native(path), compression=packed) as file,
        pa.csv.open_csv(
            file,
            read_options=pa.csv.ReadOptions(block_size=64 << 20, use_threads=False),
            parse_options=pa.csv.ParseOptions(
                newlines_in_values=True,
                invalid_row_handler=lambda row: "error" if row.text.strip(" \t") else "skip",
            ),
            # As bytes: whether they are valid UTF-8 is for pandas to find out.
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.binary())),
        ) as batches,
    ):
        for _ in batches:
            pass


def _read_jsonl(path, wanted, batch_rows, json_cells):
    _check_kind(path)
    size, names, rows = os.path.getsize(path), [], []
    with open(path, "rb") as file:
        lines = gzip.open(file) if _is_packed(path) else file
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            row = _json_object(f"{path}: line {number}", line, wanted)
            found = wanted & row.keys()
            if not names:
                names, first = list(row), found
            differing = first ^ found
            if differing:
                keys = ", ".join(sorted(differing))
                raise FileFormatError(
                    f"{path}: line {number} and line 1 differ in the keys {keys}."
                )
            rows.append(row)
            if len(rows) == batch_rows:
                yield names, _columns(rows, first), file.tell() / size
                rows = []
    if rows:
        yield names, _columns(rows, first), 1.0


def _columns(rows, names):
    return {name: [row[name] for row in rows] for name in names}


def _json_object(place, line, wanted):
    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            _check_names(place, [key for key, _ in pairs], wanted)
        return dict(pairs)

    text = line.decode("utf-8-sig")
    try:
        row = json.loads(text, strict=False, object_pairs_hook=unique)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{place} is not JSON ({error}).") from None
    if not isinstance(row, dict) or not row:
        raise FileFormatError(f"{place} is not a JSON object with the columns of one battle.")
    return row


def _read_parquet(path, wanted, batch_rows, json_cells):
    with _native(path) as source, pa.parquet.ParquetFile(source) as file:
        names = file.schema_arrow.names
        _check_names(path, names, wanted)
        read, total = 0, file.metadata.num_rows
        columns = {name: [] for name in names if name in wanted}
        for batch in file.iter_batches(batch_rows, columns=list(columns)):
            read += batch.num_rows
            for name, cells in columns.items():
                cells.extend(batch[name].to_pylist())
            # Where a column holds categories, a batch ends where a row group does, too.
            if read % batch_rows == 0 or read == total:
                yield names, columns, read / total
                columns = {name: [] for name in columns}


def _native(path):
    """Open a file for pyarrow by the bytes of its name; as text, it takes only names in UTF-8."""
    return pa.OSFile(os.fsencode(path))


def _read_frame(frame, wanted, batch_rows, json_cells):
    names = list(frame.columns)
    _check_names(name_of(frame), names, wanted)
    for start in range(0, len(frame), batch_rows):
        part = frame.iloc[start : start + batch_rows]
        columns = {name: _plain_cells(part[name]) for name in names if name in wanted}
        yield names, columns, min(1.0, (start + batch_rows) / len(frame))


def _plain_cells(column):
    """Give the cells of a column: None for missing ones, lists for tuples and parquet's arrays."""
    cells = column.astype(object).where(column.notna(), None).tolist()
    cells = [list(cell) if isinstance(cell, tuple) else cell for cell in cells]
    return [cell.tolist() if isinstance(cell, np.ndarray) else cell for cell in cells]


_ENCODINGS = (
    ". cp1252 is Western Europe's and turns any other into wrong letters, often without an error: "
    "Chinese is in gb18030 or big5, Japanese in cp932, Korean in cp949, Russian in cp1251, Arabic "
    "in cp1256"
)
_NO_TEXT = {
    b"\x1f\x8b": "a gzip file; add .gz to its name",
    b"PK\x03\x04": "a zip file, such as Excel's are; unzip it, or save the table as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel file; save the table as CSV",
    b"PAR1": "a parquet file; let its name end in .parquet",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
}
_READERS = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
}
_TABLE = " Save the table as CSV, or pass what pandas.read_excel gives."
_OTHERS = {
    ".json": " Name it .jsonl if each line is an object, or pass what pandas.read_json gives with "
    "dtype=False.",
    ".tsv": " Save it with commas, or pass what pandas.read_csv gives with sep='\\t', dtype=str, "
    "keep_default_na=False.",
    ".zip": " Unzip it first.",
    ".xlsx": _TABLE,
    ".xls": _TABLE,
    ".ods": _TABLE,
}
