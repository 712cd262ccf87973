"""Read a file in batches of columns of raw values; what they mean is not known here.

A reader yields triples: the names of all columns, a batch as a dict of the `wanted` columns, and
the share of the file that is done. A column is a list of Python values; text that may be JSON, of
which there is much, is left as an array of pyarrow.
"""

import gzip
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from arena_estimators.battles import COLUMNS
from arena_estimators.exceptions import FileFormatError

_BLOCK = 4 << 20  # bytes of CSV read at a time, and the longest row there may be
_ROWS = 2000  # of the other formats


def find_reader(path):
    """Choose the reader by the ending of the name."""
    for ending, reader in _READERS.items():
        if os.fspath(path).lower().endswith(ending):
            return reader
    raise FileFormatError(f"{path}: unknown format. Expected a name that ends in {_ENDINGS}.")


def read_batches(path, wanted, batch_rows=None):
    """Yield the batches of a file; what is wrong with the file as such is a FileFormatError.

    Without `batch_rows`, batches are as large as is fastest.
    """
    reader, empty = find_reader(path), True
    try:
        for batch in reader(path, wanted, batch_rows):
            empty = False
            yield batch
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text ({error}). Save it as UTF-8.") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{path}: damaged or cut-off gzip file ({error}).") from None
    except pa.ArrowException as error:
        message = str(error).strip()
        if "Empty CSV file" not in message:
            hint = next((hint for part, hint in _HINTS.items() if part in message), "")
            raise FileFormatError(f"{path}: cannot be read: {message}.{hint}") from None
    if empty:
        raise FileFormatError(f"{path}: the file has no battles.")


_HINTS = {
    "UTF8": " It is not UTF-8 text; save it as UTF-8.",
    "straddling": " A row is longer than 4 MiB, or a quotation mark is never closed.",
}


def _check_names(path, names):
    repeated = sorted({str(name) for name in names if list(names).count(name) > 1})
    if repeated:
        raise FileFormatError(f"{path}: more than one column is named {', '.join(repeated)}.")


def _read_csv(path, wanted, batch_rows):
    names = _open_csv(path)[0].schema.names
    _check_names(path, names)
    texts = dict.fromkeys(names, pa.string())
    keep = [name for name in names if name in wanted]
    # The last column tells whether the file is whole.
    stream, raw = _open_csv(
        path, column_types=texts, include_columns=list(dict.fromkeys([*keep, names[-1]]))
    )
    size, part = os.path.getsize(path), None
    for part in _parts(_ahead(stream), batch_rows):
        yield names, _values(part, keep), raw.tell() / size
    if part is not None and not _is_packed(path):  # a gzip file knows its own end
        _check_end(path, part[names[-1]][-1].as_py())


def _open_csv(path, **convert):
    raw = open(path, "rb") if _is_packed(path) else pa.OSFile(os.fspath(path))
    stream = pa.csv.open_csv(
        gzip.open(raw) if _is_packed(path) else raw,
        read_options=pa.csv.ReadOptions(block_size=_BLOCK),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(**convert),
    )
    return stream, raw


def _is_packed(path):
    return os.fspath(path).lower().endswith(".gz")


def _ahead(batches):
    """Read the next batch in a thread, while the last one is decoded."""
    batches = iter(batches)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _parts(batches, rows):
    """Cut batches into new ones of so many rows, the last of which may have fewer."""
    if rows is None:
        yield from batches
        return
    rest = None
    for batch in batches:
        table = pa.Table.from_batches([batch])
        rest = table if rest is None else pa.concat_tables([rest, table])
        while len(rest) >= rows:
            yield rest[:rows].combine_chunks().to_batches()[0]
            rest = rest[rows:]
    if rest:
        yield rest.combine_chunks().to_batches()[0]


def _values(batch, names):
    text = (pa.string(), pa.large_string())
    return {
        name: batch[name]
        if name in COLUMNS and batch[name].type in text
        else batch[name].to_pylist()
        for name in names
    }


def _check_end(path, last):
    """Refuse a file that ends within quotation marks; pyarrow takes what there is of the cell."""
    quoted = '"' + last.replace('"', '""') + '"'
    with open(path, "rb") as file:
        file.seek(-min(os.path.getsize(path), len(quoted.encode()) + 4), os.SEEK_END)
        end = file.read().decode(errors="replace").rstrip("\r\n")
    if not (end.endswith(quoted) or (end.endswith(last) and not end.endswith('"' + last))):
        raise FileFormatError(
            f"{path}: cannot be read: the last row ends within quotation marks. The file may be "
            "cut off."
        )


def _read_jsonl(path, wanted, batch_rows):
    size, names, rows = os.path.getsize(path), None, []
    with open(path, "rb") as file:
        lines = gzip.open(file) if _is_packed(path) else file
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            row = _json_object(f"{path}: line {number}", line)
            names = names or list(row)
            differing = wanted & (row.keys() ^ set(names))
            if differing:
                keys = ", ".join(sorted(differing))
                raise FileFormatError(
                    f"{path}: line {number} and line 1 differ in the keys {keys}."
                )
            rows.append(row)
            if len(rows) == (batch_rows or _ROWS):
                yield names, _columns(rows, wanted & set(names)), file.tell() / size
                rows = []
    if rows:
        yield names, _columns(rows, wanted & set(names)), 1.0


def _columns(rows, names):
    return {name: [row[name] for row in rows] for name in names}


def _json_object(place, line):
    def unique(pairs):
        if len(dict(pairs)) != len(pairs):
            _check_names(place, [key for key, _ in pairs])
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


def _read_parquet(path, wanted, batch_rows):
    with open(path, "rb") as raw, pa.parquet.ParquetFile(raw) as file:
        names = file.schema_arrow.names
        _check_names(path, names)
        done, total = 0, file.metadata.num_rows
        keep = [name for name in names if name in wanted]
        for batch in file.iter_batches(batch_rows or _ROWS, columns=keep):
            done += batch.num_rows
            yield names, _values(batch, keep), done / total


_READERS = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
}
_ENDINGS = ", ".join(_READERS)
