import copy
import errno
import os
import pathlib
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import safetensors.torch
import torch
from bert_pairs import bert_pair
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler
from tiny_encoders import FAMILIES
from transformers import AutoModel, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from arena_estimators._encoder._load import load_encoder
from arena_estimators.exceptions import ArenaError
from arena_estimators.neural_network.model._fitted import _weights_of


@pytest.fixture(scope="module")
def lora(tiny, learnable):
    settings = {"max_length": 64, "batch_tokens": 1024, "lora_rank": 4, "random_state": 0}
    return bert_pair(tiny("roberta"), learning_rate=1e-2, n_epochs=2, **settings).fit(*learnable)


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_changes_all_linear_layers_and_nothing_else(small, tiny, learnable, family):
    from peft.tuners.lora import LoraLayer

    X, y = (part[:20] for part in learnable)
    model = small(family, lora_rank=4, learning_rate=1e-2, n_epochs=1).fit(X, y)
    module = model.network_.module
    assert not any(isinstance(part, LoraLayer) for part in module.modules())
    before = load_encoder(tiny(family))
    old, new = before.state_dict(), module.encoder.state_dict()
    assert set(old) == set(new)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    kinds = (torch.nn.Linear, Conv1D)  # GPT-2 has the latter
    assert changed == {n + ".weight" for n, m in before.named_modules() if isinstance(m, kinds)}


def test_lora_round_trips_with_its_head(lora, learnable, tmp_path):
    X, _ = learnable
    joblib.dump(lora, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded.predict_proba(X), lora.predict_proba(X))
    heads = lora.network_.module.heads.state_dict()
    for name, value in loaded.network_.module.heads.state_dict().items():
        assert torch.equal(value, heads[name])
    assert heads["text.prefer.4.weight"].any()  # zero in a new one


def test_a_trained_encoder_is_given_back_to_transformers(lora, learnable, tmp_path):
    row = learnable[0].iloc[:1].assign(response_a="good answer")  # not cut
    lora.network_.module.encoder.save_pretrained(tmp_path)
    lora.network_.processor.tokenizer.save_pretrained(tmp_path)
    text = f"Prompt:\n{row.prompt[0]}\n\nResponse:\n{row.response_a[0]}"
    inputs = AutoTokenizer.from_pretrained(tmp_path)(text, return_tensors="pt")
    with torch.inference_mode():
        hidden = AutoModel.from_pretrained(tmp_path)(**inputs).last_hidden_state
    assert lora.network_.module.pooling == "mean"
    np.testing.assert_allclose(lora.encode(row)[0, 0], hidden[0].mean(0), atol=1e-5)


def test_the_state_is_safetensors_bytes_and_plain_values(lora):
    files = lora.network_.to_files()
    assert {"config.json", "model.safetensors", "heads.safetensors", "tokenizer.json"} <= set(files)
    assert all(isinstance(content, bytes) for content in files.values())
    text = pickle.dumps(lora)
    for word in (b"optimizer", b"torch._utils", b"peft", b"Adam"):
        assert word not in text
    n_weights = sum(p.numel() for p in lora.network_.module.parameters())
    assert len(text) < 4.2 * n_weights + 300_000


def test_copies_keep_everything_and_clones_nothing(lora, learnable):
    X, _ = learnable
    copied = copy.deepcopy(lora)
    np.testing.assert_array_equal(copied.predict_proba(X), lora.predict_proba(X))
    assert copied.network_.module is not lora.network_.module
    again = pickle.loads(pickle.dumps(copied))
    np.testing.assert_array_equal(again.predict_proba(X), lora.predict_proba(X))
    assert not hasattr(clone(lora), "network_")
    unfitted = pickle.loads(pickle.dumps(clone(lora)))
    assert unfitted.get_params() == lora.get_params()


def test_a_loaded_model_needs_neither_the_folder_nor_the_network(small, learnable, tmp_path):
    import shutil

    X, y = learnable
    model = small(n_epochs=1)
    folder = tmp_path / "encoder"
    shutil.copytree(model.encoder, folder)
    model.set_params(encoder=str(folder)).fit(X, y)
    expected, data = model.predict_proba(X), pickle.dumps(model)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(pickle.loads(data).predict_proba(X), expected)


def test_a_tokenizer_of_several_chat_templates_is_kept(lora, learnable):
    """The tokenizer saves them in a folder of their own."""
    model = copy.deepcopy(lora)
    templates = {"default": "{{ messages }}", "tool_use": "{{ tools }}"}
    model.network_.processor.tokenizer.chat_template = templates
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.network_.processor.tokenizer.chat_template == templates
    X, _ = learnable
    np.testing.assert_array_equal(loaded.predict_proba(X), lora.predict_proba(X))


