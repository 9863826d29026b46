"""How the tools of the field spell a benchmark's sequences in the names of their result files."""

from __future__ import annotations

import functools
import json
import re
from typing import NamedTuple

from lib.data.datasets.annotations import package_list, package_table
from lib.evaluation.benchmarks import find_benchmark

GOT10K_SEQUENCES = 180


class Spelling(NamedTuple):
    """``prefix`` stands before a name in some tools' files and not in others'; with ``separators`` they write ``-``,
    ``.`` and ``_`` for one another. ``aliases`` are the names that follow no rule, ``shared`` is the benchmark whose
    sequences bear the names without the prefix, in the same folder where one tool tracked both."""

    prefix: str = ""
    separators: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    shared: str = ""


# uav_bike1 and nfs_Gymnastics in pytracking's family, bike1 and Gymnastics in the got10k toolkit and pysot. GRM alone
# has otb_; Jogging_1 is Jogging.1 in the got10k toolkit, which leaves one target of Human4, and Jogging-1 in pysot.
SPELLINGS = {
    "otb": Spelling("otb_", separators=True, aliases=(("Human4", "Human4_2"),)),
    "uav": Spelling("uav_"),
    "uav20l": Spelling("uav_"),
    "nfs": Spelling("nfs_"),
    "tc128": Spelling("tpl_", separators=True, shared="otb"),
    "tc128ce": Spelling("tpl_", separators=True),
}


def sequence_name(written: str, benchmark: str) -> str | None:
    """The benchmark's name of the sequence that a result file's name (without ``.txt``) means.

    None if it is none of the benchmark's; of a benchmark without a list here (``known_names``), the name itself.
    """
    known = _by_key(benchmark)
    return known.get(_key(written, benchmark)) if known else written


def shares_name(written: str, benchmark: str) -> bool:
    """Whether the file may be another benchmark's sequence of that name, which lies in the same folder: ``Basketball``
    is OTB's where there is a ``tpl_Basketball`` too."""
    other = SPELLINGS.get(benchmark, Spelling()).shared
    return bool(other) and written in (known_names(other) or ())


@functools.cache
def known_names(benchmark: str) -> tuple[str, ...] | None:
    """The benchmark's sequences as its reader names them, by the package's lists; None where there is no list."""
    if benchmark in ("got10k_val", "got10k_test"):
        part = benchmark.removeprefix("got10k_").title()
        return tuple(f"GOT-10k_{part}_{number:06d}" for number in range(1, GOT10K_SEQUENCES + 1))
    if benchmark in _LISTS:
        return tuple(package_list(_LISTS[benchmark]).split())
    if benchmark in _TABLES:
        names = [listed.name for listed in package_table(_TABLES[benchmark])]
        return tuple(name for name in names if benchmark != "tc128ce" or "_ce" in name)
    if benchmark == "uav20l":
        return tuple(json.loads(package_list("uav20l.json")))
    return tuple(json.loads(package_list("vot.json")).get(find_benchmark(benchmark).split, ())) or None


_LISTS = {
    "lasot": "lasot_test.txt",
    "lasot_extension_subset": "lasot_ext.txt",
    "trackingnet": "trackingnet_test.txt",
    "avist": "avist.txt",
    "tnl2k": "tnl2k_test.txt",
}
_TABLES = {"otb": "otb100.json", "uav": "uav123.json", "nfs": "nfs30.json", "tc128": "tc128.json"}
_TABLES["tc128ce"] = _TABLES["tc128"]


@functools.cache
def _by_key(benchmark: str) -> dict[str, str]:
    names = known_names(benchmark) or ()
    return {_key(name, benchmark): name for name in names}


def _key(name: str, benchmark: str) -> str:
    """What all spellings of a sequence have in common, and no two sequences of the benchmark."""
    spelling = SPELLINGS.get(benchmark, Spelling())
    name = name.removeprefix(spelling.prefix)
    name = dict(spelling.aliases).get(name, name)
    return re.sub(r"[-.]", "_", name) if spelling.separators else name
