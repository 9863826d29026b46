"""STARK-SV's experiments hold the published values, and each is trained as the Sim model it is compared with."""

import pytest

from lib.experiment.config import load_experiment
from lib.models.stark_sv import TransformerConfig

PAPER = ["stark_sv_b32", "stark_sv_b16", "stark_sv_l14"]


@pytest.mark.parametrize("name", PAPER)
def test_what_all_recipes_share(name):
    experiment = load_experiment(name)
    backbone = experiment.model.backbone
    assert (backbone.style, backbone.mlp_ratio, backbone.drop_path) == ("clip", 4.0, 0.0)
    assert experiment.model.transformer == TransformerConfig(
        width=256, heads=8, ffn=2048, encoder=6, decoder=6, dropout=0.1
    )
    assert (experiment.model.head.kind, experiment.model.head.channels) == ("corner", 256)
    assert experiment.test.tracker.window == "none"


@pytest.mark.parametrize("name", PAPER)
def test_it_is_trained_as_the_sim_model_that_it_is_compared_with(name):
    """Whose values, its sizes and data among them, are in ``test_recipes_simtrack.py``."""
    ours, theirs = load_experiment(name), load_experiment(name.replace("stark_sv", "simtrack"))
    for section in ("template", "search", "data", "objective", "train"):
        assert getattr(ours, section) == getattr(theirs, section), section
    assert ours.model.pretrained == theirs.model.pretrained
    for key, value in ours.model.backbone:
        assert getattr(theirs.model.backbone, key) == value, key


def test_the_tiny_twin_has_every_path_of_the_large_network_and_sees_the_data_of_the_other_twins():
    twin, large, grm = load_experiment("stark_tiny"), load_experiment("stark_sv_b16"), load_experiment("grm_tiny")
    assert (twin.model.backbone.style, twin.model.head.kind) == ("clip", "corner")
    assert twin.model.transformer.dropout == large.model.transformer.dropout
    assert min(twin.model.transformer.encoder, twin.model.transformer.decoder) > 1
    assert twin.test == large.test
    for section in ("seed", "search", "data"):
        assert getattr(twin, section) == getattr(grm, section), section


@pytest.mark.parametrize("name", [*PAPER, "stark_tiny"])
def test_a_target_is_as_large_in_the_template_as_in_the_search_region(name):
    experiment = load_experiment(name)
    assert experiment.template.size / experiment.template.factor == experiment.search.size / experiment.search.factor
