"""An encoder that is only read: its parts are loaded when they are first asked for."""

import functools
import hashlib
import json
import os
import pathlib

import numpy as np

from arena_estimators._encoder import _load
from arena_estimators._encoder._find import weights_in
from arena_estimators._encoder._layout import special_tokens
from arena_estimators._encoder._texts import raw_ids

_READ_AT_ONCE = 2**24
_NOT_CONTENT = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype")
# What tokenizers treat differently: case, accents, scripts, contractions, numbers, blanks, code.
_PROBE = (
    "Don't PANIC: naïve ÉCOLE, Straße, Ångström ﬁnd ½ 漢字かな 한국어 हिन्दी العربية ไทย 😀 "
    "1,234.5e-6  \t\n\nclass HTTPServer2: return {'a_b': [x**2 != 0]}  # well-known; <b>bold</b>"
)


class FrozenEncoder:
    """An encoder in a folder.

    Parameters
    ----------
    folder : str
        From `find_encoder`.
    """

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)  # the process may go elsewhere

    @functools.cached_property
    def config(self):
        """Its configuration."""
        return _load.load_config(self.folder)

    @functools.cached_property
    def tokenizer(self):
        """Its tokenizer."""
        return _load.load_tokenizer(self.folder)

    @functools.cached_property
    def tokenizer_fingerprint(self):
        """A digest of the tokens that its tokenizer makes of a text of many kinds, as text."""
        before, after = special_tokens(self.tokenizer)
        ids = np.concatenate([before, *raw_ids([_PROBE], self.tokenizer), after])
        return hashlib.blake2b(ids.tobytes(), digest_size=16).hexdigest()

    @functools.cached_property
    def model(self):
        """The model itself, in eval mode."""
        return _load.load_encoder(self.folder)

    @property
    def is_loaded(self):
        """Whether the weights are in memory, so that changes to their files no longer matter."""
        return "model" in vars(self)

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
        """A digest of its weights and configuration, as text."""
        folder = pathlib.Path(self.folder)
        older = weights_in(folder) == "pytorch_model.bin"  # whatever else is in .safetensors
        files = [] if older else sorted(folder.glob("*.safetensors"))
        files = files or sorted(folder.glob("*.bin"))
        stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return _hash_files(_configuration(self.folder), tuple(stats))


def _configuration(folder):
    """Give the configuration's text, but for what saving it anew may change."""
    file = pathlib.Path(folder, "config.json")
    with _load.explained(folder):
        config = json.loads(file.read_text(encoding="utf-8"))
        kept = {name: value for name, value in config.items() if name not in _NOT_CONTENT}
    return json.dumps(kept, sort_keys=True)


@functools.lru_cache(maxsize=16)
def _hash_files(start, stats):
    digest = hashlib.blake2b(start.encode(), digest_size=16)
    for path, _, _ in stats:
        with open(path, "rb") as file:
            while part := file.read(_READ_AT_ONCE):
                digest.update(part)
    return digest.hexdigest()
