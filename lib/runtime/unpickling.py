"""Checkpoint files of any origin, read as data: nothing that a file names is imported or called.

A pickle is a program that names classes and functions and has them called. Python's unpickler runs it here with a
``find_class`` that imports nothing: each name becomes an inert class (``StandIn``). Only OrderedDict and torch's ways
to describe a tensor are understood.

It is the unpickler written in Python, whose instructions can be replaced: a nested key of a dictionary would end the
process, and attributes of a dictionary or a tensor could hide its methods. ``torch.load(weights_only=True)`` needs each
class allowed by name, reads no TorchScript archive (CLIP's are some) and compares no checksum. Here the numbers of a
zip archive are the bytes that were compared with its checksums. The format before torch 1.6 and safetensors have none.

A hostile file may still keep the reader busy, fill the memory, and hold wrong weights.
"""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from lib.runtime.file_kinds import HEAD, kind_of, kind_of_zip, short

MOST_PLAIN_PARTS = 100_000
_LEGACY = 0x1950A86A20F9469CFC6C  # the first value in a file of the format before torch 1.6
_DTYPES = {
    f"torch.{kind}Storage": getattr(torch, kind.lower())
    for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Bool")
} | {"torch.CharStorage": torch.int8, "torch.ByteStorage": torch.uint8}
_SCALARS = (str, int, float, bool, bytes, type(None))


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or used; the message names the file and the remedy."""


class StandIn:
    """An object of a class that a file names: the name of its own class is the dotted name in the file, and ``state``
    holds its attributes. Arguments and items are dropped."""

    state: Any = None

    def __init__(self, *arguments: Any) -> None: ...

    def __call__(self, *arguments: Any) -> "StandIn":
        return StandIn()

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, item: Any) -> None:
        """Drops the item of a list's subclass."""


def check_file(path: Path) -> None:
    """Raises CheckpointError unless there is a file."""
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; name a checkpoint in it")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")


def read_inert(path: Path, checksum: str | None = None) -> Any:
    """The content of a file that torch wrote (today's zip format or the one before torch 1.6), with tensors on the CPU;
    of a TorchScript archive or a safetensors file, the tensors by name.

    Anything but tensors and plain types is a ``StandIn``. The file's digest must begin with ``checksum``, such as
    "sha256 0b8b82f8"; it is computed from the same open file. Raises CheckpointError for a file that is missing,
    damaged, of another checksum or no checkpoint.
    """
    check_file(path)
    try:
        with open(path, "rb") as file:
            if checksum is not None:
                _compare(file, checksum)
            return _read(file)
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged or hostile file can make the reader raise nearly anything
        lines = str(error).strip().splitlines() or ["it ends too early"]
        reason = lines[0] if isinstance(error, ValueError) else f"{type(error).__name__}: {lines[0]}"
        raise CheckpointError(f"{path}: not a whole checkpoint ({reason[:200]}); copy or download it again") from error


def as_tensors(part: Mapping[Any, Any], source: Path | str) -> dict[str, Tensor]:
    """A part of the content that ``read_inert`` read. Raises CheckpointError unless it holds tensors by name alone."""
    others = [str(name)[:80] for name, value in part.items() if not (type(name) is str and isinstance(value, Tensor))]
    if others:
        raise CheckpointError(f"{source}: {len(others)} of its weights are no tensors ({', '.join(others[:5])})")
    return dict(part)


def as_plain(part: Any, source: Path | str) -> Any:
    """A part of the content that ``read_inert`` read. Raises CheckpointError if it holds anything but tensors, numbers,
    text, lists, tuples and dictionaries, or too many of them, as a list that contains itself does."""
    waiting = [part]
    for count, value in enumerate(waiting):  # it grows meanwhile
        if count > MOST_PLAIN_PARTS:
            raise CheckpointError(f"{source}: more than {MOST_PLAIN_PARTS} parts")
        if isinstance(value, dict) and all(isinstance(key, _SCALARS) for key in value):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif not isinstance(value, (*_SCALARS, Tensor)):
            name = short(type(value).__name__)
            raise CheckpointError(f"{source}: holds a pickled {name}, not only tensors and plain types")
    return part


# Files


def _compare(file: BinaryIO, checksum: str) -> None:
    algorithm, digits = checksum.split()
    found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(digits):
        raise CheckpointError(
            f"its {algorithm} is {found} and should begin with {digits}: it is damaged, or another file "
            "took its place; get it again, or name another"
        )


def _read(file: BinaryIO) -> Any:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(b"PK"):
        return _read_zip(file)
    if head.startswith(b"\x80"):  # the first instruction of a pickle
        return _read_legacy(file)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return safetensors.torch.load(file.read())
    kind = kind_of(head)
    if kind is not None:
        raise CheckpointError(f"no checkpoint but {kind}")
    raise ValueError("a file of no known kind" if head else "an empty file")


