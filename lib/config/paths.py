"""Where data, pretrained weights and output lie on this machine: paths.yaml and environment variables."""

import os
from pathlib import Path

from pydantic import Field, PrivateAttr

from lib.config.schema import ConfigError, Section, suggest
from lib.config.validation import validate
from lib.config.yaml12 import read_yaml

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED_WEIGHTS = REPOSITORY / "pretrained_models"
CLIP = REPOSITORY / "docs" / "clip.mp4"  # a real video that comes with the project
_VARIABLE = "TRACKING_"


class Paths(Section, validate_default=False):
    """Folders of this machine, absolute once they come from ``load_paths``.

    * ``data``: root folder of each dataset by its name, as ``dataset_root`` looks it up.
    * ``output``: runs are written below it, a folder an experiment.
    * ``pretrained_models``: initial weights and released checkpoints.
    * ``cache``: files made from the data that can be made again (indices of annotations, frames of videos).
    * ``crops``: folder of each dataset's crop stores by its name, one store a split (``prepare_data.py crops``).
    * ``masks``: folder of each dataset's masks by its name, laid out like the frames, each mask a PNG.
    """

    data: dict[str, Path] = {}
    crops: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    output: Path = Field(default_factory=lambda: REPOSITORY / "output")
    pretrained_models: Path = Field(default_factory=lambda: REPOSITORY / "pretrained_models")
    cache: Path = Field(default_factory=lambda: REPOSITORY / "cache")
    _file: Path = PrivateAttr(default_factory=lambda: REPOSITORY / "paths.yaml")

    def dataset_root(self, name: str) -> Path:
        """Root folder of a dataset. Raises ``ConfigError`` with the remedy if it is not set or does not exist."""
        if name not in self.data:
            hint = f" ({suggest(name, self.data)})" if self.data else ""
            raise ConfigError(f"data.{name}: not set; {self._remedy(name)} to the folder of {name}{hint}")
        if not self.data[name].is_dir():
            raise ConfigError(f"data.{name}: no such folder: {self.data[name]}; {self._remedy(name)} to the right one")
        return self.data[name]

    def weights(self, name: str) -> Path:
        """A file or folder of ``pretrained_models``, else of the repository's own folder, which ships some."""
        file = self.pretrained_models / user_path(name)
        return file if file.exists() else SHIPPED_WEIGHTS / user_path(name)

    def _remedy(self, name: str) -> str:
        return f"set data.{name} in {self._file} or the environment variable {_VARIABLE}DATA_{name.upper()}"


def user_path(text: str | Path) -> Path:
    """A path as a user writes it: ``~`` is the home folder, also where the shell leaves it (``--checkpoint=~/a``)."""
    return Path(os.path.expanduser(text))


def load_paths(file: Path | None = None) -> Paths:
    """The folders of this machine.

    They are read from ``file``, else from the file that TRACKING_PATHS names, else from paths.yaml in the checkout if
    there is one, else defaults hold. TRACKING_DATA_<NAME>, TRACKING_OUTPUT, TRACKING_PRETRAINED_MODELS and
    TRACKING_CACHE then replace single entries; an empty variable counts as unset. A relative path counts from the
    folder of its file, or from the current folder if it is the value of a variable. Raises ``ConfigError`` for a
    file that is absent or wrong.
    """
    variable = _variable("PATHS")
    if file is None and variable and not variable.exists():
        raise ConfigError(f"{_VARIABLE}PATHS: no such file: {variable}; correct or unset this environment variable")
    named = Path(file).absolute() if file else variable
    chosen = named or REPOSITORY / "paths.yaml"
    given = validate(Paths, read_yaml(chosen) if named or os.path.lexists(chosen) else {}, str(chosen))
    folders = {name: _absolute(folder, chosen.parent) for name, folder in given}
    for name in ("output", "pretrained_models", "cache"):
        folders[name] = _variable(name.upper()) or folders[name]
    for name in os.environ:
        if name.startswith(f"{_VARIABLE}DATA_") and (folder := _variable(name.removeprefix(_VARIABLE))):
            folders["data"][name.removeprefix(f"{_VARIABLE}DATA_").lower()] = folder
    paths = Paths(**folders)
    paths._file = chosen
    return paths


def _absolute(folder: Path | dict[str, Path], start: Path) -> Path | dict[str, Path]:
    if isinstance(folder, dict):
        return {name: _absolute(path, start) for name, path in folder.items()}
    return start / user_path(folder)


def _variable(name: str) -> Path | None:
    text = os.environ.get(_VARIABLE + name)
    return _absolute(text, Path.cwd()) if text else None
