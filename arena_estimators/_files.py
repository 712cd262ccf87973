"""Files that are written whole or not at all, and folders that can be written."""

import contextlib
import errno
import glob
import os
import pathlib
import secrets
import tempfile

import joblib

from arena_estimators.exceptions import ArenaError

_FULL = os.strerror(errno.ENOSPC)


@contextlib.contextmanager
def atomic_write(path):
    """Open a binary file that replaces the one at `path` when it is complete and on the disk.

    Until then it has a hidden name beside it. After an error the old file is as it was.

    Raises
    ------
    OSError
        If the disk refuses, also where a writer hides that behind another error, as torch does.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def unfinished(path):
    """List what processes that were killed in `atomic_write` have left of a file."""
    path = pathlib.Path(path)
    return list(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"))


def writable_folder(folder, parameter, use="cache"):
    """Make a folder, if it is not there, and give its path; `~` is the home folder.

    Parameters
    ----------
    folder : str or path-like
    parameter : str
        The name of the parameter that the user set, for the error.
    use : str, default="cache"
        What the folder is for, for the error.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ArenaError
        If the folder cannot be made or written.
    """
    with explained(folder, parameter, use):
        path = pathlib.Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError("no permission to write")
    return path


def writable_memory(memory):
    """Give a joblib.Memory whose folder exists and can be written, or None."""
    if memory is None:
        return None
    if isinstance(memory, str | os.PathLike):
        with explained(memory, "memory"):
            memory = joblib.Memory(writable_folder(memory, "memory"), verbose=0)
    location = getattr(getattr(memory, "store_backend", None), "location", None)
    if location is None:
        return None
    writable_folder(location, "memory")
    return memory


@contextlib.contextmanager
def explained(folder, parameter, use="cache"):
    """Turn errors of the disk into one that names the parameter of the folder."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # the latter where no home is known
        raise ArenaError(
            f"{parameter}={os.fspath(folder)!r} cannot be used ({error}). Pass a {use} folder "
            "that can be written, or None."
        ) from error


@contextlib.contextmanager
def temporary_folder():
    """Give a folder for a moment; if the disk is full, say which and what to do.

    Raises
    ------
    ArenaError
        If the folder for temporary files is full.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield folder
        except Exception as error:  # libraries in Rust raise no OSError
            if _FULL not in str(error):
                raise
            raise ArenaError(
                f"The folder for temporary files, {tempfile.gettempdir()}, is full. Make room "
                "there, or set the environment variable TMPDIR to a folder that has it."
            ) from error
