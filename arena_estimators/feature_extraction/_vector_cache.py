"""Vectors on disk, found again by the content they were computed from."""

import contextlib
import functools
import uuid
import zlib

import numpy as np

from arena_estimators._files import atomic_write, explained, writable_folder

KEY_BYTES = 16
FEWEST_JOINED = 8  # files
LARGEST_JOINED = 2**22  # bytes of a file; joining larger ones would take longer than it saves


class VectorCache:
    """A folder of files that are written once and never changed, but joined to larger ones.

    Each file holds an array of records: key, checksum, vector. A file appears under its name only
    when it is complete, and goes only when another holds its records, so any number of processes
    may write at the same time. What is damaged, or went meanwhile, counts as absent.

    Parameters
    ----------
    folder : str or path-like
        Made if it is not there.

    Raises
    ------
    ArenaError
        If the folder cannot be made or written.
    """

    def __init__(self, folder):
        self.folder = writable_folder(folder, "cache_dir")

    def load(self, keys):
        """Read what is known.

        Parameters
        ----------
        keys : iterable of bytes

        Returns
        -------
        dict of bytes to ndarray
            The vectors of those keys that are known.
        """
        wanted, found = set(keys), {}
        for path in sorted(self.folder.glob("*.npy")):
            if not wanted:
                break
            with contextlib.suppress(OSError):  # deleted meanwhile
                status = path.stat()
                rows = _rows_of(path, status.st_mtime_ns, status.st_size)
                here = wanted.intersection(rows)
                records = _open(path) if here else None
                if records is None or len(records) < len(rows):  # deleted since they were read
                    continue
                for key in here:
                    vector = np.array(records["vector"][rows[key]])
                    if zlib.crc32(vector.tobytes()) == records["check"][rows[key]]:
                        found[key] = vector
                        wanted.remove(key)
        return found

    def store(self, keys, vectors):
        """Write vectors under their keys, in one file with those of earlier small files, if many.

        Joining files of similar sizes leaves few, however many calls there are.
        """
        width = vectors.shape[1]
        known, joined = self._small(len(keys) * _dtype(width).itemsize, width)
        known.update(zip(keys, vectors, strict=True))
        records = np.empty(len(known), dtype=_dtype(width))
        records["key"] = np.frombuffer(b"".join(known), dtype=f"V{KEY_BYTES}")
        records["vector"] = list(known.values())
        records["check"] = [zlib.crc32(vector.tobytes()) for vector in records["vector"]]
        writable_folder(self.folder, "cache_dir")  # it may have been deleted meanwhile
        with (
            explained(self.folder, "cache_dir"),
            atomic_write(self.folder / f"{uuid.uuid4().hex}.npy") as file,
        ):
            np.save(file, records, allow_pickle=False)
        for path in joined:
            with contextlib.suppress(OSError):  # another process joined it, too
                path.unlink()

    def _small(self, size, width):
        """Return the vectors of files about as small as `size` bytes, if many, and the files."""
        known, joined, small = {}, [], []
        for more, path in sorted((_size(path), path) for path in self.folder.glob("*.npy")):
            if more > min(2 * size, LARGEST_JOINED):
                break
            small.append(path)
            size += more
        for path in small if len(small) >= FEWEST_JOINED else []:
            records = _open(path)
            if len(records) and records["vector"].shape[1] == width:  # else another's, or damaged
                known.update(_sound(records))
                joined.append(path)
        return known, joined


def _dtype(width):
    return np.dtype([("key", f"V{KEY_BYTES}"), ("check", "<u4"), ("vector", "<f4", (width,))])


def _open(path):
    """Open a file without reading its vectors; a damaged one is like an empty one."""
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
        (width,) = records.dtype["vector"].shape
        known = records.dtype == _dtype(width) and records.ndim == 1
    except Exception:  # a damaged header is parsed as Python, and fails in many ways
        known = False
    return records if known else np.empty(0, dtype=_dtype(1))


def _size(path):
    try:
        return path.stat().st_size
    except OSError:  # deleted meanwhile
        return 0


def _keys(records):
    raw = np.ascontiguousarray(records["key"]).tobytes()
    return [raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES)]


def _sound(records):
    """Give the vectors that are as they were written, by their keys."""
    rows = zip(_keys(records), records["check"], np.array(records["vector"]), strict=True)
    return {key: vector for key, check, vector in rows if zlib.crc32(vector.tobytes()) == check}


# Files are read in turn, so with more files than that, none would still be remembered.
@functools.lru_cache(maxsize=2**12)
def _rows_of(path, _, __):
    """Return the row of each key in a file, read anew only if its time or size has changed."""
    return {key: row for row, key in enumerate(_keys(_open(path)))}
