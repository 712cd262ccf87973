"""What the tests of BertPairClassifier share: tiny encoders and battles with a known signal."""

import functools
import os
import pickle
import subprocess
import sys
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_encoders import make_tiny_encoder

from arena_estimators import BertPairClassifier
from arena_estimators.neural_network import _training
from arena_estimators.neural_network._module import build_module

GOOD = "clear helpful correct detailed kind".split()
BAD = "wrong rude vague lazy broken".split()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Give a function from a family to the folder of a tiny encoder, made once."""
    made = {}

    def make(family="bert"):
        if family not in made:
            made[family] = make_tiny_encoder(family, tmp_path_factory.mktemp("tiny") / family)
        return made[family]

    return make


def word_battles(n_battles, *, seed=0, longest=20):
    """Write battles won by the response more likely to use good words; close calls are ties."""
    rng = np.random.default_rng(seed)
    quality = rng.random((n_battles, 2))

    def write(share):
        n_words = rng.integers(4, longest)
        return " ".join(rng.choice(GOOD if rng.random() < share else BAD) for _ in range(n_words))

    X = pd.DataFrame(
        {
            "prompt": [f"question {number // 2}" for number in range(n_battles)],
            "response_a": [write(share) for share in quality[:, 0]],
            "response_b": [write(share) for share in quality[:, 1]],
        }
    )
    gap = quality[:, 0] - quality[:, 1]
    return X, np.where(gap > 0.2, "model_a", np.where(gap < -0.2, "model_b", "tie"))


@pytest.fixture(scope="session")
def learnable():
    """Give 80 battles with a known signal."""
    return word_battles(80)


@pytest.fixture(scope="session")
def small(tiny):
    """Give a function that makes a classifier small enough to fit in a second."""

    def make(family="bert", **parameters):
        settings = {
            "max_length": 64,
            "batch_tokens": 1024,
            "n_epochs": 2,
            "learning_rate": 1e-3,
            "precision": "fp32",  # the same on every CPU and in any number of threads
            "random_state": 0,
        }
        return BertPairClassifier(tiny(family), **(settings | parameters))

    return make


@pytest.fixture(scope="session")
def fitted(small, learnable):
    """Give a function that gives a copy of `small(...)` fitted on `learnable`, fitted once.

    Call it before the test changes anything that a fit would meet.
    """

    @functools.cache
    def fit(**parameters):
        return pickle.dumps(small(**parameters).fit(*learnable))

    return lambda **parameters: pickle.loads(fit(**parameters))


@pytest.fixture
def parted(monkeypatch):
    """Give a function that tells the positions that the last fit trained on and held out."""
    split = Mock(wraps=_training.split_by_prompt)
    monkeypatch.setattr(_training, "split_by_prompt", split)
    return lambda: split(*split.call_args.args)


@pytest.fixture
def without_dropout(monkeypatch):
    """Switch dropout off, to compare fits that differ only in how their batches are computed."""

    def build(*args, **kwargs):
        module = build_module(*args, **kwargs)
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        return module

    monkeypatch.setattr("arena_estimators.neural_network._bert_pair.build_module", build)


@pytest.fixture(scope="session")
def in_two():
    """Give a function that runs a script in two processes, in a folder, and gives their output.

    They see no GPU unless `devices` names some.
    """
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

    def run(folder, *arguments, devices=""):
        process = subprocess.Popen(
            [*launch, *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": devices},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            said, complained = process.communicate(timeout=300)
        except BaseException:
            process.terminate()  # so that it ends the processes that it launched
            process.wait(timeout=60)
            raise
        assert process.returncode == 0, complained[-3000:]
        return said

    return run
