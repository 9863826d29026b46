"""What the serial and the Siamese transformer take over from an image network."""

import pytest
import torch
import torch.nn.functional as F

from lib.models.backbones.image import IMAGE_SIZE, ImageViT
from lib.models.backbones.vit import ViTConfig


def tiny(style: str = "clip", depth: int = 2) -> ImageViT:
    torch.manual_seed(0)
    return ImageViT(ViTConfig(style=style, width=16, depth=depth, heads=2, patch=32)).eval()


def test_positions_of_an_images_own_grid_are_the_table():
    model = tiny()
    side = IMAGE_SIZE // 32
    assert torch.equal(model.image_positions(side), model.pos_embed[:, 1:])
    image = model.pos_embed[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    resized = F.interpolate(image, (10, 10), mode="bilinear", align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
    assert torch.equal(model.image_positions(10), resized)


def test_tokens_are_the_class_token_and_the_patches_at_their_places():
    model, images = tiny(), torch.randn(2, 3, 96, 96)
    tokens = model.embed(images)
    assert tokens.shape == (2, 10, 16)
    torch.testing.assert_close(tokens[1, 0], model.cls_token[0, 0] + model.pos_embed[0, 0])
    patch = F.conv2d(images[1:, :, 32:64, 64:], model.patch_embed.proj.weight).flatten()
    torch.testing.assert_close(tokens[1, 1 + 5], patch + model.image_positions(3)[0, 5])


@pytest.mark.parametrize(("rows", "first"), [(1, 1), (2, 2)])
def test_of_a_table_of_another_size_the_class_tokens_row_and_the_patches_are_kept(rows, first):
    donor, model = tiny(depth=3), tiny()
    table = torch.randn(1, rows + 16, 16)
    taken = model.from_image_weights(donor.state_dict() | {"pos_embed": table, "head.weight": torch.zeros(1)})
    assert taken.keys() == model.state_dict().keys()
    assert torch.equal(taken["pos_embed"][:, 0], table[:, 0])
    image = table[:, first:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    resized = F.interpolate(image, (7, 7), mode="bilinear", align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
    assert torch.equal(taken["pos_embed"][:, 1:], resized)
