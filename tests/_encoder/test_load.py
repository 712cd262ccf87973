import functools
import io
import json
import pathlib
import shutil
import sys
from unittest.mock import Mock

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from tiny_encoders import FAMILIES
from transformers import (
    AutoModel,
    BartConfig,
    BertConfig,
    BigBirdConfig,
    CanineConfig,
    CLIPConfig,
    ConvBertConfig,
    CpmAntConfig,
    Data2VecTextConfig,
    DebertaV2Config,
    DogeConfig,
    FNetConfig,
    FunnelConfig,
    Gemma2Config,
    Gemma3Config,
    IBertConfig,
    LiltConfig,
    LlamaConfig,
    LongformerConfig,
    LukeConfig,
    MarkupLMConfig,
    NystromformerConfig,
    OPTConfig,
    ReformerConfig,
    RobertaConfig,
    RobertaPreLayerNormConfig,
    RwkvConfig,
    SqueezeBertConfig,
    T5Config,
    ViTConfig,
    XLMRobertaXLConfig,
    XLNetConfig,
    XmodConfig,
    YosoConfig,
)

from arena_estimators._encoder import _load
from arena_estimators._encoder._attention import require
from arena_estimators._encoder._frozen import FrozenEncoder
from arena_estimators._encoder._load import (
    default_pooling,
    is_decoder,
    load_config,
    load_encoder,
    load_tokenizer,
    longest_input,
    width_of,
)
from arena_estimators._encoder._run import encode, forward, pad
from arena_estimators._encoder._tokenise import Sequences
from arena_estimators.exceptions import ArenaError, MissingExtraError, ResourceNotFoundError

DECODERS = {"gpt2", "qwen2", "llama", "gemma"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_loads(tiny, family, capfd):
    model = load_encoder(tiny(family))
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not [
        name for name, _ in model.named_parameters() if "pooler" in name or "decoder" in name
    ]
    assert width_of(load_config(tiny(family))) == 32
    assert capfd.readouterr().err == ""


def test_a_family_that_cannot_do_without_its_pooler_keeps_it(tiny, tmp_path, sequences):
    folder = shutil.copytree(tiny("bert"), tmp_path / "squeezebert")
    sizes = {"hidden_size": 32, "embedding_size": 32, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 4, "intermediate_size": 64}
    config = SqueezeBertConfig(vocab_size=load_config(folder).vocab_size, **sizes)
    AutoModel.from_config(config).save_pretrained(folder)
    inputs = pad(sequences, range(len(sequences)))
    vectors = forward(load_encoder(str(folder)), inputs, pooling="mean")
    assert vectors.shape == (len(sequences), 32)
    assert torch.isfinite(vectors).all()


@pytest.mark.parametrize("kind", ["model.safetensors", "pytorch_model.bin"])
def test_an_encoder_does_not_change_with_its_files(tiny, tmp_path, kind):
    folder = shutil.copytree(tiny("bert"), tmp_path / "changing")
    expected = {name: value.clone() for name, value in load_encoder(folder).state_dict().items()}
    (folder / "model.safetensors").unlink()
    save = safetensors.torch.save_file if kind.endswith("safetensors") else torch.save
    save(expected, folder / kind)
    model = load_encoder(folder)
    with open(folder / kind, "r+b") as file:
        file.write(bytes((folder / kind).stat().st_size))
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_weights_that_are_given_are_copied_and_let_go(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "without")
    expected = load_encoder(folder).state_dict()
    (folder / "model.safetensors").unlink()
    given = {name: value.clone() for name, value in expected.items()}
    theirs = list(given.values())
    model = load_encoder(folder, weights=given)
    assert given == {}
    for value in theirs:
        value.zero_()
    assert model.state_dict().keys() == expected.keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_padding_token_is_there(tiny, family):
    tokenizer = load_tokenizer(tiny(family))
    assert tokenizer.pad_token_id is not None
    assert load_encoder(tiny(family)).config.pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_padding_that_is_no_token_is_replaced(tiny, tmp_path, sequences, family):
    folder = str(shutil.copytree(tiny(family), tmp_path / "padded"))
    file = pathlib.Path(folder, "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token_id": -1}))
    model = load_encoder(folder)
    assert model.config.pad_token_id == load_tokenizer(folder).pad_token_id
    inputs = pad(sequences, range(len(sequences)), pad_id=model.config.pad_token_id)
    with torch.inference_mode():
        assert torch.isfinite(forward(model, inputs, pooling="mean")).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_default_pooling(tiny, family):
    folder = tiny(family)
    config = load_config(folder)
    assert is_decoder(config) == (family in DECODERS)
    assert default_pooling(config, folder) == ("last" if family in DECODERS else "mean")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_is_used(tiny, family, sequences):
    model = load_encoder(tiny(family))
    inputs = pad(sequences, range(len(sequences)))
    forward(model, inputs, pooling="mean").square().sum().backward()
    unused = [name for name, p in model.named_parameters() if p.grad is None]
    assert unused == []


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),  # of newer files
        ({"pooling_mode": "lasttoken"}, "last"),
        ({"pooling_mode": ["max", "mean"]}, "max"),
        ({"pooling_mode": "weightedmean"}, "mean"),
    ],
)
def test_a_sentence_encoder_says_its_pooling(tiny, tmp_path, said, pooling):
    folder = shutil.copytree(tiny("bert"), tmp_path / "said")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(said))
    assert default_pooling(load_config(folder), folder) == pooling


