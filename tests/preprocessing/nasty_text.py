"""Hypothesis strategies of text that is hard to tokenise."""

from hypothesis import strategies as st

PIECES = """
    . .. ... .... ? ! ?! , ,, : :: ; ' '' ''' " "" ` `` ``` “ ” ‘ ’ „ « » ( ) [ ] {
    } < > - -- --- – — ― * ** # @ $ % & / \\ | _ = + ~ ^ 's 'S 'm 'd 'll 're 've n't
    N'T 't 'tis 'twas d'ye more'n cannot gimme gonna gotta lemme wanna Can NOT e.g.
    i.e. Dr. Mr. U.S. J. a.m. p.m. etc. vs. No. St. 1 1. 2.5 1,000 10:30 -3
    ##number## the The dogs Dogs. it it. he. I you'll word word. Word? can't ß ſ İ ı
    K Σ é ë ñ ١ ٢ ½ ² Ⅷ 你好 。 שלום مرحبا 😀 👩‍👩‍👧 🇩🇪 … ․ \u0301 \u200b \u200d
    \u200f \u202e \ufeff \u00ad \ud800 \udfff \x00 \x01 \x02 \x03 \x04 \x05 \x06
    \x1b \x7f
""".split()
SPACES = [" ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\v", "\f", "\x85", "\xa0", "\u2003"]
SPACES += ["\u2028", "\u3000", "\x1c", "\x1f"]

pieces = st.sampled_from(PIECES) | st.sampled_from(SPACES)
anything = st.characters() | st.characters(categories=["Cs"])
nasty = st.lists(pieces | pieces | pieces | anything, max_size=24).map("".join)
lines = [
    "x" * 100_000,
    "ab. " * 25_000,
    "." * 100_000,
    "'" * 5_000,
    "\"(a'b" * 20_000,
    "word.Word" * 11_000,
    "a.) " * 25_000,
    '" ' * 20_000,
    "😀" * 100_000,
    "!? " * 30_000,
]
