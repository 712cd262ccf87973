"""Read battles from files, write synthetic ones, and make submissions."""

from arena_estimators.datasets._make_battles import make_battles

__all__ = ["make_battles"]
