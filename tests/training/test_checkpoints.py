import pytest

from lib.runtime.checkpoint import CheckpointError
from lib.training.checkpoints import FREE_KEYS, Checkpoints, changed_keys

EXPERIMENT = {"seed": 1, "train": {"lr": 0.1, "log_every": 50, "names": ["a"]}, "test": {"threshold": 0.5}}


def state(step: int, epoch: int) -> dict:
    return {"model": {}, "optimizer": {}, "step": step, "epoch": epoch, "seed": 1, "processes": 1}


@pytest.fixture
def checkpoints(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return Checkpoints(tmp_path / "checkpoints", EXPERIMENT, keep=2)


def names(checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_the_newest_epochs_and_the_last_are_kept(checkpoints):
    assert checkpoints.newest() is None
    for epoch in range(1, 5):
        checkpoints.save(state(epoch * 10, epoch), epoch_ended=True)
    checkpoints.save(state(43, 4))
    assert names(checkpoints) == ["epoch_0003.pth", "epoch_0004.pth", "last.pth"]
    path, content = checkpoints.newest()
    assert (path.name, content["step"]) == ("last.pth", 43)


def test_more_than_9999_epochs_count_on(checkpoints):
    for epoch in (9999, 10000):
        checkpoints.save(state(epoch, epoch), epoch_ended=True)
    (checkpoints.folder / "last.pth").unlink()
    assert checkpoints.newest()[0].name == "epoch_10000.pth"


def test_an_epoch_beyond_the_last_wins(checkpoints):
    """Killed after the epoch's file was written and before the last one was."""
    checkpoints.save(state(10, 1), epoch_ended=True)
    last = (checkpoints.folder / "last.pth").read_bytes()
    checkpoints.save(state(20, 2), epoch_ended=True)
    (checkpoints.folder / "last.pth").write_bytes(last)
    path, content = checkpoints.newest()
    assert (path.name, content["step"]) == ("epoch_0002.pth", 20)


def test_a_damaged_file_is_named_with_the_older_one(checkpoints):
    checkpoints.save(state(10, 1), epoch_ended=True)
    last = checkpoints.folder / "last.pth"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(CheckpointError) as error:
        checkpoints.newest()
    assert str(last) in str(error.value)
    assert "remove this file to go on from epoch_0001.pth" in str(error.value)
    assert "\n" not in str(error.value)
    last.unlink()
    assert checkpoints.newest()[1]["step"] == 10
    (checkpoints.folder / "epoch_0001.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match="epoch_0001.pth.*start anew"):
        checkpoints.newest()


def test_a_half_written_file_and_a_folder_are_none(checkpoints):
    checkpoints.save(state(3, 0))
    (checkpoints.folder / ".0123456789ab.tmp").write_bytes(b"half")
    (checkpoints.folder / "epoch_best.pth").write_bytes(b"whatever the user keeps")
    (checkpoints.folder / "epoch_0002.pth").mkdir()
    assert checkpoints.newest()[1]["step"] == 3


def test_another_configuration_is_refused_with_its_keys(checkpoints):
    checkpoints.save(state(3, 0))
    checkpoints.experiment = {"seed": 2, "train": {"lr": 0.2, "names": ["a"]}, "model": {"name": "grm"}}
    with pytest.raises(CheckpointError) as error:
        checkpoints.newest()
    for part in ("last.pth", "seed was 1, is 2", "train.lr was 0.1, is 0.2", "model.name was 'absent', is 'grm'"):
        assert part in str(error.value)
    assert "log_every" not in str(error.value)
    assert "threshold" not in str(error.value)


def test_keys_that_are_new_since_the_run_began_have_their_defaults(checkpoints):
    checkpoints.save(state(3, 0))
    checkpoints.experiment = {**EXPERIMENT, "train": {**EXPERIMENT["train"], "frozen": []}}
    with pytest.raises(CheckpointError, match=r"train.frozen was 'absent', is \[\]"):
        checkpoints.newest()
    checkpoints.resolve = lambda tree: {**tree, "train": {"frozen": [], **tree["train"]}}
    assert checkpoints.newest()[1]["step"] == 3


@pytest.mark.parametrize("key", FREE_KEYS)
def test_free_keys_may_change(key):
    section, _, name = key.partition(".")
    before, now = ({section: {name: v} if name else {"threshold": v}} for v in (1, 2))
    assert changed_keys(before, now) == []
    if name:
        assert changed_keys({section: {f"{name}_more": 1}}, {section: {f"{name}_more": 2}})
