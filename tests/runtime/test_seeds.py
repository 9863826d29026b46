import torch

from lib.runtime.seeds import seed_network


def draw(seed: int, number: int) -> list[float]:
    seed_network(seed, number)
    return torch.rand(4).tolist()


def test_noise_is_a_function_of_two_numbers():
    first = draw(1, 2**40 + 3)
    torch.rand(7)
    assert draw(1, 2**40 + 3) == first
    others = [draw(1, 3), draw(2, 2**40 + 3), draw(0, 0), draw(0, 1), draw(1, 0), draw(3, 1)]
    assert len({tuple(values) for values in [first, *others]}) == 7
