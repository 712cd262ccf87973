"""What the tests of BertPairClassifier share: tiny encoders and battles with a known signal."""

import functools
import os
import pickle
import subprocess
import sys

import pytest
from bert_pairs import bert_pair, word_battles
from tiny_encoders import make_tiny_encoder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Give a function from a family to the folder of a tiny encoder, made once."""
    made = {}

    def make(family="bert"):
        if family not in made:
            made[family] = make_tiny_encoder(family, tmp_path_factory.mktemp("tiny") / family)
        return made[family]

    return make


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
        return bert_pair(tiny(family), **(settings | parameters))

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
