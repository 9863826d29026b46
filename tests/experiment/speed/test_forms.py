"""The forms that a network can be run in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import tiny

from lib.experiment.speed.forms import EAGER, Form, open_forms, parse_forms

CPU = torch.device("cpu")


def test_forms_are_named_in_a_list():
    assert parse_forms("eager:fp32,compiled:bf16") == (EAGER, Form("compiled", "bf16"))
    assert [str(form) for form in parse_forms("captured:fp16")] == ["captured fp16"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("eagre:fp32", "'eagre'"), ("", "''"), ("eager", "a precision is fp32"), ("eager:int8", "eager:int8")],
)
def test_a_form_that_there_is_not_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        parse_forms(text)


def test_each_form_is_there_for_each_batch():
    experiment = tiny("grm")
    opened = open_forms(experiment, parse_forms("eager:fp32,eager:bf16"), (), (1, 3), CPU)
    assert [(label, batch) for label, _, batch in opened] == [
        ("eager fp32", 1), ("eager fp32", 3), ("eager bf16", 1), ("eager bf16", 3),
    ]  # fmt: skip
    fp32, bf16 = opened[0][1], opened[2][1]
    assert opened[1][1] is fp32 and (fp32.precision, bf16.precision) == ("fp32", "bf16")
    size = experiment.template.size
    crops, box = np.zeros((1, size, size, 3), np.uint8), np.array([[0.3, 0.3, 0.4, 0.4]], np.float32)
    state, coarse = fp32.encode(crops, box), bf16.encode(crops, box)
    np.testing.assert_allclose(coarse[0].float(), state[0], atol=0.05)  # of the same weights
