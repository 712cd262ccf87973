"""Cleaning of battles before features are read from them."""
