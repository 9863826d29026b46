"""What holds for every family of networks, and for every family with every head."""

import re
from typing import Any, get_args

import pytest
import torch
from families import (
    COVERING_PAIRS,
    FAMILIES_AND_HEADS,
    LATE,
    QUICK_SCHEDULES,
    TWINS,
    VARIANTS,
    fresh,
    inputs,
    slow_but,
    stack,
    tiny,
    true_boxes,
    variant,
)
from reference_weights import key_table
from torch import Tensor

from lib.experiment.build import build_model
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.models.base import Family, FamilyConfig, TrackingModel
from lib.models.heads.registry import HEADS, HeadPrediction
from lib.models.registry import FAMILIES, ModelConfig
from lib.models.weights.released import as_ours, load_released
from lib.runtime.checkpoint import CheckpointError

with_any_head = pytest.mark.parametrize(("family", "head"), FAMILIES_AND_HEADS)
with_all_variants = pytest.mark.parametrize(
    ("family", "changes"), [*((family, "") for family in FAMILIES), *VARIANTS], ids=lambda text: text.replace(" ", ",")
)
with_two_heads = pytest.mark.parametrize(("family", "head"), slow_but(COVERING_PAIRS, *COVERING_PAIRS[::2]))


def compare(prediction: HeadPrediction, expected: HeadPrediction, rtol: float, atol: float) -> None:
    assert type(prediction) is type(expected)
    for ours, theirs in zip(prediction[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)


# Names


def test_every_configuration_names_a_family_and_every_family_has_a_twin():
    configurations = get_args(get_args(ModelConfig)[0])
    named = [name for family in configurations for name in get_args(family.model_fields["name"].annotation)]
    assert sorted(named) == sorted(FAMILIES) == sorted(TWINS)
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_that_a_record_names_is_there(family):
    """A pattern without a parameter, or a key without a field, is a slip."""
    record, experiment = FAMILIES[family], tiny(family)
    model = fresh(experiment)
    assert isinstance(model, record.network)
    assert experiment.model.name == model.family.name == family
    assert any(value.shape[:1] == (model.backbone.width,) for value in model.backbone.state_dict().values())
    assert all(model.parameter_groups().values())
    for pattern in record.fresh:
        assert any(re.match(pattern, name) for name in model.backbone.state_dict(prefix="backbone.")), pattern
    for key in record.test_time:
        section = experiment.model
        for part in key.split("."):
            assert part in type(section).model_fields, key
            section = getattr(section, part)


def test_the_first_pattern_that_fits_decides_the_group_and_every_parameter_needs_one():
    class Small(TrackingModel):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.backbone = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
            self.box_head = torch.nn.Linear(1, 1)

    Family(FamilyConfig, Small, groups={"first": r"backbone\.0\.", "rest": r"backbone\.", "head": r"box", "none": ""})
    assert Small().parameter_groups() == {
        "first": ["backbone.0.weight", "backbone.0.bias"],
        "rest": ["backbone.1.weight", "backbone.1.bias"],
        "head": ["box_head.weight", "box_head.bias"],
        "none": [],
    }
    Family(FamilyConfig, Small, groups={"backbone": r"backbone\."})
    with pytest.raises(AssertionError, match=r"no optimizer group has a pattern for box_head\.weight"):
        Small().parameter_groups()


# Forward


@with_any_head
@torch.inference_mode()
def test_boxes_and_scores_of_every_candidate(family, head):
    experiment = tiny(family, head)
    prediction = fresh(experiment)(*inputs(experiment, 2))
    assert type(prediction) is HEADS[head].prediction
    candidates = 1 if head == "corner" else (experiment.search.size // experiment.model.stride) ** 2
    assert prediction.boxes.shape == (2, candidates, 4)
    assert prediction.scores.shape == (2, candidates)
    assert all(torch.isfinite(part).all() for part in (*prediction[:-1], *prediction.extras.values()))
    assert all(len(part) == 2 for part in prediction.extras.values()), "extras have a leading batch axis"
    assert (prediction.scores > 0).all()
    assert (prediction.scores < 1).all()
    if head != "corner":
        assert (prediction.boxes[..., 2:] > 0).all()


@with_two_heads
@torch.inference_mode()
def test_the_answer_depends_on_template_and_search_region(family, head):
    experiment = tiny(family, head)
    model = fresh(experiment)
    template, box, search = inputs(experiment, 2)
    usual = model(template, box, search)
    for changed in (model(template.flip(0), box, search), model(template, box, search.flip(0))):
        differences = [
            (ours - theirs).abs().max() / theirs.std() for ours, theirs in zip(changed[2:-1], usual[2:-1], strict=True)
        ]
        assert max(differences) > 0.01, "of the maps' own spread"


@with_two_heads
@torch.inference_mode()
def test_states_of_several_targets_can_be_stacked(family, head):
    """The state is a tuple of tensors with a leading batch axis, and no sample sees another."""
    experiment = tiny(family, head)
    model = fresh(experiment)
    template, box, search = inputs(experiment, 3)
    together = model(template, box, search)
    states = [model.encode_template(template[i : i + 1], box[i : i + 1]) for i in range(3)]
    compare(model.locate(stack(states), search), together, rtol=1e-4, atol=1e-5)
    alone = model.locate(states[1], search[1:2])
    compare(alone, type(together)(*(part[1:2] for part in together[:-1]), extras={}), rtol=1e-4, atol=1e-5)


@with_all_variants
@torch.inference_mode()
def test_forward_is_encoding_and_locating_and_remembers_nothing(family, changes):
    experiment = variant(family, changes)
    model = fresh(experiment)
    template, box, search = inputs(experiment, 2)
    first, state = model(template, box, search), model.encode_template(template, box)
    model(template.flip(0) + 1, box / 2, search.flip(0), epoch=0)
    for prediction in (model.locate(state, search), model(template, box, search)):
        compare(prediction, first, rtol=0, atol=0)


@pytest.mark.parametrize("family", ["lite", "stark_sv", "transt"])
@torch.inference_mode()
def test_a_siamese_network_sees_the_template_once(family):
    experiment = tiny(family)
    model, seen = fresh(experiment), []
    model.backbone.register_forward_hook(lambda module, given, answer: seen.append(given[0].shape[-1]))
    template, box, search = inputs(experiment, 2)
    state = model.encode_template(template, box)
    for _ in range(2):
        model.locate(state, search)
    assert seen == [experiment.template.size, experiment.search.size, experiment.search.size]


@with_two_heads
@torch.inference_mode()
def test_the_last_epoch_is_the_trained_network(family, head):
    """``epoch`` None, as trackers ask, is where a schedule ends; an epoch within it is another network, or the same."""
    experiment = tiny(family, head)
    model = fresh(experiment)
    trained = model(*inputs(experiment, 2))
    compare(model(*inputs(experiment, 2), epoch=LATE), trained, rtol=0, atol=0)
    first = model(*inputs(experiment, 2), epoch=0)
    assert torch.equal(first.boxes, trained.boxes) == (family not in QUICK_SCHEDULES)


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_weights_of_the_same_seed_are_the_same_and_all_are_saved(family):
    """All numbers that a network computes with are in its ``state_dict``, or follow from its configuration."""
    experiment = tiny(family)
    model, sizes = fresh(experiment), (experiment.template.size, experiment.search.size)
    other = FAMILIES[family].network(experiment.model, *sizes)
    other.load_state_dict(model.state_dict())
    compare(other.eval()(*inputs(experiment, 2)), model(*inputs(experiment, 2)), rtol=0, atol=0)


@with_two_heads
def test_heads_stay_float32_under_bfloat16(family, head):
    experiment = tiny(family, head)
    model = fresh(experiment).train()
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(*inputs(experiment, 4), epoch=LATE)
    extras = [part for part in mixed.extras.values() if part.is_floating_point()]
    assert {part.dtype for part in (*mixed[:-1], *extras)} == {torch.float32}
    result = HEADS[head].objective(experiment.objective)(mixed, true_boxes(4))
    result.total.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert {gradient.dtype for gradient in gradients} == {torch.float32}


# Training


@with_all_variants
def test_every_parameter_is_in_one_group(family, changes):
    model = fresh(variant(family, changes))
    grouped = [parameter for group in model.parameter_groups().values() for parameter in group]
    assert sorted(grouped) == sorted(name for name, _ in model.named_parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def trained_on(model: TrackingModel, experiment: ExperimentConfig) -> dict[str, Any]:
    """Loss of one batch in training mode, always with the same noise, and all that is logged of it."""
    torch.manual_seed(4)
    prediction = model(*inputs(experiment, 4), epoch=LATE)
    result = HEADS[experiment.model.head.kind].objective(experiment.objective)(prediction, true_boxes(4))
    return {"total": result.total, **result.terms, **result.monitors, **model.monitors(prediction)}


@with_two_heads
def test_the_loss_of_a_batch_falls_along_its_gradient(family, head):
    """By what the gradient promises of a step so short, a ten-thousandth of the loss, but for its curvature."""
    experiment = tiny(family, head)
    model = fresh(experiment).train()
    parameters = list(model.parameters())
    values = trained_on(model, experiment)
    assert all(torch.isfinite(value).all() for value in values.values())
    before = values["total"]
    gradients = torch.autograd.grad(before, parameters)
    length = 1e-4 * before / sum(gradient.square().sum() for gradient in gradients)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= length * gradient
        fall = (before - trained_on(model, experiment)["total"]) / (1e-4 * before)
    assert 0.9 < fall < 1.1


# Released weights

# The experiment whose network each published table of names is of.
TABLES = {
    "grm_vitb_256": "grm_vitb",
    "grm_vitl_320": "grm_vitl_320",
    "lorat_b224": "lorat_b224",
    "lorat_g224": "lorat_g224",
    "lorat_l224": "lorat_l224",
    "ostrack_vitb_256": "ostrack_vitb_256",
    "ostrack_vitb_256_ce": "ostrack_vitb_256_ce",
    "ostrack_vitb_384_ce": "ostrack_vitb_384_ce",
    "simtrack_b16": "simtrack_b16",
    "transt": "transt",
}


# Published, but of no use to the network itself.
NEVER_USED = {
    "grm": {"backbone.cls_token", "backbone.pos_embed"},
    "lorat": {"lora_alpha", "use_rslora"},
    "ostrack": {"backbone.cls_token", "backbone.pos_embed"},
    "simtrack": {"backbone.visual.proj"},
}


# A network without memory takes no values, of which torch warns.
without_values = pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter:UserWarning")


def on_no_device(experiment: ExperimentConfig) -> TrackingModel:
    """The network without memory for its weights: only names and shapes."""
    with torch.device("meta"):
        return build_model(experiment)


def released(table: str) -> dict[str, Tensor]:
    """The published checkpoint, its settings, and room for values that nobody writes or reads."""
    return {
        name: torch.tensor(entry["value"])
        if "value" in entry
        else torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]))
        for name, entry in key_table(table).items()
    }


