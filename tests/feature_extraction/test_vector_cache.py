import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from arena_estimators.exceptions import ArenaError
from arena_estimators.feature_extraction._vector_cache import KEY_BYTES, VectorCache

RNG = np.random.default_rng(0)
KEYS = [RNG.bytes(KEY_BYTES) for _ in range(30)]
VECTORS = RNG.normal(size=(30, 5)).astype(np.float32)


@pytest.fixture
def cache(tmp_path):
    return VectorCache(tmp_path / "not" / "yet" / "there")


def files(cache):
    return sorted(cache.folder.glob("*"))


def test_what_is_stored_is_found(cache):
    assert cache.load(KEYS) == {}
    cache.store(KEYS[:10], VECTORS[:10])
    cache.store(KEYS[10:20], VECTORS[10:20])
    found = VectorCache(cache.folder).load(KEYS[::-1])
    assert set(found) == set(KEYS[:20])
    for key, vector in found.items():
        np.testing.assert_array_equal(vector, VECTORS[KEYS.index(key)])
        assert vector.dtype == np.float32


def test_keys_may_hold_zeros(cache):
    keys = [b"\0" * KEY_BYTES, b"a" + b"\0" * (KEY_BYTES - 1), b"\0" * (KEY_BYTES - 1) + b"a"]
    cache.store(keys, VECTORS[:3])
    assert set(cache.load(keys)) == set(keys)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other", "flipped"])
def test_a_damaged_file_counts_as_absent(cache, damage):
    cache.store(KEYS[:10], VECTORS[:10])
    (path,) = files(cache)
    content = bytearray(path.read_bytes())
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[:-7])
    elif damage == "text":
        path.write_text("not an array")
    elif damage == "other":
        np.save(path, np.arange(3))
    else:
        content[-3] ^= 255
        path.write_bytes(content)
    found = cache.load(KEYS)
    assert set(found) == set(KEYS[:9] if damage == "flipped" else [])
    cache.store(KEYS[:10], VECTORS[:10])
    assert set(cache.load(KEYS)) == set(KEYS[:10])


def test_no_flipped_bit_of_a_header_gives_other_vectors(cache):
    cache.store(KEYS[:10], VECTORS[:10])
    (path,) = files(cache)
    whole, n_found = path.read_bytes(), 0
    for bit in range(8 * 192):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        os.utime(path, ns=(bit, bit))  # another state, however coarse the clock
        for key, vector in cache.load(KEYS[:10]).items():
            np.testing.assert_array_equal(vector, VECTORS[KEYS.index(key)])
            n_found += 1
    assert n_found > 0  # else nothing was compared


def test_pickled_content_is_never_run(cache):
    np.save(cache.folder / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert cache.load(KEYS) == {}


def test_many_writers_at_once(cache):
    def write(number):
        mine = VectorCache(cache.folder)
        for start in range(0, 30, 10):
            mine.store(KEYS[start : start + 10], VECTORS[start : start + 10])
            mine.load(KEYS)

    with ThreadPoolExecutor(6) as writers:
        list(writers.map(write, range(6)))  # raises what a writer raised
    found = cache.load(KEYS)
    np.testing.assert_array_equal([found[key] for key in KEYS], VECTORS)
    assert {path.suffix for path in files(cache)} == {".npy"}


def test_an_unfinished_file_is_not_read_and_not_left(cache, full_disk):
    with pytest.raises(ArenaError, match="No space left on device"):
        cache.store(KEYS, VECTORS)
    assert files(cache) == []


def test_a_folder_deleted_meanwhile_is_made_again(cache):
    shutil.rmtree(cache.folder)
    cache.store(KEYS, VECTORS)
    assert len(cache.load(KEYS)) == len(KEYS)


def test_a_file_deleted_between_two_looks_counts_as_absent(cache, monkeypatch):
    cache.store(KEYS, VECTORS)
    assert len(cache.load(KEYS)) == 30
    load = np.load
    monkeypatch.setattr(np, "load", lambda path, **how: path.unlink() or load(path, **how))
    assert cache.load(KEYS) == {}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArenaError, match="cache_dir=.*cannot be used"):
        VectorCache(tmp_path / "file" / "cache")


def test_a_table_of_records_counts_as_absent(tmp_path):
    cache = VectorCache(tmp_path)
    cache.store(KEYS[:10], VECTORS[:10])
    (path,) = tmp_path.glob("*.npy")
    np.save(path, np.load(path).reshape(2, 5))
    assert cache.load(KEYS) == {}


def test_many_calls_leave_few_files(cache):
    keys = [RNG.bytes(KEY_BYTES) for _ in range(200)]
    vectors = RNG.normal(size=(200, 384)).astype(np.float32)
    most = 0
    for row in range(200):
        cache.store(keys[row : row + 1], vectors[row : row + 1])
        most = max(most, len(files(cache)))
    assert most < 16
    found = cache.load(keys)
    np.testing.assert_array_equal([found[key] for key in keys], vectors)


def store_each(cache, keys, width):
    """Store vectors in a file each; eight that are about as small are joined to one."""
    vectors = RNG.normal(size=(len(keys), width)).astype(np.float32)
    for row in range(len(keys)):
        cache.store(keys[row : row + 1], vectors[row : row + 1])


def test_large_files_and_those_of_others_are_left_alone(cache):
    cache.store(KEYS[:8], np.ones((8, 2**18), np.float32))  # 8 MiB, twice what is joined
    np.save(cache.folder / "mine.npy", np.arange(3))
    kept = files(cache)
    store_each(cache, KEYS[10:], 384)
    assert set(files(cache)) > set(kept)
    assert len(files(cache)) < 15
    cache.store(KEYS[:8], np.ones((8, 2**18), np.float32))
    assert set(files(cache)) > set(kept)


def test_a_damaged_vector_is_not_joined_over_a_sound_one(cache):
    cache.store(KEYS[:10], VECTORS[:10])
    (path,) = files(cache)
    content = bytearray(path.read_bytes())
    content[-3] ^= 255  # in the last vector
    for name in ("0.npy", "z.npy"):  # one that is met before the sound one, one after
        (cache.folder / name).write_bytes(content)
    for start in range(10, 30, 4):
        cache.store(KEYS[start : start + 4], VECTORS[start : start + 4])
    cache.store(KEYS[:9], VECTORS[:9])
    found = cache.load(KEYS)
    np.testing.assert_array_equal([found[key] for key in KEYS], VECTORS)
    assert not {"0.npy", "z.npy"} & {path.name for path in files(cache)}


def test_vectors_of_another_width_are_not_joined(cache):
    store_each(cache, KEYS[:5], 384)
    store_each(cache, KEYS[5:], 500)
    assert len(files(cache)) < 20
    found = cache.load(KEYS)
    assert [found[key].size for key in KEYS] == [384] * 5 + [500] * 25
