"""Torch files of any origin, read without executing anything in them.

A pickle is a program: it names classes and functions and has them called. Here its instructions, as the standard
library's ``pickletools`` decodes them, are followed on plain data alone. No name is ever looked up, nothing is called:
a class or function becomes a ``Foreign`` that says what stood there. Only a short table of plain types and of torch's
ways to describe a tensor is understood (``_PLAIN``).

torch's own reader of weights (``torch.load(weights_only=True)``) would need every class named beforehand, for the whole
process, cannot stand in for a dictionary's subclass, and does not read TorchScript archives, which CLIP's are.

What is not guarded against: a file may keep the reader busy for some seconds and take some hundred megabytes with the
4 MiB of instructions it may have, besides memory for the numbers it really holds; and its weights may be anything.
"""

from __future__ import annotations

import io
import mmap
import pickletools
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch
from torch import Tensor

from lib.runtime.checkpoint import CheckpointError

LONGEST_PICKLE = 4 * 2**20  # bytes; that of a ViT-L with its optimiser has about 0.4 MiB
MOST_AXES = 16
MOST_PARTS, MOST_LEVELS = 100_000, 50
_ZIP, _LEGACY = b"PK\x03\x04", 0x1950A86A20F9469CFC6C
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_SCALARS = (str, int, float, bool, bytes, type(None))


@dataclass(eq=False, repr=False)
class Foreign:
    """Stands for a class, a function, or what one would have made; nothing of it exists.

    ``name``: dotted, as the file has it. ``arguments``: those of the call, None for the bare name. ``state``, ``items``
    and ``entries``: what an object would have been given then as attributes, as a list and as a dictionary.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.name}>"


class _Records(Protocol):
    """Where the numbers of storages lie in a file."""

    def read(self, key: str, size: int) -> bytes:
        """At least the first ``size`` bytes of the storage's."""


@dataclass(eq=False)
class _Storage:
    records: _Records
    key: str
    dtype: torch.dtype
    count: int

    @cached_property
    def numbers(self) -> Tensor:
        """All of it, ``[count]``, read once: tensors that share a storage go on sharing it."""
        data = bytearray(self.records.read(self.key, self.count * self.dtype.itemsize))
        return torch.frombuffer(data, dtype=self.dtype, count=self.count)


@dataclass(eq=False, repr=False)
class StoredTensor:
    """A tensor of a file that has not been read yet: a view of ``shape`` and ``stride`` into a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (self.offset, *self.shape, *self.stride)
        whole = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
        if not whole or len(self.shape) != len(self.stride) or len(self.shape) > MOST_AXES:
            raise ValueError("a tensor without a proper shape")

    @property
    def dtype(self) -> torch.dtype:
        """Type of its numbers."""
        return self.storage.dtype

    def load(self) -> Tensor:
        """The tensor, on the CPU; ``ValueError`` if it would reach beyond its storage or repeat numbers of it."""
        elements, last = 1, self.offset
        for length, step in zip(self.shape, self.stride, strict=True):
            elements *= length
            last += (length - 1) * step
        if elements == 0:
            return torch.empty(self.shape, dtype=self.dtype)
        if elements > self.storage.count or last >= self.storage.count:
            raise ValueError(f"a tensor of shape {self.shape} in a storage of {self.storage.count} numbers")
        return self.storage.numbers.as_strided(self.shape, self.stride, self.offset)


def read_inert(path: Path) -> Any:
    """The content of a torch file: of the zip format, of the one before torch 1.6, or of a TorchScript archive, whose
    content is its tensors by name. Tensors are ``StoredTensor``, which ``load_tensors`` reads; what is neither a tensor
    nor of a plain type is ``Foreign``.

    Raises CheckpointError for a file that is missing, damaged or not torch's, or that has instructions which torch does
    not write.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with open(path, "rb") as file:
            return _read_zip(path) if file.read(4) == _ZIP else _read_legacy(file)
    except Exception as error:  # a damaged or hostile file can make the reader raise nearly anything
        raise CheckpointError(f"{path}: not a whole checkpoint ({_reason(error)})") from error


