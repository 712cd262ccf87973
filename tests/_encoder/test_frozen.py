import json

import pytest

from arena_estimators._encoder import _frozen
from arena_estimators._encoder._frozen import FrozenEncoder
from arena_estimators.exceptions import ArenaError

KINDS = ["safetensors", "bin"]


@pytest.fixture
def fingerprint(tmp_path):
    """Give a function that writes an encoder's files and gives its fingerprint."""

    def write(files, **config):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"hidden_act": "gelu"} | config))
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return FrozenEncoder(str(folder)).fingerprint

    return write


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_once", [2, 2**24])
def test_all_bytes_of_all_weights_tell_encoders_apart(fingerprint, monkeypatch, kind, at_once):
    monkeypatch.setattr(_frozen, "_READ_AT_ONCE", at_once)
    contents = [(b"12345", b"678"), (b"12345", b"679"), (b"12346", b"678"), (b"22345", b"678")]
    found = [
        fingerprint({f"model-{n}.{kind}": content for n, content in enumerate(parts)})
        for parts in [*contents, contents[0]]
    ]
    assert len(set(found)) == len(contents)
    assert found[0] == found[-1]


def test_weights_that_nobody_loads_do_not_matter(fingerprint):
    files = {"model.safetensors": b"123", "vocab.txt": b"1"}
    other = {"pytorch_model.bin": b"456", "vocab.txt": b"2"}
    assert fingerprint(files) == fingerprint(files | other) != fingerprint(other)


def test_safetensors_of_something_else_do_not_hide_older_weights(fingerprint):
    """transformers reads pytorch_model.bin where model.safetensors is not there."""
    head = {"head.safetensors": b"1"}
    found = [fingerprint(head | {"pytorch_model.bin": weights}) for weights in (b"123", b"456")]
    assert found[0] != found[1]


def test_what_saving_says_anew_is_no_other_configuration(fingerprint):
    expected = fingerprint({}, layers=2, heads=4)
    names = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")
    found = fingerprint({}, heads=4, **dict.fromkeys(names, "anew"), layers=2)
    assert found == expected != fingerprint({}, layers=3, heads=4)


def test_a_configuration_that_cannot_be_read_is_explained(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArenaError, match="cannot be read.*JSONDecodeError"):
        str(FrozenEncoder(str(tmp_path)).fingerprint)
