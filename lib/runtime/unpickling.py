"""Checkpoint files of any origin, read without executing anything in them.

A pickle is a program: it names classes and functions and has them called. Here the standard library's unpickler runs
it with three changes. A name becomes a ``Foreign``, an inert stand-in: nothing is imported, and a call of it gives
another stand-in. Only a short table of plain types and of torch's ways to describe a tensor is understood (``_PLAIN``).
Instructions that torch does not write are refused (``_SAME`` and ``_OURS`` are the others).

The unpickler is the library's version in Python (``pickle._Unpickler``, which joblib and dill extend in the same way):
the version in C hashes keys of any depth, which can end the process, and lets a file of 6 bytes allocate gigabytes.

torch's own reader of weights (``torch.load(weights_only=True)``) would need every class named beforehand, for the whole
process, cannot stand in for a dictionary's subclass, does not read TorchScript archives, which CLIP's are, and compares
no checksum. Here the numbers of a zip archive are the bytes that were compared with its checksums. The format before
torch 1.6 and safetensors have none.

What is not guarded against: a file may keep the reader busy for some seconds and take some hundred megabytes with the
4 MiB of instructions it may have, besides memory for the numbers it really holds; and its weights may be anything.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from lib.runtime.file_kinds import HEAD, kind_of, kind_of_zip, short

LONGEST_PICKLE = 4 * 2**20  # bytes; that of a ViT-L with its optimiser has about 0.4 MiB
MOST_AXES = 16
MOST_PARTS, MOST_LEVELS = 100_000, 50
_ZIP, _LEGACY = b"PK", 0x1950A86A20F9469CFC6C
LONGEST_NAME, MOST_ARGUMENTS = 500, 16
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
_CONTAINERS = (dict, list, tuple, set, frozenset)


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or used; the message names the file and the remedy."""


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

    def append(self, item: Any) -> None:
        """Fills the stand-in for an object that is a list, as the unpickler does."""
        self.items.append(item)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value


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
        size = self.count * self.dtype.itemsize
        data = self.records.read(self.key, size)
        numbers = torch.empty(self.count, dtype=self.dtype)
        numbers.view(torch.uint8).numpy()[:] = np.frombuffer(data, np.uint8, size)
        return numbers


