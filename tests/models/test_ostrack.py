"""OSTrack against the recorded outputs of the public code, and what every variant of it promises."""

import numpy as np
import pytest
import torch
from reference_weights import REFERENCE, filled_state_dict, image_tensor

from lib.models.backbones.vit import ViTConfig
from lib.models.heads.registry import HeadConfig
from lib.models.ostrack import EliminationConfig, KeepScheduleConfig, OSTrack, OSTrackConfig
from lib.models.weights.released import load_released

BACKBONE = ViTConfig(width=32, depth=3, heads=2, patch=8)
ELIMINATION = EliminationConfig(blocks=(1, 2), schedule=KeepScheduleConfig(start=2, length=4))


def tiny(elimination: EliminationConfig | None = ELIMINATION) -> OSTrack:
    torch.manual_seed(0)
    head = HeadConfig(kind="center", channels=16)
    config = OSTrackConfig(name="ostrack", pretrained="none", backbone=BACKBONE, elimination=elimination, head=head)
    return OSTrack(config, template_size=32, search_size=64)


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (32, 64))
    return template, torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(batch, 4), search


# The public code


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Those of all sizes, which differ in their positions alone."""
    return filled_state_dict("ostrack_vitb_256", 1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "template_size", "search_size"), [
    ("ostrack_vitb_256", 128, 256),
    ("ostrack_vitb_256_ce", 128, 256),
    ("ostrack_vitb_384_ce", 192, 384),
])  # fmt: skip
def test_equals_the_recorded_outputs_removed_tokens_included(name, template_size, search_size, weights):
    golden = np.load(REFERENCE / f"{name}.golden.npz")
    seed, stages = 1, len(golden["ce_loc"])
    assert golden["seed"] == seed
    elimination = None
    if stages:
        elimination = EliminationConfig(blocks=tuple(golden["ce_loc"].tolist()), keep=float(golden["ce_keep_ratio"][0]))
    config = OSTrackConfig(name="ostrack", pretrained="none", elimination=elimination)
    model = OSTrack(config, template_size, search_size).eval()
    load_released(model, weights | filled_state_dict(name, seed, without=r"(?!backbone\.pos_embed_)"))
    if stages:
        [rows] = {tuple(mask.nonzero()[0]) for mask in golden["ce_template_mask"]}
        assert tuple(model.backbone.rows.tolist()) == rows
    template = image_tensor((2, 3, template_size, template_size), "template", seed)
    search = image_tensor((2, 3, search_size, search_size), "search", seed)
    seen: list[torch.Tensor] = []
    model.backbone.register_forward_hook(lambda module, arguments, output: seen.append(output[0]))
    with torch.inference_mode():
        prediction = model(template, torch.tensor([[0.25, 0.25, 0.5, 0.5]] * 2), search)

    best = prediction.scores.argmax(dim=1)
    ours = {
        "feat": (seen[0][..., : golden["feat"].shape[2]], 1e-5),
        "score_map": (prediction.score_map, 5e-6),
        "size_map": (prediction.size_map, 5e-6),
        "offset_map": (prediction.offset_map, 2e-5),
        "pred_boxes": (prediction.boxes[torch.arange(2), best][:, None], 5e-6),
    }
    for key, (value, bound) in ours.items():
        difference = np.abs(golden[key].astype(np.float64) - value.double().numpy()).max()
        assert difference <= bound, f"{key}: {difference:.2e} > {bound:.0e}"
    removed = prediction.extras["removed"]
    assert removed.shape == (2, stages, (search_size // 16) ** 2)
    for stage in range(stages):
        for sample in range(2):
            expected = sorted(golden[f"removed_{stage}"][sample].tolist())
            assert removed[sample, stage].nonzero()[:, 0].tolist() == expected


# Elimination


def test_keeping_all_is_the_network_without_elimination():
    plain = tiny(None).eval()
    expected = plain(*inputs())
    assert expected.extras["removed"].shape == (2, 0, 64)
    assert plain.monitors(expected) == {}
    everything = tiny(ELIMINATION.model_copy(update={"keep": 1.0})).eval()
    scheduled = tiny(ELIMINATION).eval()
    for model, epoch in ((everything, None), (scheduled, 0)):
        model.load_state_dict(plain.state_dict())
        ours = model(*inputs(), epoch)
        assert torch.equal(ours.boxes, expected.boxes)
        assert torch.equal(ours.scores, expected.scores)
        assert ours.extras["removed"].shape == (2, 2, 64)
        assert not ours.extras["removed"].any()
        assert model.monitors(ours)["share_kept"] == 1


def test_the_epoch_decides_how_many_tokens_are_left_and_nothing_is_remembered():
    model = tiny().train()
    shares = {epoch: float(model.monitors(model(*inputs(), epoch))["share_kept"]) for epoch in (None, 5, 3, 2, 1, 0)}
    # 64 -> 45 -> 32 at the final rate 0.7, of which epochs 2 to 6, counted from 1, are on the way.
    assert shares[None] == shares[5] == 32 / 64
    assert shares[None] < shares[3] < shares[2] < shares[1] == shares[0] == 1


def test_a_sample_loses_its_own_tokens():
    model = tiny().eval()
    template, box, search = inputs(3)
    together = model(template, box, search).extras["removed"]
    for sample in range(3):
        one = slice(sample, sample + 1)
        assert torch.equal(model(template[one], box[one], search[one]).extras["removed"], together[one])
    assert not torch.equal(together[0], together[1])


def test_only_the_range_of_the_box_looks_at_the_box():
    template, box, search = inputs()
    other = torch.tensor([[0.0, 0.0, 0.2, 0.2]]).expand(2, 4)
    for kind in ("all", "center_point", "center_rect", "box"):
        model = tiny(ELIMINATION.model_copy(update={"template": kind})).eval()
        same = torch.equal(model(template, box, search).boxes, model(template, other, search).boxes)
        assert same == (kind != "box")


def test_blocks_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"elimination\.blocks \[3, 6, 9\] goes beyond the last block, 2"):
        OSTrackConfig(name="ostrack", pretrained="none", backbone=BACKBONE, elimination=EliminationConfig())
