"""An encoder that is only read: its parts are loaded when they are first asked for."""

import functools
import hashlib
import pathlib

from arena_estimators._encoder import _load

_READ_AT_ONCE = 2**24


class FrozenEncoder:
    """An encoder in a folder.

    Parameters
    ----------
    folder : str
        From `find_encoder`.
    """

    def __init__(self, folder):
        self.folder = folder

    @functools.cached_property
    def config(self):
        """Its configuration."""
        return _load.load_config(self.folder)

    @functools.cached_property
    def tokenizer(self):
        """Its tokenizer."""
        return _load.load_tokenizer(self.folder)

    @functools.cached_property
    def model(self):
        """The model itself, in eval mode."""
        return _load.load_encoder(self.folder)

    @property
    def width(self):
        """The length of its vectors."""
        return _load.width_of(self.config)

    @property
    def longest_input(self):
        """The largest number of tokens it can read, or None."""
        return _load.longest_input(self.config)

    @property
    def pooling(self):
        """The pooling it was made for."""
        return _load.default_pooling(self.config, self.folder)

    @property
    def fingerprint(self):
        """A text that tells its weights from any other's."""
        files = sorted(pathlib.Path(self.folder).glob("*.safetensors"))
        files = files or sorted(pathlib.Path(self.folder).glob("*.bin"))
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return _hash_files(tuple(stats))


@functools.lru_cache(maxsize=16)
def _hash_files(stats):
    digest = hashlib.blake2b(digest_size=16)
    for path, _, _ in stats:
        with open(path, "rb") as file:
            while part := file.read(_READ_AT_ONCE):
                digest.update(part)
    return digest.hexdigest()
