import copy
import errno
import functools
import json
import logging
import os
import signal

import pytest
import torch
import toy
import yaml

from lib.config.schema import ConfigError
from lib.data.batch import stack
from lib.data.pairs import FIRST_VALIDATION_NUMBER
from lib.models.heads.center import CenterObjective, CenterObjectiveConfig
from lib.models.weights.released import load_file
from lib.runtime import checkpoint
from lib.runtime.checkpoint import CheckpointError, read_training_checkpoint
from lib.runtime.seeds import seed_network
from lib.training.actor import Actor
from lib.training.trainer import NonFiniteError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a run that never stopped leaves."""
    output = tmp_path_factory.mktemp("whole")
    end, left = toy.train(output)
    assert end == (True, 6, 0)
    return output, left


def lines(output, kind: str) -> list[dict]:
    records = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == kind]


def test_a_run_equals_its_rules_by_hand(whole):
    """Each group's gradient by itself, in a copy of the model; their mean, clipped once; the first group's buffers."""
    trainer = toy.build_trainer(whole[0])
    config, model, pairs = trainer.config, trainer.actor.model, toy.ToyPairs(3)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(
        [{"params": [p for name, p in trained.items() if name.startswith("head.") == head]} for head in (False, True)],
        weight_decay=config.optimizer.weight_decay,
    )
    clipped = []
    for step in range(6):
        gradients, buffers = [], []
        for first in range(step * 12, step * 12 + 12, 2):
            alone = copy.deepcopy(model).train()
            seed_network(5, first)
            batch = stack([pairs.sample(first), pairs.sample(first + 1)])
            Actor(alone, CenterObjective(CenterObjectiveConfig()))(batch).loss.backward()
            gradients.append([parameter.grad for parameter in alone.parameters() if parameter.requires_grad])
            buffers.append(list(alone.buffers()))
        mean = [torch.stack(parts).mean(dim=0) for parts in zip(*gradients, strict=True)]
        norm = torch.cat([gradient.flatten() for gradient in mean]).norm()
        clipped.append(norm > config.clip_norm)
        for parameter, gradient in zip(trained.values(), mean, strict=True):
            parameter.grad = gradient * min(1, config.clip_norm / norm)
        factor = trainer.plan.rate_factor(step)
        for group, rate in zip(optimizer.param_groups, (1e-3, 1e-2), strict=True):
            group["lr"] = rate * factor
        optimizer.step()
        for buffer, value in zip(model.buffers(), buffers[0], strict=True):
            buffer.copy_(value)
    assert any(clipped)
    assert not all(clipped)
    by_hand = toy.leavings(model, optimizer)
    assert by_hand.keys() == whole[1].keys()
    for name, values in by_hand.items():
        assert torch.allclose(torch.tensor(values), torch.tensor(whole[1][name]), rtol=1e-3, atol=1e-5), name


def expected_draws(numbers: range) -> dict:
    """The counts in the log for these samples of the toy."""
    sevenths, fifths = ([number for number in numbers if number % every == 0] for every in (7, 5))
    return {
        "pairs": len(numbers),
        "redrawn": sum(number % 3 == 0 for number in numbers) + len(sevenths),
        "damaged": len(sevenths),
        "missed": len(fifths),
        "missed_share": len(fifths) / (2 * len(numbers)),
        "reasons": [f"noise/{number}.jpg is damaged" for number in sevenths][:5],
    }


def test_an_epoch_ends_with_what_was_drawn(whole):
    held_out = range(FIRST_VALIDATION_NUMBER, FIRST_VALIDATION_NUMBER + 8)
    assert lines(whole[0], "data") == [
        {"kind": "data", "of": part, "step": step, "epoch": epoch, **expected_draws(numbers)}
        for part, step, epoch, numbers in (
            ("training", 3, 1, range(36)),
            ("validation", 3, 1, held_out),
            ("training", 6, 2, range(36, 72)),
            ("validation", 6, 2, held_out),
        )
    ]


def test_groups_differ_in_their_positives():
    """Otherwise the denominators of a group would equal those of a step."""
    centers = [toy.ToyPairs(3).sample(n).search_box[0] for n in range(12)]
    positives = [int(((box[:2] + box[2:] / 2) * 4).round().max() < 4) for box in centers]
    assert len({positives[group] + positives[group + 1] for group in range(0, 12, 2)}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("forward_pass", [5, 9, 18, 42])
def test_a_stopped_run_goes_on_to_the_same_bits(whole, tmp_path, forward_pass):
    number = signal.SIGINT if forward_pass == 9 else signal.SIGTERM
    end, left = toy.train(tmp_path, stop_at=(number, forward_pass))
    assert not end.finished
    assert end.signal == number
    assert left != whole[1] or end.step == 6
    end, left = toy.train(tmp_path)
    assert end.finished
    assert end.signal == 0
    assert left == whole[1]
    validations = [lines(output, "validation") for output in (tmp_path, whole[0])]
    assert validations[0] == validations[1]
    assert [line["step"] for line in lines(tmp_path, "train")] == [2, 4, 6]
    assert_same_draws(lines(tmp_path, "data"), lines(whole[0], "data"))


def assert_same_draws(records: list[dict], whole: list[dict]) -> None:
    """The counts of each epoch's parts add up to those of a run that never stopped; no group counts twice."""
    for count in ("pairs", "redrawn", "damaged", "missed"):
        for expected in whole:
            part = expected["of"], expected["epoch"]
            counted = sum(record[count] for record in records if (record["of"], record["epoch"]) == part)
            assert counted == expected[count], (part, count)


