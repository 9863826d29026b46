"""Lists of stages that fit each other, in the configurations of both backbones in stages."""

import pytest
from pydantic import ValidationError

from lib.models.backbones.pvt import PVTConfig
from lib.models.backbones.stages import StagesConfig
from lib.models.backbones.swin import SwinConfig


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (SwinConfig, {"heads": (4, 8)}, "depths, heads must have an entry for each stage"),
        (SwinConfig, {"heads": (4, 8, 24)}, "heads: 24 does not divide its stage's width 512"),
        (SwinConfig, {"depths": (2, 0, 18)}, "greater than or equal to 1"),
        (PVTConfig, {"mlp_ratios": (8, 8)}, "mlp_ratios, reductions must have an entry for each stage"),
        (PVTConfig, {"heads": (1, 2, 7)}, "heads: 7 does not divide its stage's width 320"),
        (PVTConfig, {"reductions": (8, 4, 3)}, "reductions: 3 is odd"),
    ],
)
def test_stages_that_do_not_agree_are_refused(kind: type[StagesConfig], changes, message):
    with pytest.raises(ValidationError, match=message):
        kind(**changes)


def test_drop_path_grows_linearly_over_the_blocks_of_all_stages():
    assert [*SwinConfig(depths=(1, 2, 2), drop_path=0.4).drop_path_rates()] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
