"""Loads a checkpoint, ours or one that a tracker's authors released, into a network, strictly."""

import re
from collections import abc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from lib.models.base import Family, TrackingModel
from lib.models.weights.adapters import FrozenWeights, complete
from lib.models.weights.renaming import NameTable, renamed, replaced
from lib.runtime.checkpoint import CheckpointError, load_weights
from lib.runtime.file_kinds import short
from lib.runtime.unpickling import as_tensors, read_inert

# The key that a file holds its weights under: ours and DeiT's, the pytracking lineage's, MoCo's and SLIP's.
WRAPPERS = ("model", "net", "state_dict")
# Parts that torch adds to names of networks trained in parallel, compiled or with recomputed activations.
ADDED = ("module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")


@dataclass(frozen=True)
class LoadReport:
    """Result of loading.

    * ``taken``: names of the network that were loaded; ``dropped``: names of the file that the network does not use;
      ``fresh``: names of the network that an image network does not have.
    * With a table of names, ``unmatched``: names of the file that no line fits; ``unused``: lines that fit no name.
    * ``checksum``: how the checksum of initial weights was compared.
    """

    taken: tuple[str, ...]
    dropped: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    checksum: str = ""

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        for title, names in (
            ("not used", self.dropped),
            ("fresh", self.fresh),
            ("without a line in the table", self.unmatched),
            ("lines of the table that fit nothing", self.unused),
        ):
            if names:
                shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
                parts.append(f"{len(names)} {title} ({shown})")
        return "; ".join(parts + [f"checksum {self.checksum}"] * bool(self.checksum))


def find_weights(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in the content that ``read_inert`` read: those below one of ``WRAPPERS``, or at the top, without the
    parts that torch adds to names (``ADDED``).

    Raises CheckpointError for a file without any, or with two of one name.
    """
    top = content if isinstance(content, dict) else {}
    places = [*(top[key] for key in WRAPPERS if isinstance(top.get(key), dict)), top]
    found = next((place for place in places if any(isinstance(value, Tensor) for value in place.values())), None)
    if found is None:
        raise CheckpointError(
            f"{path}: holds no weights (neither below {', '.join(map(repr, WRAPPERS))} nor at its top); is it a "
            "checkpoint?"
        )
    result: dict[str, Tensor] = {}
    for name, value in found.items():
        own = ".".join(part for part in str(name).split(".") if part not in ADDED)
        if own in result:
            raise CheckpointError(f"{path}: two of its weights are named {short(own)} without {', '.join(ADDED)}")
        result[own] = value
    return result


def load_file(
    model: TrackingModel,
    path: Path,
    table: NameTable | None = None,
    checksum: str | None = None,
    frozen: FrozenWeights | None = None,
) -> LoadReport:
    """Loads the weights of a checkpoint into ``model``, strictly. Nothing in the file is executed.

    ``table`` renames first, see ``renamed``. ``checksum``: see ``read_inert``. ``frozen`` completes a file of trained
    tensors alone, see ``complete``. Raises ``CheckpointError`` that lists every missing, unexpected and reshaped key;
    the model is then unchanged but for the frozen weights.
    """
    content = read_inert(path, checksum)
    weights = as_tensors(find_weights(content, path), path)
    if table:
        weights, unmatched, unused = renamed(weights, table)
        return replace(load_released(model, weights, path, frozen), unmatched=unmatched, unused=unused)
    if isinstance(content, dict) and isinstance(content.get("experiment"), dict):  # only our files hold one
        load_weights(model, complete(model, weights, frozen, content.get("beneath"), path), path)
        return LoadReport(tuple(weights))
    return load_released(model, weights, path, frozen)


def as_ours(family: Family, weights: abc.Mapping[str, Tensor], owned: abc.Collection[str] = ()) -> dict[str, Tensor]:
    """Published weights of a family under our names, for a network whose names are ``owned``."""
    lacking = {pattern: None for pattern in family.optional if not any(re.match(pattern, name) for name in owned)}
    named = replaced(weights, {**family.released, **lacking})
    beginning = "backbone."
    inside = {name.removeprefix(beginning): value for name, value in named.items() if name.startswith(beginning)}
    backbone = {beginning + name: value for name, value in family.image_names(inside).items()}
    return backbone | {name: value for name, value in named.items() if not name.startswith(beginning)}


def load_released(
    model: TrackingModel,
    state_dict: abc.Mapping[str, Tensor],
    source: Path | str = "the released weights",
    frozen: FrozenWeights | None = None,
) -> LoadReport:
    """Loads a published ``state_dict``, under its own names or ours, into ``model`` as ``load_file`` does."""
    owned = frozenset(model.state_dict())
    try:
        model.check_released(state_dict)
    except ValueError as error:
        raise CheckpointError(f"{source}: of another model than the configuration's: {error}") from error
    weights = dict(state_dict) if state_dict.keys() == owned else as_ours(model.family, state_dict, owned)
    load_weights(model, complete(model, weights, frozen, None, source), source)
    # A renamed tensor may have another shape, but the same memory.
    used = {value.data_ptr() for value in weights.values()}
    return LoadReport(tuple(weights), tuple(name for name, value in state_dict.items() if value.data_ptr() not in used))