def test_a_run_may_be_stopped_at_every_step(whole, tmp_path):
    stops = []
    while not (end_left := toy.train(tmp_path, stop_at=(signal.SIGTERM, 4)))[0].finished:
        stops.append(end_left[0].step)
    assert stops == [1, 2, 3, 4, 5, 6]
    assert end_left[1] == whole[1]
    assert_same_draws(lines(tmp_path, "data"), lines(whole[0], "data"))


@pytest.mark.slow
def test_workers_change_no_bit(whole, tmp_path):
    end, left = toy.train(tmp_path, stop_at=(signal.SIGTERM, 8), data={"workers": 2})
    assert end == (False, 2, signal.SIGTERM)
    assert toy.train(tmp_path)[1] == whole[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(whole, tmp_path):
    """Killed at pass 30, in step 4 (from 0); saved by the minute, after step 3, or by the epoch, after step 2."""
    for minutes, step in ((1e-9, 4), (60.0, 3)):
        output = tmp_path / str(minutes)
        trainer = toy.build_trainer(output, log_every=1, checkpoint_minutes=minutes)
        calls = iter(range(100))

        def kill(*_, calls=calls):
            if next(calls) == 30:
                raise InterruptedError

        trainer.actor.model.register_forward_pre_hook(kill)
        with pytest.raises(InterruptedError):
            trainer.run()
        assert [line["step"] for line in lines(output, "train")] == [1, 2, 3, 4]
        assert read_training_checkpoint(output / "checkpoints" / "last.pth")["step"] == step
        assert toy.train(output, log_every=1)[1] == whole[1]
        assert [line["step"] for line in lines(output, "train")] == [1, 2, 3, 4, 5, 6]


def test_a_complete_run_changes_nothing(whole, caplog):
    caplog.set_level(logging.INFO)
    before = sorted((path, path.stat().st_mtime_ns) for path in whole[0].rglob("*"))
    end, left = toy.train(whole[0])
    assert end.signal == 0
    assert left == whole[1]
    assert "complete already, 2 epochs" in caplog.text
    assert sorted((path, path.stat().st_mtime_ns) for path in whole[0].rglob("*")) == before


def test_the_log_begins_with_the_recipe(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    toy.train(tmp_path, stop_at=(signal.SIGTERM, 0))
    for part in (
        "2 epochs of 3 steps, 6 steps in all",
        "global batch 12 in 6 groups of 2; processes: 1, groups that each takes a step (accumulation): 6",
        "lr: backbone 0.001, head 0.01; fp32 on cpu",
        "data.samples_per_epoch is 2 more than whole steps",
        "stopped at step 1 of 6; run the same command to continue",
    ):
        assert part in caplog.text
    tree = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert tree == toy.build_trainer(tmp_path)._run.experiment
    assert read_training_checkpoint(tmp_path / "checkpoints" / "last.pth")["experiment"] == tree


def test_a_checkpoints_folder_that_cannot_be_made_costs_no_step(tmp_path):
    (tmp_path / "checkpoints").symlink_to("/nowhere/checkpoints")
    with pytest.raises(FileExistsError):
        toy.train(tmp_path)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_lack_of_the_gpus_memory_is_one_line(tmp_path):
    trainer = toy.build_trainer(tmp_path)

    def lack(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 MiB.")

    trainer.actor.model.register_forward_pre_hook(lack)
    with pytest.raises(ValueError, match="^cpu: no memory for 2 pairs at once; set train.precision=bf16 or a smaller"):
        trainer.run()


def test_a_changed_recipe_does_not_go_on(tmp_path):
    toy.train(tmp_path, stop_at=(signal.SIGTERM, 8))
    before = (tmp_path / "config.yaml").read_text()
    with pytest.raises(CheckpointError, match="last.pth.*train.clip_norm was 20.3, is 0.25"):
        toy.train(tmp_path, clip_norm=0.25)
    assert (tmp_path / "config.yaml").read_text() == before


@pytest.mark.slow
def test_numbers_that_change_no_weight_may_change(whole, tmp_path):
    toy.train(tmp_path, stop_at=(signal.SIGTERM, 8))
    changes = {"log_every": 1, "keep": 1, "checkpoint_minutes": 1e-9, "validate_every": 2}
    assert toy.train(tmp_path, data={"val_samples": 5}, **changes)[1] == whole[1]
    assert [line["epoch"] for line in lines(tmp_path, "validation")] == [2]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["epoch_0002.pth", "last.pth"]


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_costs_nothing(whole, tmp_path, monkeypatch):
    toy.train(tmp_path, stop_at=(signal.SIGTERM, 8))
    last = tmp_path / "checkpoints" / "last.pth"
    before = last.read_bytes()

    def full(content, file):
        file.write(b"some of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, pytest.raises(CheckpointError, match="No space left on device"):
        patched.setattr(checkpoint.torch, "save", full)
        toy.train(tmp_path)
    assert last.read_bytes() == before
    assert [path.name for path in last.parent.iterdir()] == ["last.pth"]
    assert toy.train(tmp_path)[1] == whole[1]


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_before_the_step(whole, tmp_path):
    """Sample 41 is in step 3, group 2."""
    with pytest.raises(NonFiniteError, match=r"^step 3: loss nan in samples 40 to 41 \(noise/40; noise/41\)$"):
        toy.train(tmp_path, poisoned=41)
    content = read_training_checkpoint(tmp_path / "checkpoints" / "last.pth")
    assert content["step"] == 3
    assert toy.train(tmp_path)[1] == whole[1]


@pytest.mark.slow
def test_overfit_repeats_the_first_step(tmp_path):
    for _ in range(2):  # the second starts anew
        trainer = toy.build_trainer(tmp_path, overfit=True, global_batch=4)
        sample, asked = trainer.train_pairs.sample, []
        trainer.train_pairs.sample = lambda number, sample=sample, asked=asked: asked.append(number) or sample(number)
        assert (trainer.run(), trainer.state.step) == (0, 18)
        assert asked == [*range(4)] * 18
        records = lines(tmp_path, "train")
        assert [record["step"] for record in records] == [*range(2, 19, 2)]
        assert records[-1]["loss"] < 0.8 * records[0]["loss"]
        assert lines(tmp_path, "validation") == []


@pytest.mark.slow
def test_fine_tuning_takes_the_weights_only(whole, tmp_path):
    start = whole[0] / "checkpoints" / "last.pth"
    trainer = toy.build_trainer(tmp_path, init_from=str(start))
    trainer._restore()
    assert trainer.state.step == 0
    weights = {name: values for name, values in whole[1].items() if not name[0].isdigit()}
    assert toy.leavings(trainer.actor.model, trainer.state.optimizer) == weights
    end, left = toy.train(tmp_path, init_from=str(start))
    assert end.finished
    assert left != whole[1]
    assert left == toy.train(tmp_path / "unstopped", init_from=str(start))[1]


def test_fine_tuning_from_another_model_is_reported(whole, tmp_path, monkeypatch):
    content = read_training_checkpoint(whole[0] / "checkpoints" / "last.pth")
    content["model"]["more.weight"] = content["model"].pop("mix.weight")
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="other.pth.*1 missing: mix.weight; 1 unexpected: more.weight"):
        toy.train(tmp_path / "run", init_from=str(tmp_path / "other.pth"))
    with pytest.raises(CheckpointError, match="absent.pth: no such checkpoint"):
        toy.train(tmp_path / "run", init_from="absent.pth")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=f"^train.init_from: {tmp_path}/absent.pth: no such checkpoint"):
        toy.train(tmp_path / "run", init_from="~/absent.pth")


@pytest.mark.parametrize("change", [
    lambda state: state["param_groups"].pop(),
    lambda state: state.pop("param_groups"),
    lambda state: state["param_groups"][0].update(params=None),
])  # fmt: skip
def test_a_checkpoint_with_the_optimizer_of_another_run_is_one_line(tmp_path, change):
    toy.train(tmp_path, stop_at=(signal.SIGTERM, 3))
    file = tmp_path / "checkpoints" / "last.pth"
    content = read_training_checkpoint(file)
    change(content["optimizer"])
    torch.save(content, file)
    with pytest.raises(CheckpointError, match="last.pth: its optimizer is not this run's .*; remove it"):
        toy.train(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"precision": "fp16"}, {"ema": 0.7}])
