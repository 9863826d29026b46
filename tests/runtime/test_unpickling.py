"""Files of any origin are read as data: the content that torch wrote comes back, and no command is executed."""

import collections
import functools
import hashlib
import os
import pickle
import struct
import sys
import types
import warnings
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lib.runtime.checkpoint import CheckpointError
from lib.runtime.unpickling import StandIn, as_plain, as_tensors, read_inert

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])


def save(path: Path, content, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def write(path: Path, pickled: bytes, zipped: bool = True, records: dict[str, bytes] | None = None) -> Path:
    """A torch file around any pickle, in either format, without storages but ``records``."""
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickled)
            archive.writestr("archive/version", "3\n")
            for name, data in (records or {}).items():
                archive.writestr(f"archive/data/{name}", data)
    else:
        head = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
        path.write_bytes(b"".join([*(pickle.dumps(part, 2) for part in head), pickled, pickle.dumps([], 2)]))
    return path


def naively(path: Path) -> None:
    """What a reader that trusts the file would do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_inert(path)
    message = str(error.value)
    assert message.startswith(f"{path}: not a whole checkpoint")
    assert "\n" not in message
    assert len(message) < 400
    return message


# What torch writes


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, *(torch.int64, torch.int32, torch.int16)]
DTYPES += [torch.int8, torch.uint8, torch.bool]


@FORMATS
def test_tensors_of_every_type_and_layout_come_back(tmp_path, zipped):
    base = torch.randn(6, 5)
    tensors = {str(dtype): (torch.randn(3, 4) * 9).to(dtype) for dtype in DTYPES}
    tensors |= {"turned": base.T, "slice": base[1:5:2, 2:], "scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4)}
    tensors |= {"parameter": nn.Parameter(torch.randn(2)), "whole": base}
    loaded = as_tensors(read_inert(save(tmp_path / "file.pth", tensors, zipped)), "file")
    expected = torch.load(tmp_path / "file.pth", weights_only=True)
    assert loaded.keys() == expected.keys()
    for name, value in loaded.items():
        assert value.dtype == expected[name].dtype
        assert torch.equal(value, expected[name])
    assert loaded["turned"].data_ptr() == loaded["whole"].data_ptr(), "shared storage stays shared"


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_plain_types_come_back(tmp_path, zipped, protocol):
    content = {
        "none": None, "flags": (True, False), "numbers": [1, -1, 255, 70000, 2**40, -(2**80), 0.1], "": {},
        "text": "Größe", 3: {"nested": [[], ()]}, (1, "a"): 2,
        "ordered": collections.OrderedDict(a=1, b=2),
    }  # fmt: skip
    shared = [1]
    content["twice"] = [shared, shared]
    torch.save(content, tmp_path / "x.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    read = read_inert(tmp_path / "x.pth")
    assert read == content
    assert read["twice"][0] is read["twice"][1]


def test_the_attributes_of_a_state_dict_are_left_out(tmp_path):
    state = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).state_dict()
    assert state._metadata
    loaded = as_tensors(read_inert(save(tmp_path / "net.pth", state)), "net")
    assert type(loaded) is dict
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*TorchScript archive")
def test_the_tensors_of_a_torchscript_archive_are_read_without_its_code(tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4))
            self.scale = nn.Parameter(torch.tensor(2.5))

        def forward(self, image):
            return self.visual(image) * self.scale

    network = Net().half()
    torch.jit.script(network).save(tmp_path / "net.pt")
    with pytest.raises(RuntimeError, match="TorchScript"):
        torch.load(tmp_path / "net.pt", weights_only=True)
    loaded = as_tensors(read_inert(tmp_path / "net.pt"), "net")
    assert loaded.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)


# Stand-ins


class Stranger:
    """An object of a class that is gone when the file is read, with everything that pickling knows of."""


class StrangeDict(dict):
    pass


class Reduced:
    def __init__(self, *arguments, **named):
        self.arguments, self.named = arguments, named

    def __reduce__(self):
        return functools.partial(Reduced, word=1), (1, 2), {"state": 3}


@pytest.fixture
def elsewhere(monkeypatch):
    """Classes as of a module ``others.settings``, which is gone after ``forget()``."""
    module = types.ModuleType("others.settings")
    for kind in (Stranger, StrangeDict, Reduced):
        monkeypatch.setattr(kind, "__module__", "others.settings")
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "others", types.ModuleType("others"))
    monkeypatch.setitem(sys.modules, "others.settings", module)

    def forget():
        monkeypatch.delitem(sys.modules, "others.settings")
        monkeypatch.delitem(sys.modules, "others")

    return forget


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_unknown_classes_become_stand_ins(tmp_path, zipped, protocol, elsewhere):
    stranger, mapping = Stranger(), StrangeDict(a=1)
    stranger.lr, stranger.inner, mapping.extra = 0.1, Stranger(), 5
    content = {
        "net": {"weight": torch.arange(4.0)},
        "settings": stranger,
        "mapping": mapping,
        "reduced": Reduced(),
        "class": Stranger,
        "args": Namespace(lr=3),
        "stats": [np.float64(0.5), np.arange(3), np.array(["a", None], dtype=object)],
        "sets": [{1, 2}, frozenset("ab"), set()],
        "others": [torch.Size([2, 3]), 1 + 2j],
    }
    torch.save(content, tmp_path / "x.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    elsewhere()
    with pytest.raises((ImportError, AttributeError)):
        naively(tmp_path / "x.pth")
    read = read_inert(tmp_path / "x.pth")
    assert read.keys() == content.keys()
    assert torch.equal(as_tensors(read["net"], "x")["weight"], torch.arange(4.0))
    assert type(read["settings"]).__name__ == "others.settings.Stranger"
    assert read["settings"].state["lr"] == 0.1
    assert isinstance(read["settings"].state["inner"], StandIn)
    assert read["mapping"].state == {"extra": 5}
    assert read["reduced"].state == {"state": 3}
    assert (type(read["args"]).__name__, read["args"].state) == ("argparse.Namespace", {"lr": 3})
    assert issubclass(read["class"], StandIn)
    assert all(isinstance(value, StandIn) for value in (*read["stats"], *read["others"]))
    assert all(isinstance(value, StandIn if protocol == 2 else set | frozenset) for value in read["sets"])


def test_weights_that_are_no_tensors_are_named(tmp_path):
    read = read_inert(save(tmp_path / "x.pth", {"weight": torch.zeros(1), "bias": np.zeros(2), "step": 3}))
    with pytest.raises(CheckpointError, match=r"x: 2 of its weights are no tensors \(bias, step\)"):
        as_tensors(read, "x")


# Files that want something done


class Asks:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def text(words: str) -> bytes:
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def hostile(mark: str) -> dict[str, bytes]:
    """Pickles by hand, with every instruction that finds or calls something; each makes a folder if it is followed."""
    path = text(mark)
    return {
        "GLOBAL, REDUCE": b"cos\nmkdir\n" + path + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + b"\x8c\x02os\x8c\x05mkdir\x93" + path + b"\x85R.",
        "a class of ours that acts when it is made": b"cmaker\nMaker\n" + path + b"\x85\x81.",
        "the same with keywords": b"\x80\x04cmaker\nMaker\n" + path + b"\x85}\x92.",
        "__setstate__": b"cmaker\nOnState\n)\x81" + path + b"b.",
        "__setitem__": b"cmaker\nOnItem\n)\x81" + path + b"Ns.",
        "append": b"cmaker\nOnItem\n)\x81" + path + b"a.",
        "attributes by slots": b"cmaker\nOnState\n)\x81(N}X\x04\x00\x00\x00path" + path + b"stb.",
        "copyreg": b"ccopyreg\n__newobj__\ncmaker\nMaker\n" + path + b"\x86R.",
        "__hash__ of a key": b"}cmaker\nOnHash\n" + path + b"\x85RNs.",
        "a call of what a call gave": b"coperator\nattrgetter\n" + text("mkdir") + b"\x85Rcpathlib\nPath\n" + path
        + b"\x85R\x85R)R.",
    }  # fmt: skip


@pytest.fixture
def maker(monkeypatch):
    """A module ``maker`` that is installed here, and whose classes act on whatever is done with them."""

    class Maker(str):
        def __new__(cls, *arguments, **named):
            os.mkdir(arguments[-1])
            return super().__new__(cls)

    class OnState:
        def __setstate__(self, state):
            os.mkdir(state if isinstance(state, str) else state[1]["path"])

    class OnItem:
        def __setitem__(self, key, value):
            os.mkdir(key)

        append = os.mkdir

    class OnHash:
        def __init__(self, path):
            self.path = path

        def __hash__(self):
            os.mkdir(self.path)
            return 0

    module = types.ModuleType("maker")
    for kind in (Maker, OnState, OnItem, OnHash):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "maker", module)


@pytest.mark.parametrize("attack", hostile(""))
def test_no_instruction_reaches_the_function_it_names(tmp_path, attack, maker):
    mark = tmp_path / "executed"
    pickled = hostile(str(mark))[attack]
    read = read_inert(write(tmp_path / "bad.pth", pickled))
    assert isinstance(read, (StandIn, dict))
    assert not mark.exists()
    pickle.loads(pickled)
    assert mark.exists(), "the pickle is harmless, so this proves nothing"


NESTED = b"\x85\x85"  # puts the value before it into a tuple in a tuple
REFUSED = {
    "an extension's number": b"\x82\x01.",
    "a persistent id that is no storage": text("file") + text("/etc/passwd") + b"\x86Q.",
    "a storage of no known type": b"(" + text("storage") + b"cos\nsystem\n" + text("0") + text("cpu") + b"K\x01tQ.",
    "text called": text("os.system") + text("true") + b"\x85R.",
    "a number as a class": b"K\x01)\x81.",
    "a tensor without storage": b"ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00)))Nt)R.",
    "a buffer from outside": b"\x97.",
    "no end": b"K\x01",
    "an unknown instruction": b"\xff.",
    "text beyond the end": b"X\xff\xff\xff\xff.",
    "a deep key": b"})" + NESTED + b"Ns.",
    "a deep key among others": b"}(K\x01N)" + NESTED + b"Nu.",
    "a deep key of a dictionary made at once": b"()" + NESTED + b"Nd.",
    "a deep key of pairs": b"ccollections\nOrderedDict\n])" + NESTED + b"N\x86a\x85R.",
    "a deep item of a set": b"\x8f()" + NESTED + b"\x90.",
    "a deep item of a frozen set": b"()" + NESTED + b"\x91.",
    "a deep key of a storage": b"(" + text("storage") + b"ctorch\nFloatStorage\n)" + NESTED + text("cpu")
    + b"K\x01tQ.",
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_hostile_instructions_are_refused_in_one_line(tmp_path, fault):
    refused(write(tmp_path / "odd.pth", REFUSED[fault]))


@pytest.mark.slow
def test_deep_values_are_harmless(tmp_path):
    deep = 50_000
    assert isinstance(read_inert(write(tmp_path / "a.pth", b"]" * deep + b"a" * (deep - 1) + b".")), list)
    assert isinstance(read_inert(write(tmp_path / "b.pth", b")" + b"\x85" * deep + b".")), tuple)
    assert read_inert(write(tmp_path / "c.pth", b"Nr\xff\xff\xff\xff.")) is None  # a far place of the memo
    foreign = b"}cx\ny\nq\x000" + b"h\x00" * deep + b")" + b"R\x85" * deep + b"0."
    assert read_inert(write(tmp_path / "d.pth", foreign)) == {}


def test_attributes_hide_no_method(tmp_path):
    """Of the dictionary, as ``_metadata`` of a state dict, or of the tensor."""
    dictionary = b"ccollections\nOrderedDict\n)R}" + text("items") + b"K\x01sb."
    assert list(read_inert(write(tmp_path / "a.pth", dictionary)).items()) == []
    tensor = stored(b"K\x03\x85", b"K\x01\x85")[:-2] + b"}" + text("shape") + b"K\x01sbs."
    assert read_inert(write(tmp_path / "b.pth", tensor, records=FLOATS))["w"].shape == (3,)


FLOATS = {"0": torch.arange(4.0).numpy().tobytes()}


def stored(shape: bytes, stride: bytes, offset: bytes = b"K\x00") -> bytes:
    """A pickle of ``{"w": tensor}`` in a storage of 4 floats."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    return b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + stride + b"\x89}tRs."