@without_values
@pytest.mark.parametrize("table", TABLES)
def test_the_released_names_are_all_there_and_nothing_else_is(table):
    model, weights = on_no_device(load_experiment(TABLES[table])), released(table)
    report = load_released(model, weights)
    assert sorted(report.taken) == sorted(model.state_dict())
    assert set(report.dropped) == NEVER_USED.get(model.family.name, set())
    counts = [
        sum(value.numel() for name, value in values.items() if name not in report.dropped)
        for values in (weights, model.state_dict())
    ]
    assert counts[0] == counts[1], "each published number has one place"


@without_values
@pytest.mark.parametrize("table", ["grm_vitb_256", "lorat_b224", "ostrack_vitb_256", "simtrack_b16", "transt"])
def test_what_is_missing_unexpected_or_reshaped_in_a_released_file_is_reported(table):
    """One name after the other, renamed or not: four of each file."""
    model, weights = on_no_device(load_experiment(TABLES[table])), released(table)
    owned, family = frozenset(model.state_dict()), model.family
    used = [name for name in weights if name not in NEVER_USED.get(model.family.name, set())]
    for published in used[:: len(used) // 4 + 1]:
        without = {name: value for name, value in weights.items() if name != published}
        [ours] = as_ours(family, weights, owned).keys() - as_ours(family, without, owned).keys()
        with pytest.raises(CheckpointError, match=re.escape(f"(1 missing: {ours})")):
            load_released(model, without)
        reshaped = {**weights, published: torch.empty((*weights[published].shape, 2))}
        with pytest.raises(CheckpointError, match=re.escape(f"(1 of another shape: {ours} (")):
            load_released(model, reshaped)
        renamed = {**without, f"{published}.stranger": weights[published]}
        with pytest.raises(CheckpointError, match=re.escape(f"(1 missing: {ours}; 1 unexpected: ")) as error:
            load_released(model, renamed)
        assert "stranger" in str(error.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_under_our_names_load(family):
    experiment = tiny(family)
    model, sizes = fresh(experiment), (experiment.template.size, experiment.search.size)
    other = FAMILIES[family].network(experiment.model, *sizes)
    report = load_released(other, model.state_dict())
    assert set(report.taken) == set(model.state_dict())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in other.state_dict().items())