def test_a_stopped_run_of_another_recipe_goes_on_to_the_same_bits(tmp_path, changes):
    assert not toy.train(tmp_path, **changes, stop_at=(signal.SIGTERM, 8))[0].finished
    assert not toy.train(tmp_path, **changes, stop_at=(signal.SIGTERM, 16))[0].finished
    end, left = toy.train(tmp_path, **changes)
    assert end.finished
    assert left == toy.train(tmp_path / "unstopped", **changes)[1]
    state = read_training_checkpoint(tmp_path / "checkpoints" / "last.pth")["optimizer"]["state"]
    assert {value.dtype for moments in state.values() for value in moments.values()} == {torch.float32}


@pytest.mark.slow
def test_a_compiled_run_is_stopped_and_goes_on_to_the_same_bits(whole, tmp_path, monkeypatch):
    """Its graphs are computed operation by operation here, as eager, without a compiler's minutes. There are three: for
    the group whose statistics are remembered, for the others, and for validation; the number of the epoch makes none.
    """
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))

    def train(output, **arguments):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        return toy.train(output, compile=True, **arguments)

    end, left = train(tmp_path / "whole")
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 3
    assert left.keys() == whole[1].keys()
    for name, values in whole[1].items():
        assert torch.allclose(torch.tensor(left[name]), torch.tensor(values), rtol=1e-3, atol=1e-5), name
    assert not train(tmp_path / "stopped", stop_at=(signal.SIGTERM, 8))[0].finished
    assert train(tmp_path / "stopped")[1] == left
    torch._dynamo.reset()


