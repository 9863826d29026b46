"""The checkpoint files of one run: writes them, removes old ones, and finds the one to resume from."""

import re
from collections import abc
from pathlib import Path
from typing import Any

from lib.config.tree import flat
from lib.runtime.checkpoint import CHECKPOINT_FORMAT, CheckpointError, read_training_checkpoint, save_checkpoint

# Keys and sections of the experiment that a resumed run may change, since no weight depends on them.
FREE_KEYS = (
    "data.val",
    "data.val_samples",
    "data.workers",
    "name",
    "test",
    "train.checkpoint_minutes",
    "train.keep",
    "train.log_every",
    "train.validate_every",
)


class Checkpoints:
    """``last.pth`` and the newest ``keep`` of ``epoch_NNNN.pth`` (N finished epochs) in ``folder``, which exists
    before the first is saved.

    ``experiment`` is the resolved configuration as a plain tree. Each checkpoint holds it, and a run resumes only with
    the same. ``resolve`` adds new keys to the tree of an older checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        experiment: dict[str, Any],
        keep: int,
        resolve: abc.Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> None:
        self.folder, self.experiment, self.keep, self.resolve = folder, experiment, keep, resolve

    def save(self, state: dict[str, Any], epoch_ended: bool = False) -> None:
        """Writes ``last.pth``, and at the end of an epoch first its own file, whose oldest are removed. ``state`` has
        the keys of ``TRAINING_KEYS`` except the experiment."""
        for name in (*([f"epoch_{state['epoch']:04d}.pth"] if epoch_ended else ()), "last.pth"):
            save_checkpoint(self.folder / name, {"format": CHECKPOINT_FORMAT, "experiment": self.experiment, **state})
        for path in list(self._epochs().values())[: -self.keep]:
            path.unlink()

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The checkpoint with the most steps and its content; None if there is none.

        Raises CheckpointError if that file is damaged; the message names the next older one, since going back is the
        user's decision. Raises it too, naming the keys, if the experiment differs in more than ``FREE_KEYS``.
        """
        epochs = self._epochs()
        candidates = [path for path in (self.folder / "last.pth", *reversed(epochs.values())) if path.is_file()]
        if not candidates:
            return None
        path, content = candidates[0], _read(candidates)
        if epochs and content["epoch"] < max(epochs):  # killed between writing the two
            path, content = candidates[1], _read(candidates[1:])
        changed = changed_keys(self.resolve(content["experiment"]), self.experiment)
        if changed:
            raise CheckpointError(
                f"{path}: this run was started with another configuration ({'; '.join(changed)}); restore the values, "
                "or give the new run an output folder of its own"
            )
        return path, content

    def _epochs(self) -> dict[int, Path]:
        """The epochs' files by number, oldest first."""
        matches = ((re.fullmatch(r"epoch_(\d+)\.pth", path.name), path) for path in self.folder.glob("epoch_*.pth"))
        return dict(sorted((int(match[1]), path) for match, path in matches if match and path.is_file()))


def changed_keys(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The dotted keys, except ``FREE_KEYS``, in which two experiments differ, with both values."""
    old, new = flat(before), flat(now)
    # Earlier versions wrote the loss weights of all heads; those of other heads are ignored.
    old = {key: value for key, value in old.items() if key in new or not key.startswith("objective.")}
    return [
        f"{key} was {old.get(key, 'absent')!r}, is {new.get(key, 'absent')!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not any(f"{key}.".startswith(f"{free}.") for free in FREE_KEYS)
    ]


def _read(candidates: list[Path]) -> dict[str, Any]:
    try:
        return read_training_checkpoint(candidates[0])
    except CheckpointError as error:
        older = f"go on from {candidates[1].name}" if candidates[1:] else "start anew, no older one is there"
        raise CheckpointError(f"{error}; remove this file to {older}") from error
