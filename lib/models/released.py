"""Released checkpoints: files as their authors published them, into a network of ours, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lib.config.schema import ConfigError
from lib.config.yaml12 import read_yaml
from lib.models.adapters import Base, over_base
from lib.models.base import TrackingModel
from lib.runtime.checkpoint import CheckpointError, load_weights
from lib.runtime.file_kinds import short
from lib.runtime.unpickling import StoredTensor, is_tensor, load_tensors, read_inert

# Under which key a file holds its weights: ours and DeiT's, the trackers' of the pytracking lineage, MoCo's and SLIP's.
WRAPPERS = ("model", "net", "state_dict")
# What torch puts into names, before all or in the middle: for a network, or a part of one, that was trained in
# parallel, compiled, or computed again in the backward pass.
ADDED = ("module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")

NO_TABLE: Mapping[str, str | None] = {}


@dataclass(frozen=True)
class LoadReport:
    """What loading did. Names ``taken``, as the network has them; names of the file ``dropped``, which the network does
    not own; names ``initialised``, which the file lacks by nature and which keep their fresh values; with a table of
    names, those of the file that no line of it is for (``unmatched``) and lines that were for nothing (``unused``); of
    initial weights, the state of the file's ``checksum``."""

    taken: tuple[str, ...]
    dropped: tuple[str, ...]
    initialised: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    checksum: str = ""

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        for title, names in (
            ("not used", self.dropped),
            ("fresh", self.initialised),
            ("without a line in the table", self.unmatched),
            ("lines of the table for nothing", self.unused),
        ):
            if names:
                shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
                parts.append(f"{len(names)} {title} ({shown})")
        return "; ".join(parts + [f"checksum {self.checksum}"] * bool(self.checksum))


def find_weights(content: Any, path: Path) -> dict[str, StoredTensor | Tensor]:
    """The weights in what ``read_inert`` gave of a file, under the names that the network had: those below ``model``,
    ``net`` or ``state_dict``, or the whole content; without what torch adds to names (``ADDED``), wherever it is.

    Raises CheckpointError for a file without any, or with two of one name.
    """
    wrapped = content if isinstance(content, dict) else {}
    found = next((wrapped[key] for key in WRAPPERS if isinstance(wrapped.get(key), dict)), wrapped)
    if not any(is_tensor(value) for value in found.values()):
        raise CheckpointError(
            f"{path}: holds no weights (neither below {', '.join(map(repr, WRAPPERS))} nor at its top); is it a "
            "checkpoint?"
        )
    result: dict[str, StoredTensor | Tensor] = {}
    for name, value in found.items():
        own = ".".join(part for part in str(name).split(".") if part not in ADDED)
        if own in result:
            raise CheckpointError(f"{path}: two of its weights are called {short(own)} without {', '.join(ADDED)}")
        result[own] = value
    return result


def load_file(
    model: TrackingModel,
    path: Path,
    table: Mapping[str, str | None] = NO_TABLE,
    checksum: str | None = None,
    base: Base | None = None,
) -> LoadReport:
    """Load the weights of a file into ``model``, strictly: one of ours, or one published for its family.

    Nothing in the file is executed. ``table`` renames first, see ``renamed``. For ``checksum`` see ``read_inert``.
    ``base`` is what a file of trained tensors alone is completed with, see ``over_base``. Raises ``CheckpointError``
    that lists every missing, unexpected and reshaped key; the model is then unchanged but for the base.
    """
    content = read_inert(path, checksum)
    weights = load_tensors(find_weights(content, path), path)
    weights, unmatched, unused = renamed(weights, table)
    if not table and isinstance(content, dict) and isinstance(content.get("experiment"), dict):
        # No file but ours holds a configuration.
        load_weights(model, over_base(model, weights, base, content.get("beneath"), path), path)
        return LoadReport(tuple(weights), ())
    report = load_released(model, weights, path, base)
    return LoadReport(report.taken, report.dropped, unmatched=unmatched, unused=unused) if table else report


def load_released(
    model: TrackingModel,
    state_dict: Mapping[str, Tensor],
    source: Path | str = "the released weights",
    base: Base | None = None,
) -> LoadReport:
    """Load a published network's ``state_dict`` (its own names, or already ours) into ``model``, strictly.

    For ``base`` see ``load_file``. Raises ``CheckpointError`` that lists every missing, unexpected and reshaped key;
    the model is then unchanged but for the base.
    """
    owned = frozenset(model.state_dict())
    try:
        model.check_released(state_dict)
    except ValueError as error:
        raise CheckpointError(f"{source}: of another model than the configuration's: {error}") from error
    try:
        weights = dict(state_dict) if state_dict.keys() == owned else model.family.from_released(state_dict, owned)
    except (KeyError, ValueError) as error:  # a name that is built otherwise than those it resembles
        name = model.family.name
        raise CheckpointError(f"{source}: not the names that {name} was published with ({error})") from error
    load_weights(model, over_base(model, weights, base, None, source), source)
    # Renaming may give a tensor another shape, but leaves it where it is.
    used = {value.data_ptr() for value in weights.values()}
    return LoadReport(tuple(weights), tuple(name for name, value in state_dict.items() if value.data_ptr() not in used))


def read_table(path: Path) -> dict[str, str | None]:
    """A table of names: a YAML file of lines ``theirs: ours``, in order; see ``renamed``. Raises ``ConfigError``."""
    table = read_yaml(path)
    for theirs, ours in table.items():
        fits = isinstance(ours, str) and theirs.endswith(".") == (ours == "" or ours.endswith("."))
        if ours is not None and not fits:
            raise ConfigError(
                f"{path}: {theirs}: got {ours!r}; should be a name for a name, a beginning with a dot at its end (or "
                "'') for one, or nothing to leave such weights out"
            )
    return table


def renamed(
    weights: Mapping[str, Tensor], table: Mapping[str, str | None]
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """``weights`` by the names that ``table`` gives, the names it has no line for, and its lines that fit no name.

    A line ``theirs: ours`` is for the name ``theirs``, or, where that ends in a dot, for all that begin so, of which it
    changes the beginning; None leaves them out. The first line that fits a name counts; names without a line stay as
    they are. Raises CheckpointError if two weights would get one name.
    """
    result: dict[str, Tensor] = {}
    unmatched, used = [], set()
    for name, value in weights.items():
        line = next((line for line in table if name == line or (line.endswith(".") and name.startswith(line))), None)
        ours: str | None = name
        if line is None:
            unmatched.append(name)
        else:
            used.add(line)
            beginning = table[line]
            ours = None if beginning is None else beginning + name.removeprefix(line)
        if ours in result:
            raise CheckpointError(f"two weights would be called {ours}, one of them {name} before")
        if ours is not None:
            result[ours] = value
    return result, tuple(unmatched), tuple(line for line in table if line not in used)