@pytest.mark.parametrize(
    "kind",
    [
        CanineConfig,
        ConvBertConfig,
        CpmAntConfig,
        DogeConfig,
        FNetConfig,
        FunnelConfig,
        NystromformerConfig,
        ReformerConfig,
        YosoConfig,
    ],
)
def test_families_that_read_padding_are_refused(tmp_path, kind):
    kind().save_pretrained(tmp_path)
    with pytest.raises(ArenaError, match="predictions would depend on the batch"):
        load_encoder(str(tmp_path))


def test_big_bird_reads_the_same_whatever_it_has_read_before(tmp_path, sequences):
    """Its sparse attention depends on padding, and the first short text turns it off for good."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 90}
    config = BigBirdConfig(**sizes, intermediate_size=64, block_size=2, num_random_blocks=1)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    model = load_encoder(str(tmp_path))
    alone, short, again = (
        encode(model, sequences.take(places), pooling="mean") for places in ([5], [0], [5])
    )
    np.testing.assert_array_equal(alone, again)
    together = encode(model, sequences, pooling="mean")
    np.testing.assert_allclose(together[[5, 0]], np.concatenate([alone, short]), atol=1e-5)


def test_longest_input():
    assert longest_input(BertConfig()) == 512
    assert longest_input(RobertaConfig(max_position_embeddings=514, pad_token_id=1)) == 512
    assert longest_input(T5Config()) is None
    assert longest_input(LlamaConfig(max_position_embeddings=4096)) == 4096
    assert longest_input(DebertaV2Config(position_biased_input=False)) is None
    assert longest_input(XLNetConfig()) is None


def test_the_longest_input_can_be_read(tiny):
    for family in FAMILIES:
        model = load_encoder(tiny(family))
        length = longest_input(model.config) or 600
        ids = np.full(length, 7, dtype=np.int32)
        one = Sequences(ids, np.array([0, length]), None)
        with torch.inference_mode():
            assert torch.isfinite(forward(model, pad(one, [0]), pooling="mean")).all()


@pytest.mark.parametrize(
    "kind",
    [
        Data2VecTextConfig,
        IBertConfig,
        LiltConfig,
        LongformerConfig,
        functools.partial(LukeConfig, entity_vocab_size=9),
        MarkupLMConfig,
        RobertaPreLayerNormConfig,
        XLMRobertaXLConfig,
        functools.partial(XmodConfig, default_language="en_XX"),
    ],
)
def test_the_longest_input_of_those_that_count_as_roberta_does(kind):
    sizes = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 64, "vocab_size": 50, "pad_token_id": 1}
    model = AutoModel.from_config(kind(**sizes, max_position_embeddings=66)).eval()
    length = longest_input(model.config)
    assert length == 64
    one = Sequences(np.full(length, 7, dtype=np.int32), np.array([0, length]), None)
    with torch.inference_mode():
        assert forward(model, pad(one, [0], pad_id=1), pooling="mean").shape == (1, 48)


def test_weights_of_another_kind_are_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "mixed")
    weights = pathlib.Path(tiny("gpt2"), "model.safetensors")
    shutil.copy(weights, folder / "model.safetensors")
    with pytest.raises(ArenaError, match="another kind of model"):
        load_encoder(folder)


def test_weights_whose_names_have_a_prefix_are_refused_and_shown(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "compiled")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights = {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArenaError, match=r"lack .* They hold '_orig_mod\.emb"):
        load_encoder(folder)


def test_weights_of_another_size_are_refused(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "narrow")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 7}))
    with pytest.raises(ArenaError, match=r"in another size \('encoder.*another config.json"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{oops"),
        ("config.json", "[]"),
        ("config.json", '{"model_type": "newfangled"}'),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1"),
        ("1_Pooling/config.json", "{"),
        ("1_Pooling/config.json", "[]"),
        ("1_Pooling/config.json", '{"pooling_mode": 5}'),
    ],
)
def test_damaged_files_are_told_of(tiny, tmp_path, file, content):
    folder = shutil.copytree(tiny("bert"), tmp_path / "damaged")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / file).write_text(content)
    with pytest.raises(ArenaError, match="cannot be read .*Save or download it again"):
        load_encoder(folder)
        default_pooling(load_config(folder), folder)


@pytest.mark.parametrize("content", ["{oops", "[]"])
def test_a_damaged_configuration_has_no_fingerprint(tiny, tmp_path, content):
    folder = shutil.copytree(tiny("bert"), tmp_path / "damaged")
    (folder / "config.json").write_text(content)
    with pytest.raises(ArenaError, match="cannot be read"):
        str(FrozenEncoder(folder).fingerprint)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_encoder_loads_again(tiny, tmp_path, sequences, family):
    model = load_encoder(tiny(family))
    shutil.copytree(tiny(family), tmp_path / "again")
    (tmp_path / "again" / "model.safetensors").unlink()
    model.save_pretrained(tmp_path / "again")
    inputs = pad(sequences, range(len(sequences)))
    with torch.inference_mode():
        expected = forward(model, inputs, pooling="mean")
        again = forward(load_encoder(tmp_path / "again"), inputs, pooling="mean")
    torch.testing.assert_close(again, expected, rtol=0, atol=0)


def test_other_pairs_of_encoder_and_decoder_are_refused(tmp_path):
    sizes = {"vocab_size": 50, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1}
    BartConfig(**sizes).save_pretrained(tmp_path)
    with pytest.raises(ArenaError, match="'bart'"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("settings", [{"quant_method": "bitsandbytes"}, {"load_in_4bit": True}])
def test_quantised_weights_are_refused(tiny, tmp_path, settings):
    """If not refused: an ImportError, torch's error on shapes, or matrices left untrained."""
    folder = shutil.copytree(tiny("llama"), tmp_path / "quantised")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = settings
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArenaError, match="holds quantised weights .*lora_rank=16"):
        load_encoder(str(folder))


