"""Attributes of sequences (fast motion, occlusion, rain ...): which sequences have which, where that is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from lib.data.datasets.registry import find_dataset
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.results.sequence_names import sequence_name
from lib.runtime.json_text import parse_json

_FORM = '{"attributes": {short: words}, "sequences": {name: [short, ...]}}'


class Attributes(NamedTuple):
    """``names`` are the attributes in words by their short names, ``sequences`` the sequences that have each, spelled
    as the benchmark spells them. ``remarks`` say which sequences a file lacks or has too many."""

    names: Mapping[str, str]
    sequences: Mapping[str, frozenset[str]]
    remarks: tuple[str, ...] = ()


def known_attributes(benchmark: str, sequences: Iterable[str]) -> Attributes:
    """Those of the package that any of a benchmark's ``sequences`` has; empty where none are known."""
    names: dict[str, str] = {}
    tables: dict[str, list[str]] = {}
    entry = find_benchmark(benchmark)
    for file in find_dataset(entry.dataset).attributes.get(entry.split, ()):
        more, listed = _read(files("lib.data.datasets") / "attributes" / file)
        names |= more
        for name, shorts in listed.items():
            tables.setdefault(name, []).extend(shorts)
    found, _, _ = _by_attribute(names, tables, benchmark, tuple(sequences))
    return Attributes({short: names[short] for short in found}, found)


def read_attributes(file: Path, benchmark: str, sequences: Iterable[str]) -> Attributes:
    """A user's own file, of the form ``{"attributes": {short: words}, "sequences": {name: [short, ...]}}``.

    Names may be spelled as other toolkits do (``bike1`` for ``uav_bike1``, ``Jogging.1``). Raises ``ValueError`` for a
    file that cannot be read or has another form, and where it names none of the ``sequences``.
    """
    sequences = tuple(sequences)
    names, listed = _read(file)
    found, unknown, missing = _by_attribute(names, listed, benchmark, sequences)
    if len(unknown) == len(listed):
        example = f" ({sequences[0]!r} ...)" if sequences else ""
        raise ValueError(f"{file}: names no sequence of {benchmark}{example}; is it of another dataset?")
    remarks = []
    if unknown:
        remarks.append(f"{file}: names {len(unknown)} sequence(s) that {benchmark} does not have: {', '.join(unknown)}")
    if missing:
        remarks.append(f"{file}: says nothing of {len(missing)} sequence(s) of {benchmark}: {', '.join(missing)}")
    return Attributes({short: names[short] for short in found}, found, tuple(remarks))


def _by_attribute(
    names: Iterable[str], listed: Mapping[str, Iterable[str]], benchmark: str, sequences: tuple[str, ...]
) -> tuple[dict[str, frozenset[str]], list[str], list[str]]:
    """The sequences by attribute, those that have any; names that are no sequence; sequences that are not named."""
    known = set(sequences)
    ours = {name: name if name in known else sequence_name(name, benchmark) for name in listed}
    ours = {name: own if own in known else None for name, own in ours.items()}
    found = {
        short: frozenset(ours[name] for name, shorts in listed.items() if ours[name] and short in shorts)
        for short in names
    }
    unknown = [name for name in listed if ours[name] is None]
    missing = sorted(known - set(ours.values()))
    return {short: those for short, those in found.items() if those}, unknown, missing


def _read(file: Path | Traversable) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The two tables of a file, checked."""
    try:
        content = parse_json(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file}: the attributes cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{file}: is no JSON ({error}); attributes have the form {_FORM}") from error
    tables = content if isinstance(content, dict) else {}
    names, listed = tables.get("attributes"), tables.get("sequences")
    if not _is_table(names, str) or not _is_table(listed, list):
        raise ValueError(f"{file}: has another form than {_FORM}")
    for name, shorts in listed.items():
        for short in shorts:
            if not isinstance(short, str) or short not in names:
                raise ValueError(f"{file}: sequences.{name}: {short!r} is none of the attributes {', '.join(names)}")
    return names, listed


def _is_table(table: object, kind: type) -> bool:
    return isinstance(table, dict) and all(isinstance(value, kind) for value in table.values())
