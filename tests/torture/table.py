"""Counts by kind, the faults that were found, and both as text."""

from collections import Counter
from collections.abc import Sequence

from lib.runtime.escapes import columns


class Table:
    """Rows of counts under ``heads``, made as they are counted, and a line for every fault."""

    def __init__(self, heads: Sequence[str]) -> None:
        self.heads, self.faults = tuple(heads), list[str]()
        self._rows: dict[str, Counter[str]] = {}

    def count(self, row: str, head: str, more: int = 1) -> None:
        """Add to a cell."""
        assert head in self.heads, head
        self._rows.setdefault(row, Counter())[head] += more

    def fault(self, row: str, head: str, line: str) -> None:
        """Add one to a cell that should be 0; the line says how to see it again."""
        self.count(row, head)
        self.faults.append(f"{row}: {line}")

    def total(self, head: str) -> int:
        """The sum of a column."""
        return sum(counts[head] for counts in self._rows.values())

    def text(self) -> str:
        """The faults, then the table with its sums."""
        rows = [(row, *(str(counts[head]) for head in self.heads)) for row, counts in self._rows.items()]
        rows.append(("all", *(str(self.total(head)) for head in self.heads)))
        return "\n".join([*(f"FAULT {line}" for line in self.faults), *columns(("", *self.heads), rows)])