@pytest.mark.parametrize(("shape", "stride", "offset"), [
    (b"K\x04\x85", b"K\x01\x85", b"K\x01"),
    (b"K\x02\x85", b"J\xff\xff\xff\x7f\x85", b"K\x00"),
    (b"K\x02\x85", b"J\xff\xff\xff\xff\x85", b"K\x01"),  # backwards
    (b"J\xff\xff\xff\xff\x85", b"K\x01\x85", b"K\x00"),
    (b"K\x02\x85", b"K\x01\x85", b"\x8a\x0a" + b"\xff" * 9 + b"\x7f"),
])  # fmt: skip
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, shape, stride, offset):
    refused(write(tmp_path / "x.pth", stored(shape, stride, offset), records=FLOATS))


@pytest.mark.parametrize("records", [{}, {"0": b"\x00" * 15}])
def test_a_storage_that_is_missing_or_short_is_refused(tmp_path, records):
    path = write(tmp_path / "x.pth", stored(b"K\x04\x85", b"K\x01\x85"), records=records)
    refused(path)


@FORMATS
def test_a_file_cut_short_is_refused(tmp_path, zipped):
    path = save(tmp_path / "x.pth", {"net": {"weight": torch.randn(500)}, "text": "a" * 500}, zipped)
    whole = path.read_bytes()
    for share in (0.0, 0.001, 0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path)


