"""Sphinx settings: `make docs` builds the site into docs/_build."""

import arena_estimators

project = "arena_estimators"
author = "the arena_estimators developers"
copyright = "2026, the arena_estimators developers"
release = version = arena_estimators.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
autosummary_generate = True
templates_path = ["_templates"]
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
default_role = "code"
exclude_patterns = ["_build"]
# Inherited docstrings point into the scikit-learn site, which is not read at build time.
suppress_warnings = ["ref.ref", "ref.term"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "secondary_sidebar_items": ["page-toc"]}
html_title = "arena_estimators"
html_sidebars = {"**": []}  # beside them lines of code would be cut off
html_show_sourcelink = False
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "generated/gallery",
    "filename_pattern": r"plot_",
    "ignore_pattern": r"(demo|families|submit_\w+|\w+_search|blend|distill|__init__)\.py",
    "download_all_examples": False,
    "show_memory": False,
}
