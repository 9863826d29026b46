"""Checkpoint files of any origin, read as data: nothing that a file names is imported or called.

A pickle is a program that names classes and functions and has them called. Python's unpickler runs it here with a
``find_class`` that imports nothing: each name becomes an inert stand-in (``Foreign``), and a call of it gives another
one. Only OrderedDict and torch's ways to describe a tensor are understood.

It is the unpickler written in Python (``pickle._Unpickler``). The one in C hashes the keys of a dictionary before
anybody can check them, and a nested key can end the process; a file of 6 bytes makes it allocate gigabytes.
``torch.load(weights_only=True)`` needs each class allowed by name, reads no TorchScript archive (CLIP's are some) and
compares no checksum. Here the numbers of a zip archive are the bytes that were compared with its checksums. The format
before torch 1.6 and safetensors have none.

A file may still keep the reader busy for some seconds, take some hundred megabytes with its 4 MiB of instructions, and
hold wrong weights.
"""

import hashlib
import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from lib.runtime.file_kinds import HEAD, kind_of, kind_of_zip, short

LONGEST_PICKLE = 4 * 2**20  # bytes; a ViT-L with its optimizer has about 0.4 MiB
LONGEST_NAME, MOST_ARGUMENTS, MOST_AXES = 500, 16, 16
MOST_PARTS, MOST_LEVELS = 100_000, 50
_LEGACY = 0x1950A86A20F9469CFC6C
_DTYPES = {
    f"{kind}Storage": getattr(torch, kind.lower())
    for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Bool")
} | {"CharStorage": torch.int8, "ByteStorage": torch.uint8}
_SCALARS = (str, int, float, bool, bytes, type(None))


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or used; the message names the file and the remedy."""


@dataclass(eq=False, repr=False)
class Foreign:
    """Stand-in for a class or function that a file names, or for the object that a call of it would make.

    ``name`` is dotted, as in the file; ``state`` holds the object's attributes. Arguments and items are dropped.
    """

    name: str
    state: Any = None

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def append(self, item: Any) -> None:
        """Drops the item of a list's subclass."""

    def add(self, item: Any) -> None:
        """Drops the item of a set."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drops the entry of a dictionary's subclass."""


@dataclass(eq=False)
class _Storage:
    """The numbers that tensors are views of; ``read`` gives their bytes."""

    key: str
    dtype: torch.dtype
    count: int
    read: Callable[[], bytes] = bytes

    @property
    def size(self) -> int:
        return self.count * self.dtype.itemsize

    @cached_property
    def numbers(self) -> Tensor:
        """All numbers, ``[count]``, read once, so that tensors share a storage as they did when they were saved."""
        data = self.read()
        if len(data) < self.size:
            raise ValueError(f"storage {self.key} has {len(data)} of {self.size} bytes")
        numbers = torch.empty(self.count, dtype=self.dtype)
        numbers.view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8, self.size)
        return numbers


