"""Released checkpoints as downloaded: names, wrappings, pickled settings, tables of names, strict reports."""

from pathlib import Path

import pytest
import torch
from families import fresh, tiny
from released_files import TABLES, Harmful, published_weights, write_released
from safetensors.torch import save_file

from lib.config.schema import ConfigError
from lib.models.base import TrackingModel
from lib.models.weights.released import find_weights, load_file, load_released
from lib.models.weights.renaming import read_table, renamed
from lib.runtime.checkpoint import CheckpointError, checksum_of, save_checkpoint


def equal(one: TrackingModel, other: TrackingModel) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.fixture(scope="module")
def models() -> dict[str, TrackingModel]:
    """The tiny twin of each family, never changed."""
    return {family: fresh(tiny(family)) for family in TABLES}


# Files as downloaded


@pytest.mark.parametrize(("family", "zipped"), [*((family, True) for family in TABLES), ("transt", False)])
def test_a_file_loads_as_downloaded_settings_and_all(tmp_path, family, zipped, models):
    weights = published_weights(models[family])
    path = write_released(tmp_path / "released.pth.tar", family, weights, zipped, Harmful(tmp_path / "executed"))
    loaded, expected = fresh(tiny(family)), fresh(tiny(family))
    report = load_file(loaded, path)
    load_released(expected, weights)
    assert equal(loaded, expected)
    assert not equal(loaded, models[family])
    assert set(report.taken) == loaded.state_dict().keys()
    assert len(report.taken) + len(report.dropped) == len(weights)
    assert not (tmp_path / "executed").exists()
    with pytest.raises((ImportError, AttributeError)):  # the settings' class is gone, but the harm is done before
        torch.load(path, weights_only=False)
    assert (tmp_path / "executed").exists(), "the file was harmless, so this proves nothing"


def test_weights_are_found_below_every_wrapper_and_without_what_torch_adds_to_names():
    """Also inside names, as of a network whose backbone alone is compiled and whose blocks are computed again."""
    weights = {"backbone.blocks.0.norm.weight": torch.ones(2), "module_like.bias": torch.zeros(1)}
    for content in (
        weights,
        {"net": weights, "epoch": 3},
        {"model": weights},
        {"state_dict": weights},
        {"model": {"name": "vit"}, "state_dict": weights},  # a configuration under the first of the keys
    ):
        assert find_weights(content, Path("x.pth")) == weights
    for worn in (
        "module.{}",
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "module.module.{}",
        "_fsdp_wrapped_module._checkpoint_wrapped_module.{}",
    ):
        assert (
            find_weights({"net": {worn.format(name): value for name, value in weights.items()}}, Path("x")) == weights
        )
    inside = "backbone._orig_mod.blocks.0._checkpoint_wrapped_module.norm.weight"
    assert [*find_weights({inside: torch.ones(2)}, Path("x.pth"))] == ["backbone.blocks.0.norm.weight"]
    with pytest.raises(CheckpointError, match="x.pth: two of its weights are named a without module, _orig_mod"):
        find_weights({"module.a": torch.zeros(1), "a": torch.ones(1)}, Path("x.pth"))


def test_safetensors_load_as_torch_files_do(tmp_path, models):
    weights = published_weights(models["lorat"])
    save_file({f"_orig_mod.{name}": value.contiguous() for name, value in weights.items()}, tmp_path / "x.safetensors")
    loaded, expected = fresh(tiny("lorat")), fresh(tiny("lorat"))
    load_file(loaded, tmp_path / "x.safetensors")
    load_released(expected, weights)
    assert equal(loaded, expected)


def test_a_file_of_another_checksum_is_refused(tmp_path, models):
    save_checkpoint(tmp_path / "x.pth", models["grm"].state_dict())
    loaded, checksum = fresh(tiny("grm")), checksum_of(tmp_path / "x.pth")
    load_file(loaded, tmp_path / "x.pth", checksum=checksum)
    save_checkpoint(tmp_path / "x.pth", {name: value + 1 for name, value in models["grm"].state_dict().items()})
    with pytest.raises(CheckpointError, match=f"x.pth: its sha256 is .* should begin with {checksum[7:]}"):
        load_file(loaded, tmp_path / "x.pth", checksum=checksum)
    assert equal(loaded, models["grm"])


@pytest.mark.parametrize("family", ["grm", "lorat"])
def test_our_own_checkpoints_load_under_our_names(tmp_path, family, models):
    own = {name: value + 1 for name, value in models[family].state_dict().items()}
    for content in ({"model": own, "experiment": {"seed": 1}}, {"model": own}, own):
        save_checkpoint(tmp_path / "ours.pth", content)
        loaded = fresh(tiny(family))
        report = load_file(loaded, tmp_path / "ours.pth")
        assert all(torch.equal(value, own[name]) for name, value in loaded.state_dict().items())
        assert report.dropped == ()


@pytest.mark.parametrize("content", [{"epoch": 3}, {"model": 5}, {"net": [torch.zeros(1)]}, [torch.zeros(1)], None])
def test_a_file_without_weights_is_named(tmp_path, content, models):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="odd.pth: holds no weights"):
        load_file(models["grm"], tmp_path / "odd.pth")