def test_nothing_of_the_training_is_left(small, learnable):
    model = small(checkpoint_dir=None, n_epochs=1).fit(*learnable)
    module = model.network_.module
    assert all(p.device.type == "cpu" and p.grad is None for p in module.parameters())
    assert not module.training


def test_a_scheduler_keeps_no_optimizer(small, learnable):
    settings = {"schedule": "constant", "warmup": 0.0, "n_epochs": 1}
    plain = small(**settings).fit(*learnable)
    scheduler = LRScheduler("StepLR", step_size=1)
    model = small(**settings, callbacks=[scheduler]).fit(*learnable)
    assert not scheduler.lr_scheduler_.optimizer.state
    assert len(pickle.dumps(model)) < 1.01 * len(pickle.dumps(plain))


class Average(Callback):
    """Keep a moving average of the weights."""

    def on_train_begin(self, net, **kwargs):
        self.average_ = torch.optim.swa_utils.AveragedModel(net.module_)

    def on_batch_end(self, net, **kwargs):
        self.average_.update_parameters(net.module_)


def test_a_callback_that_copied_the_network_can_be_pickled(small, learnable):
    average = Average()
    model = small(callbacks=[average], n_epochs=1).fit(*learnable)
    (kept,) = pickle.loads(pickle.dumps(model)).training.callbacks
    dropouts = [m for m in kept.average_.modules() if type(m) is torch.nn.Dropout]
    ones = torch.ones(99)
    assert all(torch.equal(dropout.eval()(ones), ones) for dropout in dropouts)
    assert any(not torch.equal(dropout.train()(ones), ones) for dropout in dropouts)
    for name, value in average.average_.state_dict().items():
        assert torch.equal(kept.average_.state_dict()[name], value)


def test_copies_never_touch_the_global_random_state(lora, monkeypatch):
    """Not even to restore it: a fit in another thread may be drawing from it."""
    monkeypatch.setattr(torch.random, "set_rng_state", lambda state: pytest.fail("was restored"))
    monkeypatch.setattr(torch, "set_rng_state", lambda state: pytest.fail("was restored"))
    before = torch.random.get_rng_state()
    copy.deepcopy(lora)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("architecture", ["siamese", "cross"])
def test_torchs_default_type_does_not_matter(small, learnable, architecture):
    X, y = learnable
    expected = small(architecture=architecture).fit(X, y).predict_proba(X)
    try:
        torch.set_default_dtype(torch.float64)
        model = small(architecture=architecture).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-6)
        torch.set_default_dtype(torch.bfloat16)
        loaded = pickle.loads(pickle.dumps(model))
        np.testing.assert_allclose(loaded.predict_proba(X), expected, atol=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


def test_torchs_modes_do_not_matter(small, learnable):
    X, y = (part[:60] for part in learnable)
    expected = small().fit(X, y).predict_proba(X)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        model = small().fit(X, y)
        np.testing.assert_array_equal(model.predict_proba(X), expected)
        loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    assert not any(weight.is_inference() for weight in loaded.network_.module.parameters())


def test_a_full_folder_for_temporary_files_is_named_with_what_to_do(lora, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full_in_rust(*_):
        raise Exception(f"{os.strerror(errno.ENOSPC)} (os error {errno.ENOSPC})")

    pickled = pickle.dumps(lora)
    with monkeypatch.context() as patch:
        patch.setattr(type(lora.network_.processor.tokenizer), "save_pretrained", full_in_rust)
        with pytest.raises(ArenaError, match="is full.*set the environment variable TMPDIR"):
            pickle.dumps(lora)
    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(ArenaError, match="is full.*set the environment variable TMPDIR"):
        pickle.loads(pickled)


def test_weights_that_are_shared_are_written_once():
    layer = torch.nn.Linear(2, 3)
    kept = safetensors.torch.load(_weights_of(torch.nn.Sequential(layer, layer)))
    assert kept.keys() == {"0.weight", "0.bias"}


def test_predicting_with_a_loaded_model_imports_nothing_of_training(lora, learnable, tmp_path):
    joblib.dump((lora, learnable[0]), tmp_path / "model.joblib")
    code = (
        "import sys, joblib; model, X = joblib.load(sys.argv[1]); model.predict_proba(X);"
        "print([m for m in sys.modules if 'skorch' in m or '.neural_network.training' in m])"
    )
    command = [sys.executable, "-c", code, tmp_path / "model.joblib"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
