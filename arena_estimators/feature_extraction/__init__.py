"""Pair transformers: battles in, numbers out."""
