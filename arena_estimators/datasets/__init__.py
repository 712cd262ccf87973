"""Battles from files and from a known model, and submissions to files."""
