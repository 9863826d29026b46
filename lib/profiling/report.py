"""Tables of measurements, as text for a terminal and as JSON, and the machine that they were taken on."""

import json
import os
import platform
from collections import abc
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lib.runtime.escapes import columns
from lib.runtime.files import write_text

MeasuredRow = dict[str, str | int | float | None]

_PACKAGES = ("numpy", "torch", "opencv-python-headless", "opencv-python", "simplejpeg", "turbojpeg", "lmdb")


@dataclass
class MeasuredTable:
    """``title``: what the numbers are, in which units. Each row has the same columns; None is a number that does not
    apply."""

    title: str
    rows: list[MeasuredRow] = field(default_factory=list)


@dataclass
class Report:
    """Tables by name; ``settings`` are the choices that the numbers depend on, ``failed`` the experiments that have no
    numbers, each with its error."""

    machine: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, MeasuredTable] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def text(self) -> str:
        """The machine, the settings, each table that has rows, and the failures."""
        lines = [_pairs(self.machine), *([_pairs(self.settings)] if self.settings else [])]
        for table in self.tables.values():
            if table.rows:
                cells = [[_cell(value) for value in row.values()] for row in table.rows]
                lines += ["", table.title, *columns(list(table.rows[0]), cells)]
        return "\n".join([*lines, *(f"FAILED {line}" for line in self.failed)])

    def write(self, path: Path) -> None:
        """Write all of it as JSON. Raises ``OSError``, which names the file."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def add_ratios(rows: abc.Sequence[MeasuredRow], *names: str) -> None:
    """Add columns ``x NAME`` to rows: the number in column NAME as a multiple of the first row's."""
    for row in rows:
        row |= {f"x {name}": row[name] / rows[0][name] for name in names}


def describe_machine() -> dict[str, str]:
    """Processor, cores, the present load and versions of packages."""
    packages = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[package] = version(package)
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **packages,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _pairs(values: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in values.items())


def _cell(value: str | int | float | None) -> str:
    """A value with about four digits."""
    if isinstance(value, float):
        return f"{value:.{1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3}f}"
    return "-" if value is None else str(value)
