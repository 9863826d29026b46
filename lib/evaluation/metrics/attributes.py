"""Attributes of sequences (fast motion, occlusion, rain ...): from the package's tables or from a user's file."""

from collections import abc
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
    """``names`` are the attributes' words by their short names, ``sequences`` the sequences with each attribute, as the
    benchmark spells them. ``remarks`` name sequences that a file lacks or has too many."""

    names: abc.Mapping[str, str]
    sequences: abc.Mapping[str, frozenset[str]]
    remarks: tuple[str, ...] = ()


NO_ATTRIBUTES = Attributes({}, {})


def known_attributes(benchmark: str, sequences: abc.Iterable[str]) -> Attributes:
    """The package's attributes that any of the ``sequences`` has; empty where none are known."""
    entry = find_benchmark(benchmark)
    names, listed = {}, []
    for file in find_dataset(entry.dataset).attributes.get(entry.split, ()):
        words, attributes = _read(files("lib.data.datasets") / "attributes" / file)
        names |= words
        listed += attributes.items()
    return _by_attribute(names, _spelled(listed, benchmark, set(sequences)))


def read_attributes(file: Path, benchmark: str, sequences: abc.Iterable[str]) -> Attributes:
    """A user's own file, of the form ``{"attributes": {short: words}, "sequences": {name: [short, ...]}}``.

    Names may be spelled as in other toolkits (``bike1`` for ``uav_bike1``, ``Jogging.1``). Raises ``ValueError`` for a
    file that cannot be read or has another form, and where it names none of the ``sequences``.
    """
    sequences = tuple(sequences)
    names, listed = _read(file)
    ours = _spelled(listed.items(), benchmark, set(sequences))
    unknown = [name for name, own in zip(listed, ours, strict=True) if own[0] is None]
    missing = sorted(set(sequences) - {name for name, _ in ours})
    if len(unknown) == len(listed):
        example = f" ({sequences[0]!r} ...)" if sequences else ""
        raise ValueError(f"{file}: names no sequence of {benchmark}{example}; is it for another dataset?")
    remarks = []
    if unknown:
        remarks.append(f"{file}: names {len(unknown)} sequence(s) that {benchmark} does not have: {', '.join(unknown)}")
    if missing:
        remarks.append(f"{file}: has no entry for {len(missing)} sequence(s) of {benchmark}: {', '.join(missing)}")
    return _by_attribute(names, ours)._replace(remarks=tuple(remarks))


def _spelled(
    listed: abc.Iterable[tuple[str, list[str]]], benchmark: str, known: abc.Set[str]
) -> list[tuple[str | None, list[str]]]:
    """The attributes of each listed name under the benchmark's spelling, None for a name that is no sequence."""
    ours = ((name if name in known else sequence_name(name, benchmark), shorts) for name, shorts in listed)
    return [(own if own in known else None, shorts) for own, shorts in ours]


def _by_attribute(names: abc.Mapping[str, str], ours: list[tuple[str | None, list[str]]]) -> Attributes:
    found = {short: frozenset(name for name, shorts in ours if name and short in shorts) for short in names}
    found = {short: those for short, those in found.items() if those}
    return Attributes({short: names[short] for short in found}, found)


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
    for table, kind in ((names, str), (listed, list)):
        if not isinstance(table, dict) or not all(isinstance(value, kind) for value in table.values()):
            raise ValueError(f"{file}: has another form than {_FORM}")
    for name, shorts in listed.items():
        for short in shorts:
            if not isinstance(short, str) or short not in names:
                raise ValueError(f"{file}: sequences.{name}: {short!r} is none of the attributes {', '.join(names)}")
    return names, listed
