"""Names whose results would share a file."""

import pytest

from lib.data.datasets.record import SIDE_FILES, clashing_names


@pytest.mark.parametrize("suffix", SIDE_FILES)
def test_a_name_and_that_of_a_file_beside_its_results_meet(suffix: str) -> None:
    assert list(clashing_names(["a", f"car{suffix}", "car"])) == [("car", f"car{suffix}")]


def test_what_meets_no_other_name_may_end_as_it_likes() -> None:
    names = ["car_time", "bus", "bus_times", "_time", "time", "Bus_time", "bus_time_2", "car_time_network"]
    assert list(clashing_names(names)) == []


def test_a_name_that_is_there_twice_and_one_that_meets_two() -> None:
    assert list(clashing_names(["a", "b", "a", "a"])) == [("a", "a"), ("a", "a")]
    names = ["car", "car_network", "car_network_time"]
    assert sorted(clashing_names(names)) == [("car", "car_network_time"), ("car_network", "car_network_time")]
