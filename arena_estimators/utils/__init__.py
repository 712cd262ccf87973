"""Tools for people who write estimators of battles."""

from arena_estimators._tags import declare_tags

__all__ = ["declare_tags"]
