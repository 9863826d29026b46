"""Datasets by name."""

from __future__ import annotations

import pytest

from lib.data.datasets.registry import DATASETS, PLANNED, read_dataset


def test_a_reader_is_found(write_got10k):
    assert [len(sequence) for sequence in read_dataset("got10k", "full", write_got10k("train", [3]))] == [3]


def test_names_that_have_no_reader(tmp_path):
    with pytest.raises(ValueError, match=r"unknown dataset 'got-10k'; did you mean 'got10k'\?"):
        read_dataset("got-10k", "full", tmp_path)
    with pytest.raises(ValueError, match="unknown dataset 'xyz'; known are: got10k, "):
        read_dataset("xyz", "full", tmp_path)
    with pytest.raises(ValueError, match="the reader of dataset 'lasot' is not there yet; ready are: got10k"):
        read_dataset("lasot", "train", tmp_path)


def test_no_name_is_both_ready_and_planned():
    assert not set(DATASETS) & set(PLANNED)