@FORMATS
def test_any_changed_byte_gives_one_line_or_a_tree(tmp_path, zipped):
    """Whatever happens to the instructions, the reader's answer is a value or its own error."""
    content = {"net": {"w": torch.arange(6.0).reshape(2, 3)}, "args": Namespace(a=[1, {2}], b=(None, 2.5, "x"))}
    path = save(tmp_path / "x.pth", content, zipped)
    with zipfile.ZipFile(path) if zipped else open(path, "rb") as file:
        whole = file.read("x/data.pkl") if zipped else file.read()
    generator = np.random.default_rng(0)
    answers = {True: 0, False: 0}
    for _ in range(100):
        changed = bytearray(whole)
        for place in generator.integers(0, len(whole), generator.integers(1, 4)):
            changed[place] = generator.integers(0, 256)
        if zipped:
            write(path, bytes(changed), records={"0": FLOATS["0"] * 2})
        else:
            path.write_bytes(changed)
        try:
            read = read_inert(path)
            if isinstance(read, dict) and isinstance(read.get("net"), dict):
                as_tensors(read["net"], path)
            answers[True] += 1
        except CheckpointError as error:
            assert "\n" not in str(error)
            answers[False] += 1
    assert min(answers.values()) > 5


def test_another_file_than_torchs_is_refused(tmp_path):
    for content in (pickle.dumps({"net": {}}, 2), b"", b"\xff\x01" * 9):
        (tmp_path / "odd.pth").write_bytes(content)
        refused(tmp_path / "odd.pth")
    (tmp_path / "odd.pth").write_bytes(b"<!DOCTYPE html><title>Google Drive - Quota exceeded</title>")
    with pytest.raises(CheckpointError, match="odd.pth: no checkpoint but a saved web page ..Google Drive - Quota ex"):
        read_inert(tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="absent.pth: no such checkpoint"):
        read_inert(tmp_path / "absent.pth")
    with pytest.raises(CheckpointError, match=f"^{tmp_path}: a folder; name a checkpoint in it"):
        read_inert(tmp_path)