def _read_zip(file: BinaryIO) -> Any:
    """Of ``<folder>/data.pkl`` in a zip archive, with the numbers of storages in ``<folder>/data/<key>``."""
    archive = zipfile.ZipFile(file)  # its ``read`` compares the checksum of a member
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(f"no checkpoint but {kind_of_zip(names)}")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("written on a machine of the other byte order")
    storages: dict[str, Tensor] = {}
    content = _Unpickler(io.BytesIO(archive.read(pickles[0])), storages).load()
    for key, numbers in storages.items():
        _fill(numbers, archive.read(f"{folder}data/{key}"))
    return _named_tensors(content) if f"{folder}constants.pkl" in names else content


def _read_legacy(file: BinaryIO) -> Any:
    """Of five pickles, after which the storages follow each other, each as its count (8 bytes) and its numbers."""
    storages: dict[str, Tensor] = {}

    def load() -> Any:
        return _Unpickler(file, storages).load()

    if load() != _LEGACY:
        raise ValueError("a pickle, but not of the form that torch writes")
    load()  # the format's version, which has always been the same
    system = load()
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("written on a machine of the other byte order")
    content, keys = load(), load()
    _check_keys(keys)
    for key in keys:
        if int.from_bytes(file.read(8), "little") != len(storages[key]):
            raise ValueError(f"the file ends or is damaged in storage {key}")
        _fill(storages[key], file.read(storages[key].nbytes))
    return content


def _fill(numbers: Tensor, data: bytes) -> None:
    """Writes the numbers of a storage, which its tensors are views of."""
    if len(data) < numbers.nbytes:
        raise ValueError(f"a storage has {len(data)} of {numbers.nbytes} bytes")
    numbers.view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8, numbers.nbytes)


def _named_tensors(module: Any, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a TorchScript module under the names that its state dict has."""
    found: dict[str, Tensor] = {}
    if isinstance(module, StandIn) and isinstance(module.state, dict):
        for name, value in module.state.items():
            found |= (
                {f"{prefix}{name}": value} if isinstance(value, Tensor) else _named_tensors(value, f"{prefix}{name}.")
            )
    return found


# Instructions


def _check_keys(keys: Iterable[Any]) -> None:
    """Raises ``ValueError`` for a tuple in a tuple: many levels of them end the process when they are hashed."""
    for key in keys:
        if isinstance(key, tuple) and any(isinstance(part, tuple) for part in key):
            raise ValueError("a dictionary or set with nested keys")


def _checking(follow: Callable[[Any], None], keys: slice) -> Callable[[Any], None]:
    """The instruction ``follow``, after a check of the part of the stack that it hashes."""

    def checked(unpickler: pickle._Unpickler) -> None:
        _check_keys(unpickler.stack[keys])
        follow(unpickler)

    return checked


class _Unpickler(pickle._Unpickler):
    """Runs one pickle. ``storages`` gets the storages that it describes, ``[count]`` each, to be filled afterwards."""

    def __init__(self, file: BinaryIO, storages: dict[str, Tensor]) -> None:
        super().__init__(file, encoding="latin-1")  # as Python 2 wrote text
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        dotted = f"{module}.{name}"
        return _KNOWN[dotted] if dotted in _KNOWN else type(dotted, (StandIn,), {})

    def persistent_load(self, description: Any) -> Any:
        """A storage; or, before torch 1.6, the class of a module, which comes with its source text."""
        if description[0] == "module":
            return description[1]
        _, of_type, key, _, count, *view = description
        name = getattr(of_type, "__name__", "")
        if type(key) is not str or name not in _DTYPES or any(view):
            raise ValueError(f"a storage of an unknown kind ({name})")
        if key not in self.storages:
            self.storages[key] = torch.empty(count, dtype=_DTYPES[name])
        return self.storages[key]

    def load_build(self) -> None:
        """Attributes of an object. Those of a dictionary (a state dict's ``_metadata``) are left out."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, StandIn):
            target.state = state

    dispatch = pickle._Unpickler.dispatch | {pickle.BUILD[0]: load_build} | {
        code[0]: _checking(pickle._Unpickler.dispatch[code[0]], keys)
        for code, keys in (
            (pickle.SETITEM, slice(-2, -1)), (pickle.SETITEMS, slice(None, None, 2)),
            (pickle.DICT, slice(None, None, 2)), (pickle.ADDITEMS, slice(None)), (pickle.FROZENSET, slice(None)),
        )
    }  # fmt: skip


def _dictionary(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    """An OrderedDict; Python 2 wrote its entries as pairs."""
    pairs = [(key, value) for key, value in pairs]
    _check_keys(key for key, _ in pairs)
    return dict(pairs)


def _tensor(numbers: Tensor, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """A view of a storage; torch raises an error if it reaches beyond it."""
    return torch.as_strided(numbers, shape, stride, offset)


_KNOWN = {
    "collections.OrderedDict": _dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
}