@pytest.mark.slow
def test_an_overflow_in_fp16_costs_its_step_and_halves_the_scale(tmp_path):
    trainer = toy.build_trainer(tmp_path, precision="fp16", log_every=1)
    trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**19)  # too large for the toy's gradients
    weight = trainer.actor.model.mix.weight
    before, scales = [weight.detach().clone()], []
    trainer.actor.model.register_forward_pre_hook(
        lambda model, _: before.append(weight.detach().clone()) or scales.append(trainer.state.scaler.get_scale())
    )
    assert (trainer.run(), trainer.state.step) == (0, 6)
    overflows = [line["overflows"] for line in lines(tmp_path, "train")]
    assert overflows[0] == 1
    assert overflows[-1] == 0
    firsts = [step * 6 + (step >= 3) * 4 for step in range(6)]
    assert [scales[first] for first in firsts] == [2.0 ** (19 - sum(overflows[:step])) for step in range(6)]
    for step, (first, following) in enumerate(zip(firsts, firsts[1:], strict=False)):
        assert torch.equal(before[first + 1], before[following + 1]) == bool(overflows[step])
    saved = read_training_checkpoint(tmp_path / "checkpoints" / "last.pth")["scaler"]
    assert saved == trainer.state.scaler.state_dict()


@pytest.mark.slow
def test_fp16_without_overflows_learns_as_fp32(tmp_path):
    losses = []
    for precision in ("fp32", "fp16"):
        trainer = toy.build_trainer(tmp_path / precision, precision=precision, log_every=1)
        trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=128.0, enabled=precision == "fp16")
        assert trainer.run() == 0
        losses.append([line["loss"] for line in lines(tmp_path / precision, "train")])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]


