"""No character of a name is obeyed: by a terminal, LaTeX, Markdown, HTML or a spreadsheet."""

import io
import sys
import unicodedata

import pytest

from lib.runtime.escapes import columns, file_name, for_csv, for_latex, for_markdown, printable, printable_lines, show

EVERY = [chr(code) for code in range(sys.maxunicode + 1)]
GBK = "\u884c\u4eba".encode("gbk").decode("utf-8", "surrogateescape")  # a name on disk that is no UTF-8


def test_characters_that_a_terminal_obeys_or_lacks_become_escapes() -> None:
    hidden = [one for one in EVERY if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")]
    assert len(hidden) > 100_000 and {"\n", "\t", "\x1b", "\x7f", "\x9b", "\u2028", "\u202e", "\ufeff"} <= set(hidden)
    for one in (*hidden[::997], *"\n\t\r\0\x1b\x7f\x85\x9b\u200b\u2028\u2029\u202e\u2066\ufeff\ud800\udcff"):
        shown = printable(f"a{one}b")
        assert shown.isprintable() and shown.isascii() and eval(f"'{shown}'") == f"a{one}b"
    for text in ("", "car", "a b", r"C:\car", "行人 \u3000 è 🚗", "a\xa0b"):
        assert printable(text) == text
    assert printable(GBK) == r"\udcd0\udcd0\udcc8\udccb"


def test_lines_stay_lines_and_names_in_them_make_none() -> None:
    assert printable_lines(["a\nb", "c"]) == "a\\nb\nc"
    assert printable_lines([]) == ""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "gbk", "latin-1", "cp1252"])
def test_every_name_can_be_printed_in_every_encoding(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    show(f"中 {GBK} \x1b[31m é\nsecond", stream)
    stream.flush()
    [first, second] = stream.buffer.getvalue().decode(encoding).splitlines()
    assert first.startswith("中" if encoding in ("utf-8", "gbk") else r"\u4e2d")
    assert rf"{printable(GBK)} \x1b[31m " in first and second == "second"


def test_a_stream_that_was_closed_and_one_without_an_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    show("nobody hears it")
    stream = io.StringIO()
    show("a", stream)
    assert stream.getvalue() == "a\n"


@pytest.mark.parametrize(("text", "expected"), [
    ("a_b & 100%", r"a\_b \& 100\%"),
    ("}\\input{evil}", r"\}\textbackslash{}input\{evil\}"),
    ("a\n\\input{evil}", r"a\textbackslash{}n\textbackslash{}input\{evil\}"),
    ("[1] * <b> | $x$ ~ ^ #", r"{[}1{]} {*} \textless{}b\textgreater{} \textbar{} \$x\$ \textasciitilde{} "
                              r"\textasciicircum{} \#"),
])  # fmt: skip
def test_latex(text: str, expected: str) -> None:
    assert for_latex(text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("&lt; & |", r"&amp;lt; &amp; \|"),
    ("a\\|b", r"a\\\|b"),
    ("*a* _b_ `c` ~~d~~ $e$", r"\*a\* \_b\_ \`c\` \~\~d\~\~ \$e\$"),
    ("![x](http://e) [y]: z", r"!\[x\](http://e) \[y\]: z"),
    ("a\n\n# title\n| x |", r"a\\n\\n# title\\n\| x \|"),
])  # fmt: skip
def test_markdown(text: str, expected: str) -> None:
    assert for_markdown(text) == expected


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", " =", "\xa0=", "＝", "－"])
def test_a_formula_is_a_word_for_spreadsheets(sign: str) -> None:
    assert for_csv(f"{sign}1+1") == f"'{sign}1+1"
    assert for_csv(f"a{sign}1") == f"a{sign}1"


def test_no_cell_has_a_second_line_or_a_tab() -> None:
    assert for_csv("a\r\n=1\t") == r"a\r\n=1\t"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("car-1_a.b", "car-1_a.b"),
        ("my  car / 2", "my_car_2"),
        ("行人", "行人"),
        (GBK, "_"),
        ("a" * 200, "a" * 100),
        ("行" * 90, "行" * 33),
    ],
)
def test_names_of_files(text, name) -> None:
    assert file_name(text) == name


def test_words_stand_left_and_numbers_right():
    assert columns(["name", "ms", "", "note"], [["a", "1.25", "-", ""], ["longer", "10", "2", "x"]]) == [
        "name      ms     note",
        "a       1.25  -",
        "longer    10  2  x",
    ]
