"""Where data, output and weights lie: files, environment variables, defaults."""

import os
from pathlib import Path

import pytest

from lib.config import paths as paths_module
from lib.config.paths import REPOSITORY, load_paths, user_path
from lib.config.schema import ConfigError

EXAMPLE = REPOSITORY / "experiments" / "paths.example.yaml"


@pytest.fixture(autouse=True)
def repository(tmp_path, monkeypatch) -> Path:
    """A checkout of its own without paths.yaml, and no variable of the machine."""
    for name in [name for name in os.environ if name.startswith("TRACKING_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.setattr(paths_module, "REPOSITORY", folder)
    return folder


@pytest.fixture
def file(tmp_path) -> Path:
    file = tmp_path / "elsewhere" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("data: {got10k: sets/got10k, lasot: /sets/lasot, uav: ~/uav}\noutput: ../runs\n")
    return file


def test_the_repository_is_the_checkout():
    assert (REPOSITORY / "lib" / "config" / "paths.py").samefile(paths_module.__file__)


def test_defaults_lie_in_the_repository(repository):
    paths = load_paths()
    assert (paths.data, paths.output) == ({}, repository / "output")
    assert paths.pretrained_models == repository / "pretrained_models"


def test_relative_paths_count_from_their_file(file, monkeypatch, repository):
    monkeypatch.setenv("HOME", "/home/someone")
    paths = load_paths(file)
    assert paths.data == {
        "got10k": file.parent / "sets/got10k",
        "lasot": Path("/sets/lasot"),
        "uav": Path("/home/someone/uav"),
    }
    assert paths.output.resolve() == file.parent.parent / "runs"
    assert paths.pretrained_models == repository / "pretrained_models"


def test_a_users_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    written = ("~/a.pth", "~", "a/~", "./~/a", "~nobody-of-that-name/a")
    assert [str(user_path(text)) for text in written] == [
        "/home/someone/a.pth", "/home/someone", "a/~", "~/a", "~nobody-of-that-name/a",
    ]  # fmt: skip


def test_an_explicit_file_goes_before_the_variable_before_the_repository(file, monkeypatch, repository, tmp_path):
    (repository / "paths.yaml").write_text("output: a\n")
    assert load_paths().output == repository / "a"
    (tmp_path / "variable.yaml").write_text("output: b\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKING_PATHS", "variable.yaml")
    assert load_paths().output == tmp_path / "b"
    assert load_paths(file) == load_paths(file.relative_to(tmp_path))
    assert load_paths(file).output == file.parent / "../runs"


def test_variables_replace_single_entries(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKING_DATA_GOT10K", "here/got10k")
    monkeypatch.setenv("TRACKING_DATA_IMAGENET_VID", "/sets/vid")
    monkeypatch.setenv("TRACKING_DATA_LASOT", "")
    monkeypatch.setenv("TRACKING_OUTPUT", "/runs")
    monkeypatch.setenv("TRACKING_PRETRAINED_MODELS", "/weights")
    paths = load_paths(file)
    assert paths.data["got10k"] == tmp_path / "here/got10k"
    assert paths.data["imagenet_vid"] == Path("/sets/vid")
    assert paths.data["lasot"] == Path("/sets/lasot")
    assert (paths.output, paths.pretrained_models) == (Path("/runs"), Path("/weights"))


def test_a_dataset_that_is_there_is_found(file):
    (file.parent / "sets/got10k").mkdir(parents=True)
    assert load_paths(file).dataset_root("got10k") == file.parent / "sets/got10k"


def test_a_dataset_that_is_not_set_names_key_file_and_variable(file, repository):
    with pytest.raises(ConfigError) as caught:
        load_paths(file).dataset_root("coco")
    assert str(caught.value) == (
        f"data.coco: not set; set data.coco in {file} or the environment variable "
        "TRACKING_DATA_COCO to the folder of coco (known: got10k, lasot, uav)"
    )
    with pytest.raises(ConfigError, match=f"data.coco: not set; set data.coco in {repository / 'paths.yaml'} or"):
        load_paths().dataset_root("coco")
    with pytest.raises(ConfigError, match=r"data\.lasott: not set; .*\(did you mean lasot\?\)"):
        load_paths(file).dataset_root("lasott")


def test_a_dataset_that_is_not_there_names_path_and_key(file):
    with pytest.raises(ConfigError) as caught:
        load_paths(file).dataset_root("got10k")
    start = f"data.got10k: no such folder: {file.parent / 'sets/got10k'}; set data.got10k in {file} or"
    assert str(caught.value).startswith(start)


def test_wrong_files_are_named(file, monkeypatch, repository, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_paths(tmp_path / "none.yaml")
    monkeypatch.setenv("TRACKING_PATHS", "/nowhere/paths.yaml")
    with pytest.raises(ConfigError, match="TRACKING_PATHS: no such file: /nowhere/paths.yaml"):
        load_paths()
    monkeypatch.delenv("TRACKING_PATHS")
    (repository / "paths.yaml").symlink_to("/nowhere/paths.yaml")
    with pytest.raises(ConfigError, match=f"{repository / 'paths.yaml'}: cannot be read: No such file"):
        load_paths()
    file.write_text("data:\n  got10k: 3\nouput: x\n")
    with pytest.raises(ConfigError) as caught:
        load_paths(file)
    assert str(caught.value).splitlines() == [
        f"{file}: data.got10k: got 3; should be a valid string",
        f'{file}: ouput: got "x"; unknown key; did you mean output?',
    ]


def test_the_example_is_a_good_file_when_copied(repository):
    (repository / "paths.yaml").write_text(EXAMPLE.read_text())
    paths = load_paths()
    assert paths.output == repository / "output"
    assert paths.pretrained_models == repository / "pretrained_models"
    assert {"got10k", "lasot", "trackingnet", "coco"} <= set(paths.data)
    assert all(folder == repository / "data" / name for name, folder in paths.data.items())
