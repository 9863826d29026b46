"""The hint for an unknown name."""

from lib.config.schema import suggest


def test_the_nearest_name_or_all():
    known = ["lasot", "GOT-10k_Val_000001", "uav"]
    assert suggest("lasott", known) == "did you mean lasot?"
    assert suggest("got-10k_val_1", known) == "did you mean GOT-10k_Val_000001?"
    assert suggest("zebra", known) == "known: lasot, GOT-10k_Val_000001, uav"
    assert suggest(7, iter("ab")) == "known: a, b"


def test_a_long_list_is_cut():
    assert suggest("zebra", [f"q{number}" for number in range(1000)]).endswith("q38, q39, ...")
