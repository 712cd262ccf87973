"""scikit-learn estimators that predict which of two responses a person prefers.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that
`import arena_estimators` stays as light as `import sklearn` and loads neither torch, transformers,
skorch nor nltk.
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
