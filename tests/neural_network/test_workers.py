"""Two processes on the CPU do what one does."""

import atexit
import json
import os
import pathlib
import pickle
import re
import sys
import textwrap
from unittest.mock import Mock

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from bert_pairs import bert_pair

from arena_estimators import make_battles
from arena_estimators._encoder import _texts
from arena_estimators.exceptions import ArenaError, MissingExtraError
from arena_estimators.neural_network.model import _prediction, _workers
from arena_estimators.neural_network.model._workers import join_workers

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
SCRIPT = """
    import atexit, json, os, pathlib, pickle, runpy, sys
    import joblib, numpy as np, pandas as pd, torch
    from skorch.callbacks import Callback
    from arena_estimators import BertPairClassifier, swap
    from arena_estimators.exceptions import ArenaError
    from arena_estimators.neural_network.training import _callbacks

    class Stop(Exception):
        pass

    class Die(Callback):
        def on_batch_begin(self, net, training=None, **kwargs):
            if training and net.step_ == 3:
                raise Stop

    folder = pathlib.Path(sys.argv[1])
    rank = os.environ["RANK"]

    @atexit.register
    def note():
        left = not torch.distributed.is_initialized()
        (folder / f"at_exit{rank}.txt").write_text("left" if left else "joined")

    # The first fit is that of the example, in a process that has done nothing else.
    example, *sys.argv[1:] = sys.argv[2:]
    sys.path.insert(0, os.path.dirname(example))
    runpy.run_path(example, run_name="__main__")

    _callbacks._PAUSE_FACTOR = 0
    X, y = pickle.loads((folder / "battles.pkl").read_bytes())
    parameters = json.loads((folder / "parameters.json").read_text())
    model = BertPairClassifier(checkpoint_dir=folder / "checkpoints").set_params(**parameters)
    try:
        model.set_params(training__callbacks=[Die()]).fit(X, y)
    except Stop:
        pass
    files = sorted(path.name for path in (folder / "checkpoints").glob("*.checkpoint"))
    model.set_params(training__callbacks=None).fit(X, y)
    # Responses that meet in two battles, whose order of appearance a swap changes.
    chain = X.assign(prompt="p", response_b=np.roll(X["response_a"], 1))
    kept = [one for held in (model, model.network_, model.network_.module, model.network_.processor)
            for one in vars(held).values()]
    found = {"exact": bool((model.encode(swap(chain))[:, ::-1] == model.encode(chain)).all()),
             "stored": sorted({type(value).__name__ for value in kept}),
             "files": files, "curve": model.loss_curve_.tolist(),
             "valid": model.history_.valid_loss.tolist(),
             "proba": model.predict_proba(X).tolist(), "temperature": model.network_.temperature,
             "of_none": model.predict_proba(X[:0]).shape}
    (folder / f"found{rank}.json").write_text(json.dumps(found))
    joblib.dump(model, folder / f"model{rank}.joblib")
    half = parameters | json.loads((folder / "half.json").read_text())
    curve = BertPairClassifier().set_params(**half).fit(X, y).loss_curve_.tolist()
    (folder / f"half{rank}.json").write_text(json.dumps(curve))
    if rank == "0":
        try:
            model.predict_proba(X)
        except ArenaError as error:
            (folder / "alone.txt").write_text(str(error))
"""


@pytest.fixture(scope="module")
def parameters(tiny):
    found = {"encoder": tiny(), "max_length": 64, "batch_tokens": 512, "n_epochs": 2}
    found |= {
        "learning_rate": 1e-3,
        "random_state": 0,
        "training__patience": None,
        "precision": "fp32",
    }
    return found


# All battles are one batch, so that the second process has no part in any step.
HALF = {"precision": "fp16", "batch_tokens": 2**16, "validation_fraction": 0.0}


def _write(folder, script, battles, parameters):
    (folder / "script.py").write_text(textwrap.dedent(script))
    (folder / "battles.pkl").write_bytes(pickle.dumps(battles))
    (folder / "parameters.json").write_text(json.dumps(parameters))


@pytest.fixture(scope="module")
def two(in_two, tiny, learnable, parameters, tmp_path_factory):
    """Run the example and the script in the same two processes; give their folder and output."""
    folder = tmp_path_factory.mktemp("two")
    _write(folder, SCRIPT, learnable, parameters)
    (folder / "half.json").write_text(json.dumps(HALF))
    example = [EXAMPLES / "submit_bert.py", "--encoder", tiny(), "--learning-rate", "1e-3"]
    return folder, in_two(folder, "script.py", folder, *example)


