"""Tables for a terminal."""

from collections import abc


def columns(head: abc.Sequence[str], rows: abc.Sequence[abc.Sequence[str]]) -> list[str]:
    """The lines of a table: columns of words are aligned to the left, columns of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    words = [any(cell[:1].isalpha() for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if word else f"{cell:>{width}}"
            for cell, width, word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]