def test_safetensors_are_read(tmp_path):
    weights = {
        "a": torch.randn(3, 2),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "count": torch.tensor(3),
        "none": torch.zeros(0),
    }
    save_file(weights, tmp_path / "w.safetensors", metadata={"format": "pt"})
    loaded = as_tensors(read_inert(tmp_path / "w.safetensors"), "w")
    assert loaded.keys() == weights.keys()
    assert all(
        torch.equal(value, weights[name]) and value.dtype == weights[name].dtype for name, value in loaded.items()
    )
    whole = (tmp_path / "w.safetensors").read_bytes()
    for damaged in (whole[:-1], whole[:40], whole.replace(b"BF16", b"XF16")):
        (tmp_path / "w.safetensors").write_bytes(damaged)
        refused(tmp_path / "w.safetensors")


def test_another_checksum_is_refused(tmp_path):
    path, weights = tmp_path / "x.pth", {"w": torch.arange(9.0)}
    whole = save(path, weights).read_bytes()
    digests = hashlib.sha256(whole).hexdigest(), hashlib.md5(whole).hexdigest()
    for checksum in (f"sha256 {digests[0]}", f"sha256 {digests[0][:8]}", f"md5 {digests[1][:6]}"):
        assert torch.equal(read_inert(save(path, weights), checksum)["w"], weights["w"])
        save(path, {"w": torch.zeros(9)})
        with pytest.raises(CheckpointError, match=f"x.pth: its {checksum.split()[0]} is .* and should begin with "):
            read_inert(path, checksum)


