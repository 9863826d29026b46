"""The convolutional branches of center and corner heads, under the published names."""

from torch import Tensor, nn

LEVELS = 4


def add_branch(head: nn.Module, name: str, width: int, channels: int, outputs: int) -> None:
    """Gives ``head`` the layers ``conv1_<name>`` to ``conv5_<name>``: four 3x3 convolutions with BatchNorm and ReLU,
    from ``width`` to ``channels`` and then half as many each, and a 1x1 convolution to ``outputs`` maps."""
    sizes = [width] + [channels // 2**level for level in range(LEVELS)]
    for level in range(LEVELS):
        layers = (
            nn.Conv2d(sizes[level], sizes[level + 1], 3, padding=1),
            nn.BatchNorm2d(sizes[level + 1]),
            nn.ReLU(inplace=True),
        )
        setattr(head, f"conv{level + 1}_{name}", nn.Sequential(*layers))
    setattr(head, f"conv{LEVELS + 1}_{name}", nn.Conv2d(sizes[LEVELS], outputs, 1))


def run_branch(head: nn.Module, name: str, features: Tensor) -> Tensor:
    """``features`` ``[B, width, F, F]`` through the branch: ``[B, outputs, F, F]``."""
    for level in range(LEVELS + 1):
        features = getattr(head, f"conv{level + 1}_{name}")(features)
    return features