@pytest.mark.slow
def test_two_processes_train_one_model_and_write_one_submission(two):
    folder, out = two
    for said in (
        "Fine-tuning on 120 battles",
        "Trained in",
        "100 predictions in made_submission.csv",
    ):
        assert out.count(said) == 1
    (file,) = (folder / "models").glob("*.joblib")
    proba = joblib.load(file).predict_proba(make_battles(100, random_state=1).X)
    written = pd.read_csv(folder / "made_submission.csv").drop(columns="id")
    np.testing.assert_allclose(written, proba, atol=1e-5)


@pytest.mark.slow
def test_two_processes_equal_one(two, learnable, parameters):
    folder, _ = two
    X, y = learnable
    first, second = (json.loads((folder / f"found{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    for rank in (0, 1):  # a thread of gloo that outlives the interpreter aborts the process
        assert (folder / f"at_exit{rank}.txt").read_text() == "left"
    (name,) = first["files"]
    assert re.fullmatch(r"bert_pair-[0-9a-f]+\.checkpoint", name)
    assert list((folder / "checkpoints").iterdir()) == []

    alone = bert_pair(**parameters, device="cpu", accumulate=2).fit(X, y)
    assert len(first["curve"]) == len(alone.loss_curve_)
    np.testing.assert_allclose(first["curve"], alone.loss_curve_, atol=1e-4)
    np.testing.assert_allclose(first["valid"], alone.history_.valid_loss, atol=1e-4)
    np.testing.assert_allclose(first["proba"], alone.predict_proba(X), atol=1e-3)
    assert first["temperature"] == pytest.approx(alone.network_.temperature, abs=1e-2)

    assert first["exact"]
    assert first["of_none"] == [0, 3]
    assert "str" in first["stored"]
    assert not any("ccelerat" in name or "Workers" in name for name in first["stored"])
    loaded = joblib.load(folder / "model0.joblib")
    np.testing.assert_allclose(loaded.predict_proba(X), first["proba"], atol=1e-6)

    alone = bert_pair(**parameters | HALF, device="cpu").fit(X, y)
    for rank in (0, 1):
        curve = json.loads((folder / f"half{rank}.json").read_text())
        np.testing.assert_allclose(curve, alone.loss_curve_, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two CUDA devices")
def test_two_gpus_train_one_model(in_two, tmp_path, learnable, parameters):
    script = """
        import json, os, pathlib, pickle, sys
        from arena_estimators import BertPairClassifier

        folder = pathlib.Path(sys.argv[1])
        X, y = pickle.loads((folder / "battles.pkl").read_bytes())
        parameters = json.loads((folder / "parameters.json").read_text())
        model = BertPairClassifier().set_params(**parameters).fit(X, y)
        found = [model.loss_curve_.tolist(), model.predict_proba(X).tolist()]
        (folder / f"found{os.environ['RANK']}.json").write_text(json.dumps(found))
    """
    _write(tmp_path, script, learnable, parameters)
    in_two(tmp_path, "script.py", tmp_path, devices=os.environ.get("CUDA_VISIBLE_DEVICES", "0,1"))
    first, second = (json.loads((tmp_path / f"found{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    alone = bert_pair(**parameters, accumulate=2).fit(*learnable)
    np.testing.assert_allclose(first[0], alone.loss_curve_, atol=1e-4)
    np.testing.assert_allclose(first[1], alone.predict_proba(learnable[0]), atol=1e-3)


@pytest.mark.slow
def test_who_predicts_alone_is_told_what_the_others_must_do(two):
    folder, _ = two
    said = (folder / "alone.txt").read_text()
    assert said.startswith("Another process has ended")
    assert "must call `fit` and predict alike" in said


def test_other_errors_than_those_of_the_connection_are_not_explained():
    pair = Pair()
    pair.reduce = Mock(side_effect=RuntimeError("not enough memory"))
    with pytest.raises(RuntimeError, match="^not enough memory$"):
        _workers._Several(pair).sum(3)


def test_without_accelerate_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match="pip install accelerate"):
        join_workers("cpu")


@pytest.mark.parametrize(("device", "on_cpu"), [("auto", True), ("cuda", False)])
def test_processes_that_do_not_find_each_other_are_refused(monkeypatch, device, on_cpu):
    class Alone:
        num_processes, device = 1, "cpu"

        def __init__(self, cpu):
            assert cpu == on_cpu

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.Accelerator", Alone)
    monkeypatch.setattr("torch.cuda.is_available", lambda: not on_cpu)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(ArenaError, match="WORLD_SIZE=2, but accelerate joined 1"):
        join_workers(device)


def test_lora_without_peft_says_what_to_install(small, learnable, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr(_texts, "tokenise_texts", lambda *_, **__: pytest.fail("texts were read"))
    with pytest.raises(MissingExtraError, match="pip install peft$"):
        small(lora_rank=2).fit(*learnable)


def test_one_process_is_the_default():
    workers = join_workers("auto")
    assert (workers.rank, workers.size, workers.is_main) == (0, 1, True)
    assert workers.sum(3) == 3


class Pair:
    """Two processes that hold the same."""

    process_index, num_processes, device = 0, 2, torch.device("cpu")

    def __init__(self, cpu=True):
        pass

    def reduce(self, tensor, how):
        assert how == "sum"
        return 2 * tensor


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_alone_is_the_main_one(rank):
    accelerator = Pair()
    accelerator.process_index = rank
    assert _workers._Several(accelerator).is_main == (rank == 0)


@pytest.mark.parametrize("value", [3, np.arange(6.0).reshape(2, 3), np.empty((2, 0))], ids=str)
def test_what_is_summed_keeps_its_shape(value):
    summed = _workers._Several(Pair()).sum(value)
    assert summed.shape == np.shape(value)
    np.testing.assert_array_equal(summed, 2 * value)


@pytest.mark.parametrize("bucket", [1, 7, 12, 1000])
def test_every_gradient_is_summed_once_whatever_is_summed_together(monkeypatch, bucket):
    monkeypatch.setattr(_workers, "_BUCKET", bucket)
    parameters = [torch.nn.Parameter(torch.zeros(2, 3)) for _ in range(5)]
    for number, parameter in enumerate(parameters[:4]):
        parameter.grad = torch.full((2, 3), number + 1.0)
    _workers._Several(Pair()).sum_gradients(parameters)
    for parameter, expected in zip(parameters, [2, 4, 6, 8, 0], strict=True):
        assert parameter.grad.tolist() == [[expected] * 3] * 2


def test_what_a_callback_has_frozen_gets_no_gradient():
    frozen, learning = (torch.nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    frozen.requires_grad_(False)
    _workers._Several(Pair()).sum_gradients([frozen, learning])
    assert frozen.grad is None
    assert learning.grad.tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("joined", [False, True])
def test_a_group_that_was_there_before_is_left_to_its_owner(monkeypatch, joined):
    registered = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.Accelerator", Pair)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: joined)
    monkeypatch.setattr(atexit, "register", registered.append)
    assert join_workers("cpu").size == 2
    assert registered == ([] if joined else [_workers._leave])


@pytest.mark.parametrize("verbose", [1, 0])
def test_each_process_encodes_a_share_and_the_first_alone_shows_its_progress(
    fitted, learnable, monkeypatch, capsys, verbose
):
    X, _ = learnable
    model, shares = fitted(), []
    whole = model.encode(X)
    for rank in (0, 1):
        workers = _workers.Workers(torch.device("cpu"))
        workers.rank, workers.size = rank, 2
        workers.sum = lambda share: shares.append(share) or sum(shares)
        monkeypatch.setattr(_prediction, "join_workers", lambda device, joined=workers: joined)
        found = model.set_params(verbose=verbose).encode(X)
        assert ("encode" in capsys.readouterr().err) == (verbose and rank == 0)
    first, second = ((share != 0).any(1) for share in shares)
    assert not (first & second).any() and (first | second).all()
    assert 0 <= first.sum() - second.sum() <= 1
    np.testing.assert_allclose(found, whole, atol=1e-5)


@pytest.mark.parametrize(
    ("joined", "backend", "left"),
    [(True, "gloo", [True]), (True, "nccl", []), (False, None, [])],
)
def test_only_a_group_of_gloo_that_is_still_there_is_left(monkeypatch, joined, backend, left):
    done = []

    def get_backend():
        assert joined
        return backend

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: joined)
    monkeypatch.setattr("torch.distributed.get_backend", get_backend)
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: done.append(True))
    _workers._leave()
    assert done == left
