"""Public names that are imported when they are first used (PEP 562)."""

import importlib.util
import sys


def attach(package, module_of):
    """Give a package's `__getattr__`, `__dir__` and `__all__`.

    Parameters
    ----------
    package : str
        `__name__` of the package.
    module_of : dict of str to str
        The module, within the package, of each public name.

    Returns
    -------
    getattr_, dir_ : callable
    names : list of str
    """

    def getattr_(name):
        if name not in module_of:
            public = not name.startswith("_")
            if public and importlib.util.find_spec(f"{package}.{name}") is not None:
                return _load(f"{package}.{name}")
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(_load(f"{package}.{module_of[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    names = sorted(module_of)
    return getattr_, lambda: sorted({*vars(sys.modules[package]), *names}), names


def _load(module):
    """Import a module; its AttributeError, which would mean a missing name, becomes ImportError."""
    try:
        return importlib.import_module(module)
    except AttributeError as error:
        raise ImportError(f"{module} cannot be imported: {error}") from error
