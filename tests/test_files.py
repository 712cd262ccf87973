import os

import pytest

from arena_estimators._files import atomic_write, temporary_folder, unfinished, writable_folder
from arena_estimators.exceptions import ArenaError


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "file[1].csv"
    path.write_text("old")
    return path


def test_a_file_takes_its_place_when_it_is_complete(old):
    with atomic_write(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_text() == "old"
        (beside,) = unfinished(old)
        with atomic_write(old) as another:
            another.write(b"another")
    assert old.read_text() == "new"
    assert beside.parent == old.parent and beside.name.startswith(".")
    assert list(old.parent.iterdir()) == [old]


def test_all_of_a_file_is_on_the_disk_before_it_takes_its_place(old, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.fstat(number).st_size))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("placed") or replace(*names))
    with atomic_write(old) as file:
        file.write(b"new!")
    assert done == [4, "placed"]


@pytest.mark.parametrize("error", [ValueError("no"), RuntimeError("no"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_alone(old, error):
    with pytest.raises(type(error)), atomic_write(old) as file:
        file.write(b"half")
        raise error
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


def test_a_full_disk_leaves_the_old_file_alone(old, full_disk):
    with pytest.raises(OSError, match="No space left"), atomic_write(old) as file:
        file.write(b"new")
    assert old.read_text() == "old"
    assert list(old.parent.iterdir()) == [old]


def test_a_full_disk_is_told_though_torch_hides_it(old):
    with pytest.raises(OSError, match="No space left"), atomic_write(old):
        try:
            raise OSError("No space left on device")
        finally:
            raise RuntimeError("unexpected pos 64 vs 0")


def test_what_killed_processes_left_is_found(old):
    left = old.with_name(f".{old.name}.1234abcd.tmp")
    for path in (left, old.with_name(".file1.csv.1234abcd.tmp")):  # the other is another's
        path.touch()
    assert unfinished(old) == [left]


def test_a_folder_is_made_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for _ in range(2):
        assert writable_folder("~/a/b", "cache_dir") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(
    ("folder", "why"),
    [("file", "exists"), ("file/inside", "Not a directory|exists"), ("~no-such-user/a", "home")],
)
def test_a_folder_that_cannot_be_made_is_told_by_its_parameter(tmp_path, monkeypatch, folder, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ArenaError, match=f"cache_dir='{folder}' cannot be used .*({why})"):
        writable_folder(folder, "cache_dir")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_permission_is_refused(tmp_path, read_only):
    with pytest.raises(ArenaError, match="no permission to write.*, or None"):
        writable_folder(tmp_path, "cache_dir")


def test_a_full_folder_for_temporary_files_is_named():
    with pytest.raises(ArenaError, match="is full.*TMPDIR"), temporary_folder() as folder:
        raise Exception("No space left on device (os error 28)")
    assert not os.path.exists(folder)
    with pytest.raises(ValueError, match="else"), temporary_folder():
        raise ValueError("something else")