@dataclass(eq=False, repr=False)
class StoredTensor:
    """A tensor of a file that has not been read yet: a view of ``shape`` and ``stride`` into a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.stride) or len(self.shape) > MOST_AXES:
            raise ValueError("a tensor without a proper shape")
        if not all(type(number) is int and 0 <= number < 2**63 for number in (self.offset, *self.shape, *self.stride)):
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


def check_file(path: Path) -> None:
    """Raises CheckpointError unless there is a file."""
    if path.is_dir():
        raise CheckpointError(f"{path}: a folder; name a checkpoint in it")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")


def read_inert(path: Path, checksum: str | None = None) -> Any:
    """The content of a torch file: of the zip format, of the one before torch 1.6, or of a TorchScript archive, whose
    content is its tensors by name, as that of a safetensors file is. Tensors are ``StoredTensor`` (of a safetensors
    file, ``Tensor``), which ``load_tensors`` reads; what is neither a tensor nor of a plain type is ``Foreign``.

    ``checksum``, such as "sha256 0b8b82f8", is what the digest of the file must begin with; it is computed of the same
    open file that tensors are read from later. Raises CheckpointError for a file that is missing, damaged, of another
    checksum or no checkpoint, or that has instructions which torch does not write.
    """
    check_file(path)
    try:
        with ExitStack() as until_read:
            file = until_read.enter_context(open(path, "rb"))
            if checksum is not None:
                _compare(file, checksum)
            content = _read(file, os.fstat(file.fileno()).st_size)
            until_read.pop_all()  # what tensors are read from closes it
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged or hostile file can make the reader raise nearly anything
        raise _damaged(path, error) from error
    return content


def load_tensors(stored: Mapping[Any, Any], source: Path | str) -> dict[str, Tensor]:
    """The tensors of a part of what ``read_inert`` gave, by name. Raises CheckpointError if it holds anything else, or
    if the file ends before their numbers do."""
    others = [str(name)[:80] for name, value in stored.items() if not (type(name) is str and is_tensor(value))]
    if others:
        raise CheckpointError(f"{source}: {len(others)} of its weights are no tensors ({', '.join(others[:5])})")
    return {name: _loaded(value, source) for name, value in stored.items()}


def load_plain(stored: Any, source: Path | str) -> Any:
    """A part of what ``read_inert`` gave with its tensors loaded. Raises CheckpointError if it holds anything but
    tensors and plain types, or too much or too deep, or if the file ends before its numbers do."""
    try:
        strange = next((part for part in _parts(stored) if not _is_plain(part)), None)
    except ValueError as error:
        raise CheckpointError(f"{source}: not a checkpoint of this project ({error})") from error
    if strange is not None:
        name = strange.name if isinstance(strange, Foreign) else type(strange).__name__
        raise CheckpointError(f"{source}: holds a pickled {short(name)}, not only tensors and plain types")
    return _loaded(stored, source)


def is_tensor(value: Any) -> bool:
    """Whether a value in what ``read_inert`` gave is a tensor, read or not."""
    return isinstance(value, (StoredTensor, Tensor))


def is_plain_tree(value: Any) -> bool:
    """Whether a part of what ``read_inert`` gave is a tree as a configuration is one: dictionaries with text for keys,
    lists, text, numbers, in reasonable number and depth, so that it may be walked through and printed."""
    try:
        return all(
            all(type(key) is str for key in part)
            if isinstance(part, dict)
            else isinstance(part, (list, str, int, float, type(None)))
            for part in _parts(value)
        )
    except ValueError:  # without end, or nearly so
        return False


def _parts(value: Any) -> Iterator[Any]:
    """A value and all parts of its containers, each time they are referred to; ``ValueError`` once they are too many or
    too deep, as the parts of a list inside itself are."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        yield part
        if isinstance(part, _CONTAINERS):
            waiting += [(inner, depth + 1) for inner in (part.values() if isinstance(part, dict) else part)]
        if seen + len(waiting) > MOST_PARTS or depth > MOST_LEVELS:
            raise ValueError(f"more than {MOST_PARTS} parts" if depth <= MOST_LEVELS else "nested too deeply")


def _is_plain(part: Any) -> bool:
    if isinstance(part, dict):
        return all(isinstance(key, _SCALARS) for key in part)
    return isinstance(part, (*_SCALARS, *_CONTAINERS, complex)) or is_tensor(part)


def _loaded(stored: Any, source: Path | str) -> Any:
    try:
        return _with_tensors(stored)
    except Exception as error:  # as in read_inert
        raise _damaged(source, error) from error


