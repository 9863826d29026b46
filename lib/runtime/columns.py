"""Tables for a terminal."""

from collections import abc


def columns(head: abc.Sequence[str], rows: abc.Sequence[abc.Sequence[str]]) -> list[str]:
    """The lines of a table: the first column and columns of words are aligned to the left, columns of numbers to the
    right; ``nan`` is a number."""
    words, widths = [], []
    for number, (name, *cells) in enumerate(zip(head, *rows, strict=True)):
        words.append(number == 0 or any(cell[:1].isalpha() and cell != "nan" for cell in cells))
        widths.append(max(map(len, (name, *cells))))
    return [
        "  ".join(
            f"{cell:<{width}}" if word else f"{cell:>{width}}"
            for cell, width, word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