# Reports


@pytest.mark.parametrize("family", ["grm", "transt"])
def test_missing_unexpected_and_reshaped_keys_are_all_named_and_nothing_is_loaded(tmp_path, family, models):
    weights = published_weights(models[family])
    loaded = fresh(tiny(family))
    expected = load_released(fresh(tiny(family)), weights).taken
    name = next(name for name in reversed(weights) if name.startswith(("box_head.", "bbox_embed.", "head.")))
    other = next(name for name, value in weights.items() if value.ndim == 4)
    weights["stranger"] = torch.zeros(1)
    weights[other] = torch.zeros(2, 2)
    del weights[name]
    path = write_released(tmp_path / "bad.pth.tar", family, weights, zipped=True)
    with pytest.raises(CheckpointError) as error:
        load_file(loaded, path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    missing = [own for own in expected if own.endswith(name.removeprefix("box_head."))]
    assert f"1 missing: {missing[0]}" in message
    assert "1 unexpected: stranger" in message
    assert "1 of another shape: " in message
    assert "(2, 2) where the model has" in message
    assert equal(loaded, models[family])


@pytest.mark.parametrize("relation", ["adaptive", "one_stream", "two_stream"])
def test_predictors_go_where_none_are_owned(relation, models):
    weights = published_weights(models["grm"])
    model = fresh(tiny("grm", None, f"model.division.relation={relation}"))
    report = load_released(model, weights)
    dropped = {"backbone.cls_token", "backbone.pos_embed"}
    if relation != "adaptive":
        dropped |= {name for name in weights if ".divide_predict." in name}
    assert set(report.dropped) == dropped
    assert f"{len(report.taken)} tensors taken; {len(dropped)} not used (" in str(report)


# Tables of names


def test_a_table_renames_beginnings_and_whole_names_and_the_first_line_counts():
    weights = {name: torch.tensor(number) for number, name in enumerate(
        ["net.body.fc.weight", "net.body.conv.weight", "net.body.conv.bias", "head.0", "buffer", "as_it_was"]
    )}  # fmt: skip
    table = {
        "net.body.conv.bias": "special",
        "net.body.": "backbone.",
        "net.": "never.",
        "head.0": "box_head",
        "buffer": None,
    }
    result, unmatched, unused = renamed(weights, table)
    numbers = {name: int(value) for name, value in result.items()}
    assert numbers == {
        "backbone.fc.weight": 0, "backbone.conv.weight": 1, "special": 2, "box_head": 3, "as_it_was": 5,
    }  # fmt: skip
    assert (unmatched, unused) == (("as_it_was",), ("net.",))
    with pytest.raises(CheckpointError, match="two weights would be named b, one of them a before"):
        renamed({"b": torch.zeros(1), "a": torch.zeros(1)}, {"a": "b"})


@pytest.mark.parametrize("family", ["simtrack", "transt"])
def test_a_file_of_unknown_names_loads_by_a_table_to_published_or_to_our_names(tmp_path, family, models):
    """As SimTrack's released file, whose names its repository does not have."""
    weights = published_weights(models[family])
    expected = fresh(tiny(family))
    load_released(expected, weights)
    save_checkpoint(
        tmp_path / "odd.pth",
        {f"features.{name}": value for name, value in weights.items()} | {"count": 3 * torch.ones(1)},
    )
    (tmp_path / "table.yaml").write_text("features.: ''\ncount:\nnever.: other.\n")
    loaded = fresh(tiny(family))
    report = load_file(loaded, tmp_path / "odd.pth", read_table(tmp_path / "table.yaml"))
    assert equal(loaded, expected)
    assert (report.unmatched, report.unused) == ((), ("never.",))
    own = {f"x{number}": value for number, value in enumerate(expected.state_dict().values())}
    table = dict(zip(own, expected.state_dict(), strict=True))
    save_checkpoint(tmp_path / "numbers.pth", own)
    loaded = fresh(tiny(family))
    assert load_file(loaded, tmp_path / "numbers.pth", table).unmatched == ()
    assert equal(loaded, expected)
    with pytest.raises(CheckpointError, match="1 missing: .*1 unexpected: x0"):
        load_file(loaded, tmp_path / "numbers.pth", {**table, "x0": "x0"})


@pytest.mark.parametrize(
    ("text", "key"),
    [("a: 3\n", "a"), ("a.: b\n", "a."), ("a: b.\n", "a"), ("a: ''\n", "a"), ("a: [b]\n", "a"), ("a: {b: c}\n", "a")],
)
def test_a_line_that_cannot_be_meant_is_refused(tmp_path, text, key):
    (tmp_path / "table.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"table.yaml: {key}: got .*; should be a name for a name"):
        read_table(tmp_path / "table.yaml")
    (tmp_path / "table.yaml").write_text("a.: b.\nc: d\ne.: ''\nf:\ng.:\n")
    assert read_table(tmp_path / "table.yaml") == {"a.": "b.", "c": "d", "e.": "", "f": None, "g.": None}