def test_what_is_not_finite_in_itself_stops_a_run_in_fp16(tmp_path):
    step = {"epochs": 1, "global_batch": 4, "data": {"samples_per_epoch": 40, "val_samples": 2}, "precision": "fp16"}
    with pytest.raises(NonFiniteError, match="step 0: loss nan"):
        toy.train(tmp_path / "loss", poisoned=3, **step)
    trainer = toy.build_trainer(tmp_path / "gradient", **step)
    trainer.state.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    trainer.actor.model.mix.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(NonFiniteError, match="step 2: gradient norm (nan|inf) .* in samples noise/8; .*noise/11$"):
        trainer.run()


@pytest.mark.slow
def test_the_average_follows_the_weights_and_is_what_a_checkpoint_holds(whole, tmp_path):
    """The weights are those of a run without it; the average is that of their course, worked out by hand."""
    trainer = toy.build_trainer(tmp_path, ema=0.7)
    names = [name for name, _ in trainer.actor.model.named_parameters()]
    expected, course = {}, []
    step_optimizer = trainer._step_optimizer

    def recording(batches, losses):
        result = step_optimizer(batches, losses)
        course.append({name: value.detach().clone() for name, value in trainer.actor.model.named_parameters()})
        return result

    trainer._step_optimizer = recording
    start = {name: value.detach().clone() for name, value in trainer.actor.model.named_parameters()}
    assert trainer.run() == 0
    assert toy.leavings(trainer.actor.model, trainer.state.optimizer) == whole[1]
    for name in names:
        expected[name] = 0.7**6 * start[name]
        for step, weights in enumerate(course):
            expected[name] = expected[name] + 0.3 * 0.7 ** (5 - step) * weights[name]
    content = read_training_checkpoint(tmp_path / "checkpoints" / "last.pth")
    for name in names:
        assert torch.allclose(content["model"][name], expected[name], rtol=1e-4, atol=1e-6), name
        assert torch.equal(content["unaveraged"][name], course[-1][name])
    assert content["model"].keys() == content["unaveraged"].keys()
    judged = toy.ToyTracker()
    load_file(judged, tmp_path / "checkpoints" / "last.pth")
    assert all(torch.equal(value, content["model"][name]) for name, value in judged.state_dict().items())


@pytest.mark.slow
def test_the_average_is_what_is_validated(tmp_path):
    """A decay near 0 keeps nothing but the newest weights and statistics, one near 1 the first ones."""
    losses = {}
    for ema in (None, 1e-9, 1 - 1e-9):
        toy.train(tmp_path / str(ema), ema=ema)
        losses[ema] = [line["loss"] for line in lines(tmp_path / str(ema), "validation")]
    assert losses[1e-9] == pytest.approx(losses[None], rel=1e-5)
    first, second = losses[1 - 1e-9]
    assert first == pytest.approx(second, rel=1e-5)
    assert abs(losses[None][1] - losses[None][0]) > 1e-3


def test_fine_tuning_averages_from_the_weights_that_it_starts_from(whole, tmp_path):
    start = str(whole[0] / "checkpoints" / "last.pth")
    trainer = toy.build_trainer(tmp_path, init_from=start, ema=0.7)
    trainer._restore()
    for model in (trainer.actor.model, trainer.state.average.module):
        assert toy.leavings(model, trainer.state.optimizer).items() <= whole[1].items()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": {"kind": "cosine", "warmup": {"epochs": 2}}}, "train.schedule.warmup: 6 steps"),
        ({"data": {"val_samples": 1}}, "data.val_samples: 1 is less than train.group_batch 2"),
    ],
)
def test_numbers_that_do_not_fit(tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        toy.build_trainer(tmp_path, **arguments)


def test_gradients_are_taken_as_they_are_where_the_recipe_has_no_norm(tmp_path):
    """As with a norm that no gradient reaches, to the bit; what is not finite is still noticed."""
    step = {"epochs": 1, "global_batch": 4, "data": {"samples_per_epoch": 4, "val_samples": 2}}
    left = {norm: toy.train(tmp_path / str(norm), clip_norm=norm, **step)[1] for norm in (None, 1e30, 0.1)}
    assert left[None] == left[1e30] != left[0.1]
    trainer = toy.build_trainer(tmp_path / "gradient", clip_norm=None, **step)
    trainer.actor.model.mix.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = trainer.actor.model.divide.weight.clone()
    with pytest.raises(NonFiniteError, match="step 0: gradient norm (nan|inf) though every loss is finite"):
        trainer.run()
    assert torch.equal(trainer.actor.model.divide.weight, before)
