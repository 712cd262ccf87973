"""Read battles from files, write synthetic ones, and make submissions."""

from arena_estimators.datasets._arena import iter_arena, load_arena
from arena_estimators.datasets._make_battles import make_battles
from arena_estimators.datasets._submission import make_submission, write_submission

__all__ = ["iter_arena", "load_arena", "make_battles", "make_submission", "write_submission"]