def test_a_flipped_byte_is_refused_or_harmless_wherever_it_is(tmp_path):
    """Header, names, directory, pickle, numbers: either one line, or the numbers that were written, to the bit."""
    content = {
        "a": torch.randn(40),
        "b": {"c": torch.arange(5), "d": [0.5, "text", (1, None)]},
        "e": torch.ones(3).half(),
    }
    path = save(tmp_path / "x.pth", content)
    whole = path.read_bytes()
    answers = {True: 0, False: 0}
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            read = as_plain(read_inert(path), path)
        except CheckpointError as error:
            assert "\n" not in str(error)
            answers[False] += 1
        else:
            assert same(read, content), place
            answers[True] += 1
    assert min(answers.values()) > 20


def same(one, other) -> bool:
    """Whether trees are equal, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def test_a_checkpoint_of_ours_holds_nothing_but_tensors_and_plain_types(tmp_path):
    laughs: list = [0]
    for _ in range(40):
        laughs = [laughs, laughs]
    circle: list = []
    circle.append(circle)
    for part, reason in (
        (Namespace(), "holds a pickled argparse.Namespace, not only tensors and plain types"),
        ([Asks(os.getcwd)], "holds a pickled posix.getcwd, not"),
        (laughs, "more than 100000 parts"),
        (circle, "more than 100000 parts"),
        ({(1, 2): 3}, "holds a pickled dict, not"),
    ):
        read = read_inert(save(tmp_path / "x.pth", {"w": torch.zeros(1), "part": part}))
        with pytest.raises(CheckpointError, match=f"^x: .*{reason}") as error:
            as_plain(read, "x")
        assert "\n" not in str(error.value)


def test_another_byte_order_is_refused(tmp_path):
    path = save(tmp_path / "x.pth", {"w": torch.ones(2)})
    path.write_bytes(path.read_bytes().replace(b"little", b"bigger"))
    refused(path)  # by its checksum; and with that mended
    with zipfile.ZipFile(tmp_path / "y.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
        archive.writestr("archive/byteorder", "big")
    assert "byte order" in refused(tmp_path / "y.pth")
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": False}, {}, []]
    (tmp_path / "z.pth").write_bytes(b"".join(pickle.dumps(part, 2) for part in head))
    assert "byte order" in refused(tmp_path / "z.pth")
