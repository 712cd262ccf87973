"""Build the tables NLTKCleaner ships: English stop words and WordNet 3.0's lemmas.

    apt-get install wordnet-base
    python tools/build_wordnet_tables.py /usr/share/wordnet

reads `index.*` (the lemmas of each part of speech) and `*.exc` (the irregular forms), which is all
that `morphy` needs, and writes `english.json.gz` beside WordNet's licence. The stop words are
NLTK's English list (package "stopwords" of nltk_data: the Snowball project's list, extended by
NLTK; its licence is `LICENSE.snowball`). `--stop-words FILE` reads that list anew, one word a line;
without it, those in the present `english.json.gz` are kept. The same input gives the same bytes.
"""

import argparse
import gzip
import json
import pathlib

TABLES = pathlib.Path(__file__).parents[1] / "arena_estimators" / "preprocessing" / "data"
FILE_OF = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}


def main(argv=None):
    """Read the command line, write the two files and print the size of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dict_folder", type=pathlib.Path, help="folder that holds index.noun")
    parser.add_argument("--stop-words", type=pathlib.Path, help="NLTK's stopwords/english")
    parser.add_argument("--out", type=pathlib.Path, default=TABLES, help="folder to write to")
    options = parser.parse_args(argv)
    if not (options.dict_folder / "index.noun").is_file():
        parser.error(f"{options.dict_folder} holds no index.noun; install wordnet-base first")
    if options.stop_words:
        stop_words = options.stop_words.read_text(encoding="utf-8").split()
    else:
        stop_words = _read(TABLES / "english.json.gz")["stop_words"].split()
    tables = {
        "stop_words": "\n".join(sorted(stop_words)),
        "lemmas": {pos: _lemmas(options.dict_folder, name) for pos, name in FILE_OF.items()},
        "exceptions": {
            pos: (options.dict_folder / f"{name}.exc").read_text(encoding="ascii").strip()
            for pos, name in FILE_OF.items()
        },
    }
    content = json.dumps(tables, separators=(",", ":")).encode("ascii")
    target = options.out / "english.json.gz"
    target.write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    (options.out / "LICENSE.wordnet").write_text(_licence(options.dict_folder), encoding="ascii")
    print(f"{target}: {target.stat().st_size} bytes")


def _read(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def _lines(folder, name):
    return (folder / f"index.{name}").read_text(encoding="ascii").splitlines()


def _lemmas(folder, name):
    return "\n".join(line.split(" ", 1)[0] for line in _lines(folder, name) if line[0] != " ")


def _licence(folder):
    """Take the licence from the numbered lines that open every WordNet file."""
    head = [line.strip() for line in _lines(folder, "noun") if line[0] == " "]
    text = "\n".join(line.partition(" ")[2].rstrip() for line in head)
    return f"WordNet 3.0, https://wordnet.princeton.edu\n\n{text}\n"


if __name__ == "__main__":
    main()