@pytest.mark.parametrize("kind", [CLIPConfig, Gemma3Config, ViTConfig])
def test_models_that_read_images_are_refused(tmp_path, kind):
    kind().save_pretrained(tmp_path)
    with pytest.raises(ArenaError, match=f"{kind.model_type!r}, which does not read text alone"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("asked", ["flash_attention_2", "someone/kernel"])
def test_a_folder_does_not_choose_the_attention(tiny, tmp_path, asked):
    """These would be fetched from the hub, as code, or end in an ImportError."""
    folder = shutil.copytree(tiny("bert"), tmp_path / "asks")
    config = json.loads((folder / "config.json").read_text())
    for name in ("attn_implementation", "_attn_implementation"):
        (folder / "config.json").write_text(json.dumps(config | {name: asked}))
        chosen = load_encoder(folder).config._attn_implementation
        assert chosen == load_encoder(tiny("bert")).config._attn_implementation


def test_attention_packed_where_it_is_impossible(tiny):
    with pytest.raises(ArenaError, match="deberta-v2"):
        load_encoder(tiny("deberta-v2"), attention="packed")


def test_reading_does_not_change_an_rwkv(tmp_path, sequences):
    """transformers' RWKV divides its weights in place, and again each time it was saved divided."""
    sizes = {"vocab_size": 90, "hidden_size": 32, "attention_hidden_size": 32}
    sizes |= {"intermediate_size": 64, "num_hidden_layers": 3, "rescale_every": 1}
    AutoModel.from_config(RwkvConfig(**sizes, pad_token_id=0)).save_pretrained(tmp_path / "first")
    model = load_encoder(str(tmp_path / "first"))
    expected = encode(model, sequences, pooling="last")
    model.save_pretrained(tmp_path / "again")
    again = encode(load_encoder(str(tmp_path / "again")), sequences, pooling="last")
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("cap", [0.5, None])
def test_logits_that_a_family_caps_are_capped(tmp_path, sequences, cap):
    """torch's attention ignores the cap, and older transformers do not say so."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
    sizes |= {"num_key_value_heads": 2, "intermediate_size": 64, "vocab_size": 90}
    config = Gemma2Config(**sizes, initializer_range=1.0, attn_logit_softcapping=cap)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    model = load_encoder(str(tmp_path))
    expected = encode(load_encoder(str(tmp_path), attention="eager"), sequences)
    np.testing.assert_allclose(encode(model, sequences), expected, atol=1e-5)
    config.attn_logit_softcapping = None
    other = AutoModel.from_pretrained(tmp_path, config=config, attn_implementation="eager").eval()
    changed = np.abs(encode(other, sequences) - expected).max() > 1e-2
    assert changed == (cap is not None)


def test_torchs_attention_is_refused_where_logits_are_capped():
    config = Gemma2Config()
    with pytest.raises(ArenaError, match="'sdpa' is not possible for the family 'gemma2'"):
        require("sdpa", Mock(_supports_sdpa=True), config)
    require("eager", Mock(), config)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_by_name_gives_the_same(tiny, sequences, attention):
    inputs = pad(sequences, range(len(sequences)))
    with torch.inference_mode():
        expected = forward(load_encoder(tiny("bert")), inputs, pooling="mean")
        model = load_encoder(tiny("bert"), attention=attention)
        torch.testing.assert_close(
            forward(model, inputs, pooling="mean"), expected, rtol=0, atol=1e-5
        )
    assert model.config._attn_implementation == attention


@pytest.mark.parametrize("settings", ["kept", "gone"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_without_a_tokenizer_is_refused(tiny, tmp_path, family, settings):
    folder = pathlib.Path(shutil.copytree(tiny(family), tmp_path / family))
    for path in folder.glob("tokenizer*.json"):
        if settings == "gone" or path.name != "tokenizer_config.json":
            path.unlink()
    with pytest.raises(ResourceNotFoundError, match=r"tokenizer\.save_pretrained"):
        load_tokenizer(str(folder))


@pytest.fixture
def deberta_v3(tiny, tmp_path):
    """Save DeBERTa as version 3 ships: its tokenizer is a SentencePiece file and nothing else."""
    missing = {"reason": "the extra `sentencepiece`", "exc_type": ImportError}
    pytest.importorskip("google.protobuf", **missing)
    trainer = pytest.importorskip("sentencepiece", **missing).SentencePieceTrainer
    folder = pathlib.Path(shutil.copytree(tiny("deberta-v2"), tmp_path / "v3"))
    for path in folder.glob("tokenizer*.json"):
        path.unlink()
    config = json.loads((folder / "config.json").read_text())
    pieces = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    specials = {}
    for number, (name, piece) in enumerate(zip(("pad", "bos", "eos", "unk"), pieces, strict=True)):
        specials |= {f"{name}_id": number, f"{name}_piece": piece}
    file = io.BytesIO()
    trainer.train(
        sentence_iterator=iter(["the cat sat on the mat", "a hat is on the cat"] * 9),
        model_writer=file,
        vocab_size=config["vocab_size"] - 1,  # the mask comes after it
        hard_vocab_limit=False,
        minloglevel=2,
        **specials,
    )
    (folder / "spm.model").write_bytes(file.getvalue())
    return folder


def test_a_sentencepiece_file_is_read(deberta_v3):
    from sentencepiece import SentencePieceProcessor

    text = "the cat is on a mat"
    numbers = SentencePieceProcessor(str(deberta_v3 / "spm.model")).encode(text)
    tokenizer = load_tokenizer(str(deberta_v3))
    assert tokenizer(text)["input_ids"] == [1, *numbers, 2]
    assert len(numbers) > 3
    assert tokenizer.pad_token_id == 0


@pytest.mark.parametrize("package", ["sentencepiece", "protobuf"])
def test_what_reads_a_sentencepiece_file_is_named_where_it_is_missing(
    deberta_v3, package, monkeypatch
):
    monkeypatch.setattr(_load, f"is_{package}_available", lambda: False)
    monkeypatch.setitem(sys.modules, "sentencepiece", None)  # so that reading fails in both cases
    with pytest.raises(MissingExtraError, match=r"spm\.model.*pip install sentencepiece protobuf"):
        load_tokenizer(str(deberta_v3))


def test_a_sentencepiece_file_that_was_cut_short_is_no_missing_package(deberta_v3):
    file = deberta_v3 / "spm.model"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ResourceNotFoundError, match=r"spm\.model is damaged.*save_pretrained"):
        load_tokenizer(str(deberta_v3))


def test_a_file_of_tiktoken_needs_other_packages(deberta_v3, monkeypatch):
    (deberta_v3 / "spm.model").write_text("IQ== 0\nIg== 1\n")
    monkeypatch.setattr(_load, "is_sentencepiece_available", lambda: False)
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(ResourceNotFoundError, match="tiktoken") as refused:
        load_tokenizer(str(deberta_v3))
    assert "damaged" not in str(refused.value)


def test_tokens_without_an_embedding_are_refused(tiny, tmp_path):
    folder = str(shutil.copytree(tiny("bert"), tmp_path / "more"))
    tokenizer = load_tokenizer(folder)
    n_known = len(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(folder)
    assert len(load_tokenizer(folder)) == n_known + 1  # no text can make it
    tokenizer.add_tokens(["excellent"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ArenaError, match=f"{n_known + 2} tokens, such as 'excellent'.*{n_known}"):
        load_tokenizer(folder)


def test_weights_saved_in_half_precision_become_float32(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "half")
    AutoModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    assert {p.dtype for p in load_encoder(folder).parameters()} == {torch.float32}


def test_loading_leaves_the_reports_of_transformers_alone(tiny):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_info()
    logging.enable_progress_bar()
    try:
        load_encoder(tiny("bert"))
        assert logging.get_verbosity() == transformers.logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity(before[0])
        if not before[1]:
            logging.disable_progress_bar()


def test_a_tokenizer_that_knows_no_unknown_pads_with_its_end(tiny, tmp_path):
    """As Llama 3 ships: neither a padding token nor one for what is unknown."""
    folder = shutil.copytree(tiny("gpt2"), tmp_path / "plain")
    file = pathlib.Path(folder, "tokenizer_config.json")
    settings = json.loads(file.read_text())
    del settings["unk_token"]
    file.write_text(json.dumps(settings))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.unk_token is None
    assert tokenizer.pad_token == tokenizer.eos_token


def test_one_token_more_than_there_are_embeddings_is_refused(tiny, tmp_path):
    folder = str(shutil.copytree(tiny("bert"), tmp_path / "more"))
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["excellent"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ArenaError, match="such as 'excellent'"):
        load_tokenizer(folder)


def test_bars_that_were_switched_off_stay_off(tiny):
    logging = transformers.utils.logging
    folder, before = tiny("bert"), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        load_encoder(folder)
        assert not logging.is_progress_bar_enabled()
    finally:
        if before:
            logging.enable_progress_bar()


@pytest.mark.parametrize("off", [True, False])
def test_the_bars_of_the_hub_stay_as_they_were_set(tiny, off):
    """Setting those of transformers sets the hub's too, but not the other way round."""
    logging = transformers.utils.logging
    before = logging.is_progress_bar_enabled(), are_progress_bars_disabled()

    def set_bars(enabled, hub_disabled):
        (logging.enable_progress_bar if enabled else logging.disable_progress_bar)()
        (disable_progress_bars if hub_disabled else enable_progress_bars)()

    folder = tiny("bert")  # making it sets bars
    set_bars(off, off)
    try:
        load_encoder(folder)
        assert (logging.is_progress_bar_enabled(), are_progress_bars_disabled()) == (off, off)
    finally:
        set_bars(*before)


def test_older_weights_have_a_fingerprint_of_their_own(tiny, tmp_path):
    folder = shutil.copytree(tiny("bert"), tmp_path / "older")
    weights = (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    before = FrozenEncoder(folder).fingerprint
    weights.write_bytes(weights.read_bytes()[::-1])
    assert FrozenEncoder(folder).fingerprint != before


def test_code_that_comes_with_an_encoder_is_not_asked_about(tmp_path, monkeypatch):
    said = {"model_type": "new", "auto_map": {"AutoConfig": "code.NewConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(said), encoding="utf-8")
    monkeypatch.setattr("builtins.input", asked := Mock(return_value="n"))
    with pytest.raises(ArenaError, match="code of its own, which is not run"):
        load_config(str(tmp_path))
    assert not asked.called


def test_the_width_is_that_of_what_comes_out():
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "ffn_dim": 32}
    config = OPTConfig(**sizes, word_embed_proj_dim=16, vocab_size=99)  # as in OPT-350m
    hidden = AutoModel.from_config(config)(torch.ones(1, 4, dtype=torch.long)).last_hidden_state
    assert width_of(config) == hidden.shape[-1] == 16
