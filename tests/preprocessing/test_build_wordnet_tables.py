import gzip
import importlib.util
import json
import pathlib

import pytest
from cleaning_reference import need

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "build_wordnet_tables.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("build_wordnet_tables", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_from_a_small_wordnet(script, tmp_path):
    for name in ("noun", "verb", "adj", "adv"):
        lines = ["  1 A licence  ", "  2   ", "  3 in two parts.  ", f"some_{name} x 1 0 1 0 007  "]
        (tmp_path / f"index.{name}").write_text("\n".join(lines) + "\n", encoding="ascii")
        (tmp_path / f"{name}.exc").write_text(f"{name}en {name}\n", encoding="ascii")
    (tmp_path / "words").write_text("the\na\n", encoding="utf-8")
    arguments = [str(tmp_path), "--stop-words", str(tmp_path / "words"), "--out", str(tmp_path)]
    script.main(arguments)
    first = (tmp_path / "english.json.gz").read_bytes()
    tables = json.loads(gzip.decompress(first))
    assert tables["stop_words"] == "a\nthe"
    assert tables["lemmas"] == dict(
        zip("nvar", ["some_noun", "some_verb", "some_adj", "some_adv"], strict=True)
    )
    assert tables["exceptions"]["n"] == "nounen noun"
    licence = (tmp_path / "LICENSE.wordnet").read_text(encoding="ascii")
    assert licence.endswith("A licence\n\nin two parts.\n")
    script.main(arguments)
    assert (tmp_path / "english.json.gz").read_bytes() == first


def test_a_folder_without_wordnet_is_refused(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main([str(tmp_path)])
    assert "holds no index.noun" in capsys.readouterr().err


def test_the_shipped_tables_are_what_the_script_makes_of_wordnet(script, tmp_path):
    need("corpora/wordnet")
    from nltk.corpus import wordnet

    for name in script.FILE_OF.values():
        for file in (f"index.{name}", f"{name}.exc"):
            with wordnet.open(file) as lines:
                (tmp_path / file).write_text(lines.read(), encoding="ascii")
    script.main([str(tmp_path), "--out", str(tmp_path)])
    assert script._read(tmp_path / "english.json.gz") == script._read(
        script.TABLES / "english.json.gz"
    )
    made, shipped = [folder / "LICENSE.wordnet" for folder in (tmp_path, script.TABLES)]
    assert made.read_text(encoding="ascii") == shipped.read_text(encoding="ascii")
