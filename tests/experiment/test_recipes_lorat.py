"""LoRAT's recipes: what is trained and what decays, by the published key tables, and the published values."""

import pytest
import torch
from reference_weights import key_table

from lib.experiment.build import build_model
from lib.experiment.config import load_experiment
from lib.models.lorat import FAMILY
from lib.models.weights.released import as_ours
from lib.training.optimizer import build_optimizer, freeze

SIZES = ("s224", "b224", "l224", "g224", "b378", "l378", "g378")
NAMES = [f"lorat_{name}" for name in (*SIZES, "b224_got10k", "b224_full")]


def optimized(name: str) -> dict[str, bool]:
    """The trained parameters of an experiment, and whether each decays."""
    experiment = load_experiment(name)
    with torch.device("meta"):
        model = build_model(experiment)
    freeze(model, model.family.frozen(experiment.model), experiment.train.frozen)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = build_optimizer(model, experiment.train.optimizer).param_groups
    return {names[id(p)]: group["weight_decay"] > 0 for group in groups for p in group["params"]}


@pytest.mark.parametrize("table", ["lorat_b224", "lorat_l224", "lorat_g224"])
def test_what_is_trained_and_what_decays_equals_the_key_table(table):
    entries = key_table(table)
    ours = {name: next(iter(as_ours(FAMILY, {name: torch.empty(0)})), None) for name in entries}
    expected = {ours[name]: entry["decay"] for name, entry in entries.items() if entry["trained"]}
    assert optimized(table) == expected


def test_without_lora_everything_is_trained_and_vectors_norms_and_embeddings_do_not_decay():
    found = optimized("lorat_b224_full")
    assert len(found) == 186
    kept = {name for name, decays in found.items() if not decays}
    assert "backbone.pos_embed" in kept and "backbone.patch_embed.proj.weight" in kept
    assert "backbone.blocks.3.ls1.gamma" in kept and "box_head.cls_mlp.layers.2.weight" in kept
    assert "backbone.blocks.3.attn.qkv.weight" not in kept and "box_head.reg_mlp.layers.2.weight" not in kept


@pytest.mark.parametrize("name", NAMES)
def test_the_published_values(name):
    experiment = load_experiment(name)
    train, data = experiment.train, experiment.data
    assert (train.global_batch, data.samples_per_epoch) == (128, 131072)
    assert train.epochs == (100 if name.endswith("got10k") else 170)
    assert (train.optimizer.lr, train.optimizer.weight_decay, train.clip_norm) == (1e-4, 0.1, 1.0)
    large = "378" in name
    assert (experiment.template.size, experiment.search.size) == ((196, 378) if large else (112, 224))
    assert experiment.search.factor == (5.0 if large else 4.0)
    assert experiment.test.tracker.penalty == 0.45
    assert experiment.objective.denominator == "step"
    assert experiment.model.head.channels == experiment.model.backbone.width