@dataclass(eq=False, repr=False)
class StoredTensor:
    """A tensor of a file that has not been read yet: a view of ``shape`` and ``stride`` into a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """Type of its numbers."""
        return self.storage.dtype

    def load(self) -> Tensor:
        """The tensor, on the CPU; raises an error if it reaches beyond its storage or repeats numbers of it."""
        elements = math.prod(self.shape)
        if elements == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        last = self.offset + sum((length - 1) * step for length, step in zip(self.shape, self.stride, strict=True))
        if elements > self.storage.count or last >= self.storage.count:
            raise ValueError(f"a tensor of shape {self.shape} in a storage of {self.storage.count} numbers")
        return self.storage.numbers.as_strided(self.shape, self.stride, self.offset)


def check_file(path: Path) -> None:
    """Raises CheckpointError unless there is a file."""
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; name a checkpoint in it")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")


def read_inert(path: Path, checksum: str | None = None) -> Any:
    """The content of a file that torch wrote (today's zip format or the one before torch 1.6); of a TorchScript archive
    or a safetensors file, the tensors by name.

    Tensors are ``StoredTensor``, or ``Tensor`` in a safetensors file; ``load_tensors`` reads their numbers. Anything
    but tensors and plain types is ``Foreign``. The file's digest must begin with ``checksum``, such as "sha256
    0b8b82f8"; it is computed from the same open file that the tensors are read from later. Raises CheckpointError for a
    file that is missing, damaged, of another checksum or no checkpoint.
    """
    check_file(path)
    try:
        file = _File(io.FileIO(path))
        if checksum is not None:
            _compare(file, checksum)
        return _read(file, os.fstat(file.fileno()).st_size)
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged or hostile file can make the reader raise nearly anything
        raise _damaged(path, error) from error


def load_tensors(stored: Mapping[Any, Any], source: Path | str) -> dict[str, Tensor]:
    """The tensors of a part of what ``read_inert`` gave, by name. Raises CheckpointError if it holds anything else, or
    if the file ends before their numbers do."""
    others = [str(name)[:80] for name, value in stored.items() if not (type(name) is str and is_tensor(value))]
    if others:
        raise CheckpointError(f"{source}: {len(others)} of its weights are no tensors ({', '.join(others[:5])})")
    return load_plain(dict(stored), source)


def load_plain(stored: Any, source: Path | str) -> Any:
    """A part of what ``read_inert`` gave with its tensors loaded. Raises CheckpointError if it holds anything but
    tensors, numbers, text, lists, tuples and dictionaries, if these are too many or nested too deeply, as in a list
    that contains itself, or if the file ends before its numbers do."""
    left = MOST_PARTS

    def load(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > MOST_LEVELS:
            raise CheckpointError(f"{source}: more than {MOST_PARTS} parts, or nested deeper than {MOST_LEVELS} levels")
        if isinstance(value, StoredTensor):
            return value.load()
        if isinstance(value, dict) and all(isinstance(key, _SCALARS) for key in value):
            return {key: load(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(load(inner, depth + 1) for inner in value)
        if isinstance(value, (*_SCALARS, Tensor)):
            return value
        name = short(value.name) if isinstance(value, Foreign) else type(value).__name__
        raise CheckpointError(f"{source}: holds a pickled {name}, not only tensors and plain types")

    try:
        return load(stored, 0)
    except CheckpointError:
        raise
    except Exception as error:  # as in read_inert
        raise _damaged(source, error) from error


def is_tensor(value: Any) -> bool:
    """Whether a value in what ``read_inert`` gave is a tensor, read or not."""
    return isinstance(value, (StoredTensor, Tensor))


def _damaged(source: Path | str, error: Exception) -> CheckpointError:
    lines = str(error).strip().splitlines() or [""]
    reason = lines[0] if isinstance(error, ValueError) else f"{type(error).__name__}: {lines[0]}"
    return CheckpointError(f"{source}: not a whole checkpoint ({reason[:200]}); copy or download it again")


# Files


class _File(io.BufferedReader):
    """Closes with the last tensor that could be read from it."""

    def __del__(self) -> None:
        self.close()

    def read_at(self, start: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``start`` on."""
        self.seek(start)
        return self.read(size)


def _compare(file: _File, checksum: str) -> None:
    algorithm, digits = checksum.split()
    found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(digits):
        raise CheckpointError(
            f"its {algorithm} is {found} and should begin with {digits}: it is damaged, or another file "
            "took its place; get it again, or name another"
        )


def _read(file: _File, size: int) -> Any:
    head = file.read_at(0, HEAD)
    file.seek(0)
    if head.startswith(b"PK"):
        return _read_zip(file, size)
    if head.startswith(b"\x80"):  # the first instruction of a pickle
        return _read_legacy(file, size)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return safetensors.torch.load(file.read())
    kind = kind_of(head)
    if kind is not None:
        raise CheckpointError(f"no checkpoint but {kind}")
    raise ValueError("an empty file" if not head else "a file of no known kind")


def _read_zip(file: _File, size: int) -> Any:
    """Of ``<folder>/data.pkl`` in a zip archive, with the numbers of storages in ``<folder>/data/<key>``."""
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointError(f"no checkpoint but {kind_of_zip(names)}")
    if sum(entry.compress_size for entry in archive.infolist()) > size:
        raise ValueError("its parts overlap")
    folder = pickles[0].removesuffix("data.pkl")

    def member(name: str) -> bytes:
        entry = archive.getinfo(folder + name)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{name} is compressed, which torch does not do")
        return archive.read(entry)  # which compares its checksum

    if f"{folder}byteorder" in names and member("byteorder") != b"little":
        raise ValueError("written on a machine of the other byte order")
    instructions = member("data.pkl")
    if len(instructions) > LONGEST_PICKLE:
        raise ValueError(f"its data.pkl is longer than {LONGEST_PICKLE} bytes")
    storages: dict[str, _Storage] = {}
    content = _Unpickler(io.BytesIO(instructions), storages).load()
    for storage in storages.values():
        storage.read = partial(member, f"data/{storage.key}")
    return _named_tensors(content) if f"{folder}constants.pkl" in names else content


def _read_legacy(file: _File, size: int) -> Any:
    """Of five pickles, after which the storages follow each other, each as its count (8 bytes) and its numbers."""
    storages: dict[str, _Storage] = {}
    pickles = io.BytesIO(file.read(LONGEST_PICKLE))

    def load() -> Any:
        return _Unpickler(pickles, storages).load()

    if load() != _LEGACY:
        raise ValueError("a pickle, but not of the form that torch writes")
    load()  # the format's version, which has always been the same
    system = load()
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("written on a machine of the other byte order")
    content, keys = load(), load()
    place = pickles.tell()
    for storage in [storages[key] for key in keys]:
        start, place = place + 8, place + 8 + storage.size
        if int.from_bytes(file.read_at(start - 8, 8), "little") != storage.count or place > size:
            raise ValueError(f"the file ends or is damaged in storage {storage.key}")
        storage.read = partial(file.read_at, start, storage.size)
    return content


def _named_tensors(module: Any) -> dict[str, StoredTensor]:
    """The tensors of a TorchScript module under the names that its state dict has, each module once."""
    found: dict[str, StoredTensor] = {}
    seen: set[int] = set()
    waiting = [("", module)]
    while waiting:
        prefix, part = waiting.pop()
        if len(prefix) > LONGEST_NAME:
            raise ValueError("its modules are nested too deeply")
        attributes = part.state if isinstance(part, Foreign) else None
        if not isinstance(attributes, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        for name, value in attributes.items():
            if is_tensor(value):
                found[f"{prefix}{name}"] = value
            else:
                waiting.append((f"{prefix}{name}.", value))
    return found


# Parts of a pickle


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    proper = isinstance(storage, _Storage) and type(shape) is type(stride) is tuple and len(shape) <= MOST_AXES
    if not proper or not all(type(number) is int and 0 <= number < 2**63 for number in (offset, *shape, *stride)):
        raise ValueError("a tensor without a storage or a proper shape")
    return StoredTensor(storage, offset, shape, stride)


def _check_key(key: Any) -> None:
    """Raises ``ValueError`` for a key whose hash may do harm: that of nested tuples can end the process, and huge
    numbers can be chosen so that all have the same one."""
    for item in key if type(key) is tuple and len(key) <= MOST_ARGUMENTS else (key,):
        if not isinstance(item, (*_SCALARS, Foreign)) or (isinstance(item, int) and abs(item) >= 2**60):
            raise ValueError("a dictionary whose keys are nested or huge numbers")


# Instructions


class _Unpickler(pickle._Unpickler):
    """Runs one pickle on plain data; ``storages`` collects the storages that it describes."""

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file, encoding="latin-1")  # as Python 2 wrote text
        self.storages = storages
        self.pairs_left = MOST_PARTS
        self.calls: dict[str, Callable[..., Any]] = {
            "torch._utils._rebuild_tensor": _tensor,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": lambda data, requires_grad, hooks: data,
            "collections.OrderedDict": self.dictionary,
        }

    def load(self) -> Any:
        try:
            value = super().load()
        except EOFError as error:
            raise ValueError(f"its pickle has no end, or is longer than {LONGEST_PICKLE} bytes") from error
        if self.stack or self.metastack:
            raise ValueError("a damaged pickle")
        return value

    def find_class(self, module: str, name: str) -> Foreign:
        if len(module) + len(name) > LONGEST_NAME:
            raise ValueError("its pickle has a name that is too long")
        return Foreign(f"{module}.{name}")

    def persistent_load(self, description: Any) -> Any:
        """A storage; or, before torch 1.6, the class of a module, which comes with its source text."""
        known = type(description) is tuple and 2 <= len(description) <= MOST_ARGUMENTS
        kind = description[0] if known else None
        if kind == "module":
            return description[1]
        if kind != "storage":
            raise ValueError("its pickle refers to something outside that is no storage")
        _, of_type, key, _, count, *view = description
        name = of_type.name if isinstance(of_type, Foreign) else ""
        dtype = _DTYPES.get(name.rpartition(".")[2])
        if dtype is None or type(key) is not str or type(count) is not int or count < 0 or any(view):
            raise ValueError(f"a storage of an unknown kind ({name})")
        storage = self.storages.setdefault(key, _Storage(key, dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise ValueError(f"storage {key} is described in two ways")
        return storage

    def dictionary(self, pairs: Iterable[Any] = ()) -> dict[Any, Any]:
        """An OrderedDict; Python 2 wrote its entries as pairs, and one list of them can be that of many calls."""
        result = {}
        for key, value in pairs:
            _check_key(key)
            result[key] = value
            self.pairs_left -= 1
            if self.pairs_left < 0:
                raise ValueError(f"more than {MOST_PARTS} entries")
        return result

    def load_reduce(self) -> None:
        """The result of a call, or a stand-in for it."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Foreign) or not isinstance(arguments, tuple):
            raise ValueError(f"its pickle calls a {type(function).__name__} with a {type(arguments).__name__}")
        call = self.calls.get(function.name)
        if call and len(arguments) > MOST_ARGUMENTS:
            raise ValueError(f"its pickle calls {function.name} with too much")
        self.append(call(*arguments) if call else Foreign(function.name))

    load_newobj = load_reduce

    def load_newobj_ex(self) -> None:
        self.stack.pop()  # the keywords
        self.load_reduce()

    def load_build(self) -> None:
        """Attributes of an object. Those of a dictionary (a state dict's ``_metadata``) are left out."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Foreign):
            target.state = state
        elif not isinstance(target, dict):
            raise ValueError(f"its pickle gives attributes to a {type(target).__name__}")

    def load_setitem(self) -> None:
        _check_key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        for key in self.stack[::2]:
            _check_key(key)
        super().load_setitems()

    def load_empty_set(self) -> None:
        """A stand-in, so that no item is hashed."""
        self.append(Foreign("builtins.set"))

    def load_frozenset(self) -> None:
        self.pop_mark()
        self.append(Foreign("builtins.frozenset"))


# The instructions by their codes, with the methods above in place of the library's.
_NOT_OF_TORCH = (
    pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.INST, pickle.OBJ, pickle.DICT, pickle.BYTEARRAY8,
    pickle.NEXT_BUFFER, pickle.READONLY_BUFFER,
)  # fmt: skip
_Unpickler.dispatch = {
    code: getattr(_Unpickler, follow.__name__)
    for code, follow in pickle._Unpickler.dispatch.items()
    if bytes([code]) not in _NOT_OF_TORCH
}