def load_tensors(stored: Mapping[Any, Any], source: Path | str) -> dict[str, Tensor]:
    """The tensors of a part of what ``read_inert`` gave, by name. Raises CheckpointError if it holds anything else, or
    if the file ends before their numbers do."""
    others = [str(name)[:80] for name, value in stored.items() if not (type(name) is str and _is_tensor(value))]
    if others:
        raise CheckpointError(f"{source}: {len(others)} of its weights are no tensors ({', '.join(others[:5])})")
    try:
        return {name: value.load() for name, value in stored.items()}
    except Exception as error:  # as above
        raise CheckpointError(f"{source}: not a whole checkpoint ({_reason(error)})") from error


def is_plain_tree(value: Any) -> bool:
    """Whether a part of what ``read_inert`` gave is a tree as a configuration is one: dictionaries with text for keys,
    lists, text, numbers, in reasonable number and depth, so that it may be walked through and printed."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if isinstance(part, dict) and all(type(key) is str for key in part):
            waiting += [(inner, depth + 1) for inner in part.values()]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
        elif not isinstance(part, (str, int, float, bool, type(None))):
            return False
        if seen + len(waiting) > MOST_PARTS or depth > MOST_LEVELS:
            return False
    return True


def _is_tensor(value: Any) -> bool:
    return isinstance(value, StoredTensor)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200] if not isinstance(error, ValueError) else lines[0][:200]


# Files


class _ZipRecords:
    """``<folder>/data/<key>`` of a zip archive, compared with the archive's checksums."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path)
        self.names = set(self.archive.namelist())
        self.left = path.stat().st_size  # members that overlap could hold more than the file
        pickles = [name for name in self.names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("a zip archive, but not torch's: it has no data.pkl")
        self.folder = pickles[0].removesuffix("/data.pkl")

    def has(self, name: str) -> bool:
        return f"{self.folder}/{name}" in self.names

    def member(self, name: str) -> bytes:
        entry = self.archive.getinfo(f"{self.folder}/{name}")
        self.left -= entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or self.left < 0:
            raise ValueError(f"{name} is compressed, which torch does not do")
        return self.archive.read(entry)

    def read(self, key: str, size: int) -> bytes:
        data = self.member(f"data/{key}")
        if len(data) < size:
            raise ValueError(f"storage {key} has {len(data)} of {size} bytes")
        return data


def _read_zip(path: Path) -> Any:
    records = _ZipRecords(path)
    if records.has("byteorder") and records.member("byteorder") != b"little":
        raise ValueError("written on a machine of the other byte order")
    content = _Machine(records).run(io.BytesIO(records.member("data.pkl")))
    return _named_tensors(content) if records.has("constants.pkl") else content


class _LegacyRecords:
    """Storages that follow each other after the pickles, each as its count (8 bytes) and its numbers."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.places: dict[str, tuple[int, int]] = {}

    def place(self, storages: Iterable[_Storage]) -> None:
        """Finds the storages, in this order, from the file's position on."""
        position = self.data.tell()
        for storage in storages:
            count = int.from_bytes(self.data[position : position + 8], "little")
            size = storage.count * storage.dtype.itemsize
            if count != storage.count or position + 8 + size > len(self.data):
                raise ValueError(f"the file ends or is damaged in storage {storage.key}")
            self.places[storage.key] = position + 8, size
            position += 8 + size

    def read(self, key: str, size: int) -> bytes:
        start, stored = self.places[key]
        assert size == stored
        return self.data[start : start + size]


def _read_legacy(file: BinaryIO) -> Any:
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    records = _LegacyRecords(data)
    machine = _Machine(records)
    if machine.run(data) != _LEGACY:
        raise ValueError("not a torch file")
    machine.run(data)  # the format's version, which has always been the same
    system = machine.run(data)
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("written on a machine of the other byte order")
    content, keys = machine.run(data), machine.run(data)
    if not (isinstance(keys, list) and all(type(key) is str for key in keys)):
        raise ValueError("its list of storages is damaged")
    records.place(machine.storages[key] for key in keys)
    return content


def _named_tensors(module: Any) -> dict[str, StoredTensor]:
    """The tensors of a TorchScript module under the names that its state dict has, each module once."""
    found: dict[str, StoredTensor] = {}
    seen: set[int] = set()
    waiting = [("", module)]
    while waiting:
        prefix, part = waiting.pop()
        attributes = part.state if isinstance(part, Foreign) else None
        if not isinstance(attributes, dict) or id(part) in seen:
            continue
        seen.add(id(part))
        for name, value in attributes.items():
            if _is_tensor(value):
                found[f"{prefix}{name}"] = value
            else:
                waiting.append((f"{prefix}{name}.", value))
    return found


# Plain types, and torch's ways to describe a tensor, by the name of what would be called with such arguments


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not (isinstance(storage, _Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise ValueError("a tensor without a storage")
    return StoredTensor(storage, offset, shape, stride)


def _dictionary(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    return {_key(key): value for key, value in pairs}


def _encoded(text: Any, encoding: Any) -> bytes:
    if type(text) is not str:  # to print a value that refers to itself many times over would take for ever
        raise ValueError("bytes that are no text")
    return text.encode("latin-1")


_PLAIN: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, requires_grad, hooks: data,
    "torch.Size": lambda sizes: tuple(sizes),
    "collections.OrderedDict": _dictionary,
    "builtins.set": lambda items=(): {_key(item) for item in items},
    "builtins.frozenset": lambda items=(): frozenset(_key(item) for item in items),
    "builtins.complex": lambda real, imaginary: complex(float(real), float(imaginary)),
    "_codecs.encode": _encoded,
}


def _key(value: Any) -> Any:
    """The key of a dictionary or member of a set, if hashing it is harmless."""
    flat = value if type(value) is tuple else (value,)
    if not all(isinstance(item, (*_SCALARS, Foreign)) for item in flat):
        raise ValueError("a dictionary whose keys are no plain values")
    return value


# Instructions

_PUSHED = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Follows the instructions of pickles, of one file, on plain data."""

    def __init__(self, records: _Records) -> None:
        self.records = records
        self.storages: dict[str, _Storage] = {}

    def run(self, file: Any) -> Any:
        """The value of the pickle that begins at the file's position; ``file`` is then behind it."""
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        start = file.tell()
        for opcode, argument, position in pickletools.genops(file):
            if position - start > LONGEST_PICKLE:
                raise ValueError(f"its pickle is longer than {LONGEST_PICKLE} bytes")
            name = opcode.name
            if name in _PUSHED:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _TUPLES:
                self.stack.append(tuple(self._last(_TUPLES[name])))
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif name in ("APPEND", "SETITEM"):
                self._add(self._last(1 if name == "APPEND" else 2))
            elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
                self._add_all(name, self._since_mark())
            elif name not in ("PROTO", "FRAME", "STOP"):
                self._rarer(name, argument)
        if len(self.stack) != 1 or self.marks:
            raise ValueError("a damaged pickle")
        return self.stack[0]

    def _rarer(self, name: str, argument: Any) -> None:
        """All other instructions: marks, containers from a mark on, and all that would find or call something."""
        stack = self.stack
        if name == "MARK":
            self.marks.append(len(stack))
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._since_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name == "LIST":
            stack.append(self._since_mark())
        elif name == "DICT":
            stack.append(_dictionary(_pairs(self._since_mark())))
        elif name == "FROZENSET":
            stack.append(frozenset(_key(item) for item in self._since_mark()))
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(_named(*self._last(2)))
        elif name == "REDUCE":
            stack.append(_called(*self._last(2)))
        elif name == "NEWOBJ":
            stack.append(_made(*self._last(2)))
        elif name == "NEWOBJ_EX":
            made, arguments, keywords = self._last(3)
            stack.append(_made(made, (*arguments, keywords)))
        elif name == "INST":
            stack.append(_made(_named(*argument.split(" ", 1)), tuple(self._since_mark())))
        elif name == "OBJ":
            made, *arguments = self._since_mark()
            stack.append(_made(made, tuple(arguments)))
        elif name == "BUILD":
            self._build()
        elif name == "BINPERSID":
            stack.append(self._persistent(stack.pop()))
        else:
            raise ValueError(f"its pickle has the instruction {name}, which torch does not write")

    def _last(self, count: int) -> list[Any]:
        """Takes the last values off the stack, of those behind the last mark."""
        first = len(self.stack) - count
        if first < (self.marks[-1] if self.marks else 0):
            raise ValueError("a damaged pickle")
        values = self.stack[first:]
        del self.stack[first:]
        return values

    def _since_mark(self) -> list[Any]:
        return self._last(len(self.stack) - self.marks.pop())

    def _add(self, values: list[Any]) -> None:
        self._add_all("APPENDS" if len(values) == 1 else "SETITEMS", values)

    def _add_all(self, name: str, values: list[Any]) -> None:
        """Into the last value on the stack, a container or the stand-in for an object that is one."""
        target = self.stack[-1]
        if name == "SETITEMS" and isinstance(target, (dict, Foreign)):
            (target.entries if isinstance(target, Foreign) else target).update(_dictionary(_pairs(values)))
        elif name == "APPENDS" and isinstance(target, (list, Foreign)):
            (target.items if isinstance(target, Foreign) else target).extend(values)
        elif name == "ADDITEMS" and isinstance(target, set):
            target.update(_key(value) for value in values)
        else:
            raise ValueError(f"its pickle fills a {type(target).__name__} by {name}")

    def _build(self) -> None:
        """Attributes of an object. Those of a dictionary (a state dict's ``_metadata``) are left out."""
        [state] = self._last(1)
        target = self.stack[-1]
        if isinstance(target, Foreign) and target.arguments is not None:
            target.state = state
        elif not isinstance(target, dict):
            raise ValueError(f"its pickle gives attributes to a {type(target).__name__}")

    def _persistent(self, told: Any) -> Any:
        """What torch keeps outside of the pickle: a storage; or the class of a module beside its source text, which
        the format before torch 1.6 has."""
        kind = told[0] if type(told) is tuple and told else None
        if kind == "module":
            return told[1]
        if kind != "storage":
            raise ValueError("its pickle refers to something outside that is no storage")
        _, of_type, key, _, count, *view = told
        name = of_type.name if isinstance(of_type, Foreign) else ""
        dtype = _DTYPES.get(name.rpartition(".")[2])
        if dtype is None or type(key) is not str or type(count) is not int or count < 0 or any(view):
            raise ValueError(f"a storage of an unknown kind ({name})")
        storage = self.storages.setdefault(key, _Storage(self.records, key, dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise ValueError(f"storage {key} is described in two ways")
        return storage


def _named(module: Any, name: Any) -> Foreign:
    """A class or function; Python 3 names its builtins as Python 2 did in the pickles that torch writes."""
    if type(module) is not str or type(name) is not str:
        raise ValueError("its pickle names something by no text")
    return Foreign(f"{module}.{name}".replace("__builtin__.", "builtins.", 1))


def _called(function: Any, arguments: Any) -> Any:
    """What a call gives: a value of a plain type, or a stand-in."""
    if isinstance(function, Foreign) and function.arguments is None and function.name in _PLAIN:
        return _PLAIN[function.name](*arguments)
    return _made(function, arguments)


def _made(function: Any, arguments: Any) -> Foreign:
    if not isinstance(function, Foreign) or type(arguments) is not tuple:
        raise ValueError(f"its pickle calls a {type(function).__name__}")
    return Foreign(function.name, arguments)


def _pairs(values: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(values[::2], values[1::2], strict=True)
