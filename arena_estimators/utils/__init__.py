"""Tools for people who write estimators of battles."""