def _with_tensors(value: Any) -> Any:
    """The same tree with tensors read."""
    if isinstance(value, StoredTensor):
        return value.load()
    if isinstance(value, dict):
        return {key: _with_tensors(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_with_tensors(inner) for inner in value)
    return value


def _damaged(source: Path | str, error: Exception) -> CheckpointError:
    lines = str(error).strip().splitlines() or [""]
    reason = lines[0] if isinstance(error, ValueError) else f"{type(error).__name__}: {lines[0]}"
    return CheckpointError(f"{source}: not a whole checkpoint ({reason[:200]}); copy or download it again")


# Files


def _compare(file: BinaryIO, checksum: str) -> None:
    algorithm, digits = checksum.split()
    found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(digits):
        raise CheckpointError(
            f"its {algorithm} is {found} and should begin with {digits}: it is damaged, or another file "
            "took its place; get it again, or name another"
        )


def _read(file: BinaryIO, size: int) -> Any:
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(_ZIP):
        return _read_zip(file, size)
    if head.startswith(b"\x80"):  # the first instruction of a pickle
        return _read_legacy(file, size)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        with file:
            return safetensors.torch.load(file.read())
    kind = kind_of(head)
    if kind is not None:
        raise CheckpointError(f"no checkpoint but {kind}")
    raise ValueError("an empty file" if not head else "a file of no known kind")


class _ZipRecords:
    """``<folder>/data/<key>`` of a zip archive, compared with the archive's checksums."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        if not zipfile.is_zipfile(file):
            raise ValueError("the end is missing")
        self.archive = zipfile.ZipFile(file)
        weakref.finalize(self, file.close)
        self.names = set(self.archive.namelist())
        self.left = size  # members that overlap could hold more than the file
        pickles = [name for name in self.names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise CheckpointError(f"no checkpoint but {kind_of_zip(self.archive.namelist())}")
        self.folder = pickles[0].removesuffix("/data.pkl")

    def has(self, name: str) -> bool:
        return f"{self.folder}/{name}" in self.names

    def member(self, name: str, most: int | None = None) -> bytes:
        entry = self.archive.getinfo(f"{self.folder}/{name}")
        self.left -= entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or self.left < 0:
            raise ValueError(f"{name} is compressed, which torch does not do")
        if most is not None and entry.file_size > most:
            raise ValueError(f"its {name} is longer than {most} bytes")
        return self.archive.read(entry)

    def read(self, key: str, size: int) -> bytes:
        data = self.member(f"data/{key}")
        if len(data) < size:
            raise ValueError(f"storage {key} has {len(data)} of {size} bytes")
        return data


def _read_zip(file: BinaryIO, size: int) -> Any:
    records = _ZipRecords(file, size)
    if records.has("byteorder") and records.member("byteorder") != b"little":
        raise ValueError("written on a machine of the other byte order")
    content = _Unpickler(io.BytesIO(records.member("data.pkl", LONGEST_PICKLE)), records, {}).load()
    return _named_tensors(content) if records.has("constants.pkl") else content


class _LegacyRecords:
    """Storages that follow each other after the pickles, each as its count (8 bytes) and its numbers."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        weakref.finalize(self, file.close)
        self.places: dict[str, tuple[int, int]] = {}

    def place(self, storages: Iterable[_Storage]) -> None:
        """Finds the storages, in this order, from the file's position on."""
        for storage in storages:
            count = int.from_bytes(self.file.read(8), "little")
            start, size = self.file.tell(), storage.count * storage.dtype.itemsize
            if count != storage.count or start + size > self.size:
                raise ValueError(f"the file ends or is damaged in storage {storage.key}")
            self.places[storage.key] = start, size
            self.file.seek(start + size)

    def read(self, key: str, size: int) -> bytes:
        start, stored = self.places[key]
        assert size == stored
        self.file.seek(start)
        return self.file.read(size)


def _read_legacy(file: BinaryIO, size: int) -> Any:
    records, storages = _LegacyRecords(file, size), {}
    pickles = io.BytesIO(file.read(LONGEST_PICKLE))

    def load() -> Any:
        return _Unpickler(pickles, records, storages).load()

    if load() != _LEGACY:
        raise ValueError("a pickle, but not of the form that torch writes")
    load()  # the format's version, which has always been the same
    system = load()
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("written on a machine of the other byte order")
    content, keys = load(), load()
    if not (isinstance(keys, list) and all(type(key) is str for key in keys)):
        raise ValueError("its list of storages is damaged")
    file.seek(pickles.tell())
    records.place(storages[key] for key in keys)
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


_KEYS = (*_SCALARS, Foreign)


def _key(value: Any) -> Any:
    """The key of a dictionary or member of a set, if hashing it is harmless: a deep one would end the process, and
    numbers can be chosen so that all have one hash."""
    for item in value if type(value) is tuple and len(value) <= MOST_ARGUMENTS else (value,):
        if not isinstance(item, _KEYS):
            raise ValueError("a dictionary whose keys are no plain values")
        if isinstance(item, int) and abs(item) >= 2**60:
            raise ValueError("a dictionary whose keys are huge numbers")
    return value


# Instructions


class _Unpickler(pickle._Unpickler):
    """Follows the instructions of one pickle, whose storages are described in ``storages`` then, on plain data."""

    def __init__(self, file: BinaryIO, records: _Records, storages: dict[str, _Storage]) -> None:
        super().__init__(file, encoding="latin-1")  # as Python 2 wrote text
        self.records, self.storages = records, storages
        self.copies_left = LONGEST_PICKLE

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
        # Python 3 names its builtins as Python 2 did in the pickles that torch writes.
        return Foreign(f"{module}.{name}".replace("__builtin__.", "builtins.", 1))

    def persistent_load(self, description: Any) -> Any:
        """What torch keeps outside of the pickle: a storage; or the class of a module beside its source text, which
        the format before torch 1.6 has."""
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
        storage = self.storages.setdefault(key, _Storage(self.records, key, dtype, count))
        if (storage.dtype, storage.count) != (dtype, count):
            raise ValueError(f"storage {key} is described in two ways")
        return storage

    def reduce(self) -> None:
        """REDUCE and NEWOBJ: the arguments lie on what would be called."""
        arguments = self.stack.pop()
        if type(arguments) is not tuple:
            raise ValueError(f"its pickle calls something with a {type(arguments).__name__}")
        self._instantiate(self.stack.pop(), arguments)

    def new_object_with_keywords(self) -> None:
        """NEWOBJ_EX."""
        keywords, arguments = self.stack.pop(), self.stack.pop()
        self._instantiate(self.stack.pop(), (*arguments[:MOST_ARGUMENTS], keywords))

    def _instantiate(self, function: Any, arguments: Any) -> None:
        """Puts what a call gives on the stack: a value of a plain type, or a stand-in."""
        if not isinstance(function, Foreign):
            raise ValueError(f"its pickle calls a {type(function).__name__}")
        plain = _PLAIN.get(function.name) if function.arguments is None else None
        if plain is None:
            self.append(Foreign(function.name, tuple(arguments)))
            return
        # What is copied must have come from the file, and not the same again and again.
        self.copies_left -= sum(
            len(part) for part in arguments[:MOST_ARGUMENTS] if isinstance(part, (str, *_CONTAINERS))
        )
        if len(arguments) > MOST_ARGUMENTS or self.copies_left < 0:
            raise ValueError(f"its pickle calls {function.name} with too much")
        self.append(plain(*arguments))

    def build(self) -> None:
        """BUILD: attributes of an object. Those of a dictionary (a state dict's ``_metadata``) are left out."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Foreign) and target.arguments is not None:
            target.state = state
        elif not isinstance(target, dict):
            raise ValueError(f"its pickle gives attributes to a {type(target).__name__}")


def _with_plain_keys(instruction: str, keys: slice) -> Callable[[_Unpickler], None]:
    """The library's instruction, once what it hashes, at these places of the stack, is found harmless."""
    follow = pickle._Unpickler.dispatch[getattr(pickle, instruction)[0]]

    def checked(unpickler: _Unpickler) -> None:
        for key in unpickler.stack[keys]:
            _key(key)
        follow(unpickler)

    return checked


class _Instructions(dict):
    def __missing__(self, code: int) -> Any:
        raise ValueError(f"its pickle has the instruction {bytes([code])!r}, which torch does not write")


_SAME = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE NONE NEWTRUE "
    "NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 "
    "TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT EMPTY_SET GLOBAL STACK_GLOBAL INST OBJ BINPERSID"
)
_OURS = {
    "SETITEM": _with_plain_keys("SETITEM", slice(-2, -1)),
    "SETITEMS": _with_plain_keys("SETITEMS", slice(0, None, 2)),
    "DICT": _with_plain_keys("DICT", slice(0, None, 2)),
    "ADDITEMS": _with_plain_keys("ADDITEMS", slice(0, None)),
    "FROZENSET": _with_plain_keys("FROZENSET", slice(0, None)),
    "REDUCE": _Unpickler.reduce,
    "NEWOBJ": _Unpickler.reduce,
    "NEWOBJ_EX": _Unpickler.new_object_with_keywords,
    "BUILD": _Unpickler.build,
}
_Unpickler.dispatch = _Instructions(
    {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _SAME.split()}
    | {getattr(pickle, name)[0]: follow for name, follow in _OURS.items()}
)
