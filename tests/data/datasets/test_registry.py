"""Datasets by name."""

import pytest
from one_sequence import read_dataset

from lib.data.datasets.registry import DATASETS
from lib.data.stores.packed import open_source


def test_names_that_have_no_reader(tmp_path):
    with pytest.raises(ValueError, match=r"unknown dataset 'got-10k'; did you mean got10k\?"):
        read_dataset("got-10k", "full", tmp_path)
    with pytest.raises(ValueError, match="unknown dataset 'xyz'; known: lasot, "):
        read_dataset("xyz", "full", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_an_unknown_split_is_a_line_that_names_those_there_are(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} .*has no split 'nonsense'; ") as error:
        read_dataset(name, "nonsense", tmp_path)
    assert "\n" not in str(error.value)
    assert all(split in str(error.value) for split in DATASETS[name].splits)


@pytest.mark.parametrize("name", DATASETS)
def test_an_empty_root_is_a_line_that_names_it(tmp_path, name):
    for split in DATASETS[name].splits:
        with pytest.raises(ValueError, match=str(tmp_path)) as error:
            read_dataset(name, split, tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_expected_is_of_splits_that_there_are(tmp_path, name):
    """A reader may know more splits than it tells, so each is asked for."""
    for split in (*DATASETS[name].expected, *DATASETS[name].names):
        assert DATASETS[name].count(split) > 0
        with pytest.raises(ValueError) as error:
            next(DATASETS[name].entries(open_source(tmp_path), split)).read()
        assert "has no split" not in str(error.value)
