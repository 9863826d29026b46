import json

import pytest
import torch
import toy
from pydantic import TypeAdapter
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from lib.config.schema import ConfigError
from lib.data.pairs import FIRST_VALIDATION_NUMBER, DataConfig
from lib.training.config import CosineScheduleConfig, ScheduleConfig, StepScheduleConfig, TrainConfig
from lib.training.schedule import StepPlan


def plan(global_batch: int, group_batch: int, processes: int, samples: int = 640, validated: int = 0) -> StepPlan:
    data = DataConfig.model_construct(samples_per_epoch=samples, val_samples=validated)
    config = TrainConfig.model_validate_json(
        json.dumps({**toy.CONFIG, "global_batch": global_batch, "group_batch": group_batch})
    )
    return StepPlan(config, data, processes)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_take_contiguous_blocks_of_the_same_groups(processes):
    dealing = plan(16, 4, processes)
    assert dealing.local_groups * processes == dealing.groups == 4
    dealt = [numbers for rank in range(processes) for numbers in dealing.numbers(3, rank)]
    assert dealt == [range(48, 52), range(52, 56), range(56, 60), range(60, 64)]


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_take_turns_in_validation(processes):
    dealing = plan(16, 4, processes, validated=15)
    dealt = [numbers for rank in range(processes) for numbers in dealing.validation_numbers(rank)]
    starts = [FIRST_VALIDATION_NUMBER + 4 * group for group in ((0, 1, 2) if processes == 1 else (0, 2, 1))]
    assert dealt == [range(start, start + 4) for start in starts]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((320, 48, 1), "train.group_batch: 48 does not divide train.global_batch 320; nearest that do: 40 or 64"),
        ((320, 640, 1), "nearest that do: 320$"),
        ((320, 40, 3), "3 processes cannot share 8 groups of 40 evenly .*nearest that can: 2 or 4"),
        ((320, 40, 16), "nearest that can: 8$"),
    ],
)
def test_what_does_not_divide_names_the_nearest_that_does(sizes, message):
    with pytest.raises(ConfigError, match=message):
        plan(*sizes)


def factors_of(schedule: ScheduleConfig, steps_per_epoch: int, epochs: int) -> list[float]:
    """The factor of each step of a run."""
    config = TrainConfig.model_validate_json(json.dumps({**toy.CONFIG, "epochs": epochs}))
    data = DataConfig.model_construct(samples_per_epoch=steps_per_epoch * config.global_batch, val_samples=0)
    run = StepPlan(config.model_copy(update={"schedule": schedule}), data, 1)
    return [run.rate_factor(step) for step in range(run.steps)]


def torch_factors(make_scheduler, count: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler, factors = make_scheduler(optimizer), []
    for _ in range(count):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


def test_step_is_the_published_schedule():
    config = StepScheduleConfig(kind="step", drop_epoch=4)
    factors = factors_of(config, 3, 6)
    by_epoch = torch_factors(lambda optimizer: StepLR(optimizer, 4, 0.1), 6)
    assert factors == pytest.approx([factor for factor in by_epoch for _ in range(3)])


def test_cosine_is_torchs_after_the_warm_up():
    config = CosineScheduleConfig(kind="cosine", warmup=0.1, final=0.2)
    factors = factors_of(config, 5, 4)
    assert factors[:2] == [0.5, 1.0]
    assert factors[2:] == pytest.approx(torch_factors(lambda o: CosineAnnealingLR(o, 18, eta_min=0.2), 18))


def test_a_drop_also_has_a_warm_up():
    config = StepScheduleConfig(kind="step", drop_epoch=1, factor=0.5, warmup=0.25)
    assert factors_of(config, 4, 4)[:6] == [0.25, 0.5, 0.75, 1.0, 0.5, 0.5]
    assert CosineScheduleConfig(kind="cosine") == CosineScheduleConfig(kind="cosine", warmup=0.05, final=0.0)


@pytest.mark.parametrize("kind", [{"kind": "cosine"}, {"kind": "step", "drop_epoch": 3}])
def test_a_warm_up_in_epochs_or_steps_is_that_of_its_share(kind):
    def factors(warmup) -> list[float]:
        section = TypeAdapter(ScheduleConfig).validate_json(json.dumps({**kind, "warmup": warmup}))
        assert TypeAdapter(ScheduleConfig).validate_json(section.model_dump_json()) == section
        return factors_of(section, 5, 4)

    assert factors({"epochs": 1}) == factors({"steps": 5}) == factors(0.25) != factors(0.2)
    assert factors({"epochs": 0.4}) == factors({"steps": 2})


@pytest.mark.parametrize("warmup", [{}, {"epochs": 1, "steps": 2}, {"epochs": 0}, {"steps": 1.5}, 1.0, {"step": 3}])
def test_a_warm_up_has_one_length(warmup):
    with pytest.raises(ValueError, match="warmup"):
        CosineScheduleConfig.model_validate_json(json.dumps({"kind": "cosine", "warmup": warmup}))
