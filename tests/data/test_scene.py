import numpy as np
import pytest

from lib.data.synthetic.scene import PATTERNS, SPRITE, MovingSprite, compose, render_scene

EXACT = 0.03  # masks are pixels: a border may lie half a pixel off


def block(x: float, y: float, width: float, height: float, color: float = 200.0) -> MovingSprite:
    """An opaque upright rectangle that stands still."""
    full = np.full((SPRITE, SPRITE, 4), color, np.float32)
    full[..., 3] = 1
    center = [x + width / 2 - 0.5, y + height / 2 - 0.5]  # the middle of the first pixel is 0
    return MovingSprite(
        (full, full[::2, ::2].copy()), np.array([center]), np.array([[width / 2, height / 2]]), np.zeros(1)
    )


def draw(layers: list[MovingSprite], target: MovingSprite) -> tuple[np.ndarray, np.ndarray, float]:
    image = np.zeros((60, 80, 3), np.uint8)
    return image, *compose(image, layers, target, 0, 0.0)


def test_an_open_target_is_boxed_and_wholly_visible():
    target = block(20, 10, 16, 24)
    image, box, share = draw([target], target)
    assert np.abs(box - [20, 10, 16, 24]).max() <= 1
    assert share == 1
    assert image[14:30, 24:32].min() == 200
    assert image[:8].max() == 0


@pytest.mark.parametrize("below", [True, False])
def test_only_what_lies_over_the_target_hides_it_and_the_box_keeps_hidden_parts(below: bool):
    target, other = block(20, 10, 16, 24), block(10, 22, 40, 30, 90)
    _, box, share = draw([other, target] if below else [target, other], target)
    assert np.abs(box - [20, 10, 16, 24]).max() <= 1
    assert share == pytest.approx(1 if below else 0.5, abs=EXACT)


def test_a_target_across_the_border_is_cut_and_what_is_outside_does_not_show():
    target = block(-8, 20, 16, 20)
    _, box, share = draw([target], target)
    assert np.abs(box - [0, 20, 8, 20]).max() <= 1
    assert share == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize("place", [(-30, 20), (90, 20), (20, -40), (20, 70)])
def test_a_target_outside_has_no_box_and_does_not_show(place: tuple[int, int]):
    target = block(*place, 16, 20)
    image, box, share = draw([target], target)
    assert box.tolist() == [0, 0, 0, 0]
    assert share == 0
    assert image.max() == 0


def test_an_open_shutter_smears_along_the_step_and_keeps_the_light():
    target = block(20, 10, 16, 24)
    moving = MovingSprite(target.sprite, np.concatenate([target.centers, target.centers + [10, 0]]), *(
        np.repeat(values, 2, axis=0) for values in (target.half_axes, target.angles)
    ))  # fmt: skip
    still, smeared = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80, 3), np.uint8)
    compose(still, [moving], moving, 0, 0.0)
    compose(smeared, [moving], moving, 0, 1.0)
    assert smeared.sum() == pytest.approx(still.sum(), rel=0.02)
    assert (smeared[20] > 0).sum() > (still[20] > 0).sum() + 15  # columns, in three channels
    assert abs(int((smeared[:, 28] > 0).sum()) - int((still[:, 28] > 0).sum())) <= 6


def scenes(split: str, count: int, frames: int) -> list[list]:
    return [list(render_scene(np.random.default_rng(seed), PATTERNS[split], frames, 96, 72)) for seed in range(count)]


@pytest.mark.slow
def test_sequences_hold_what_makes_tracking_hard():
    visible, scale = [], []
    for frames in scenes("train", 12, 30):
        assert all(frame.image.shape == (72, 96, 3) and frame.image.dtype == np.uint8 for frame in frames)
        boxes = np.stack([frame.box for frame in frames])
        assert boxes.min() >= 0
        assert (boxes[:, 0] + boxes[:, 2]).max() <= 96
        assert (boxes[:, 1] + boxes[:, 3]).max() <= 72
        visible.append([frame.visible for frame in frames])
        whole = np.array(visible[-1]) > 0.99
        scale.append(np.sqrt(boxes[whole, 2] * boxes[whole, 3]))
    visible = np.array(visible)
    assert visible.min() == 0
    assert visible.max() == 1
    gone = (visible == 0).any(axis=1)
    assert gone.any()
    assert not gone.all()
    assert (visible[gone, -1] > 0.5).any(), "one at least comes back"
    assert ((visible > 0.2) & (visible < 0.8)).any(axis=1).mean() > 0.2, "occlusion is common"
    assert max(sizes.max() / sizes.min() for sizes in scale) > 2


def test_the_first_frame_shows_the_target():
    first = [next(render_scene(np.random.default_rng(seed), PATTERNS["val"], 60, 96, 72)) for seed in range(20)]
    assert min(frame.visible for frame in first) > 0.5


def test_the_splits_share_no_family_of_patterns():
    train, val = PATTERNS["train"], PATTERNS["val"]
    assert not set(train) & set(val)
    assert not set(train.values()) & set(val.values())
