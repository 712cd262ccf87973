"""Fixtures shared by the tests of ensembles."""

import threading

import pytest

from arena_estimators import DavidsonClassifier


@pytest.fixture
def together():
    """Give a classifier that can only be fitted while another one is."""
    meet = threading.Barrier(2)

    class Together(DavidsonClassifier):
        def fit(self, D, y, sample_weight=None):
            meet.wait(timeout=20)
            return super().fit(D, y, sample_weight)

    return Together(0.1)
