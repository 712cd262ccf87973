"""Fixtures shared by all tests: where the real battles are, and small frames to start from."""

import os

# Set before torch or scikit-learn is imported: on small matrices a second thread is in the way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import errno
import pathlib

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_blas_thread():
    """Keep BLAS to one thread: on small matrices a second one only gets in the way."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture(scope="session")
def arena_data():
    """Give the folder of real battles, or skip and say so."""
    folder = os.environ.get("ARENA_DATA")
    if not folder or not pathlib.Path(folder).is_dir():
        pytest.skip("real battles: set ARENA_DATA to the folder that holds judge_unique.parquet")
    return pathlib.Path(folder)


@pytest.fixture
def battles():
    """Six battles that meet every kind of cell: text, turns, null turns, empty and missing."""
    return pd.DataFrame(
        {
            "prompt": ["What is 2+2?", ["Hi", "And now?"], "Say something", "", None, ["Why?"]],
            "response_a": ["4", ["Hello!", None], "**Bold** words", "text", "", [None]],
            "response_b": ["Five, I think.", ["Hey", "Done."], [""], [], None, ("Because.",)],
        },
        index=[10, 7, 3, 99, 5, 1],
    )


@pytest.fixture
def full_disk(monkeypatch):
    """Let whatever must be on the disk meet a full one."""

    def fail(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.fixture
def read_only(monkeypatch):
    """Deny all writing to folders, which file modes do not do to root."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
