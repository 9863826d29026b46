"""The transformer's layers against PyTorch's own and against attention written out, and how it begins."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference_weights import REFERENCE
from torch import Tensor, nn

from lib.config.schema import ConfigError
from lib.config.validation import validate
from lib.models.layers.detr import Decoder, DecoderLayer, EncoderLayer, sine_positions
from lib.models.stark_sv import EncoderDecoder, TransformerConfig

WIDTH, HEADS, FFN = 16, 2, 24
SIZES = (WIDTH, HEADS, FFN, 0.1)
SMALL = TransformerConfig(width=WIDTH, heads=HEADS, ffn=FFN, encoder=2, decoder=3)


def tokens(count: int, seed: int) -> Tensor:
    return torch.randn(2, count, WIDTH, generator=torch.Generator().manual_seed(seed))


def randomized(module: nn.Module) -> nn.Module:
    """In eval mode, with biases and norms away from 0 and 1."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.3)
    return module.eval()


def test_without_positions_the_layers_compute_what_pytorchs_do():
    encoder, decoder = randomized(EncoderLayer(*SIZES)), randomized(DecoderLayer(*SIZES))
    expected = nn.TransformerEncoderLayer.forward(encoder, tokens(7, 1))
    torch.testing.assert_close(encoder(tokens(7, 1), torch.zeros(1, 7, WIDTH)), expected)
    expected = nn.TransformerDecoderLayer.forward(decoder, tokens(3, 1), tokens(7, 2))
    answer = decoder(tokens(3, 1), torch.zeros(1, 3, WIDTH), tokens(7, 2), torch.zeros(1, 7, WIDTH))
    torch.testing.assert_close(answer, expected)


def written_out(attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention from its definition, one head after the other."""
    parts = zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    q, k, v = (F.linear(x, *part) for x, part in zip((queries, keys, values), parts, strict=True))
    heads = []
    for one in range(HEADS):
        span = slice(one * WIDTH // HEADS, (one + 1) * WIDTH // HEADS)
        weights = (q[..., span] @ k[..., span].transpose(1, 2) / (WIDTH // HEADS) ** 0.5).softmax(dim=-1)
        heads.append(weights @ v[..., span])
    return attention.out_proj(torch.cat(heads, dim=-1))


def test_positions_go_to_queries_and_keys_and_not_to_values():
    encoder, decoder = randomized(EncoderLayer(*SIZES)), randomized(DecoderLayer(*SIZES))
    memory, places, queries, query_places = tokens(7, 1), tokens(7, 2), tokens(3, 3), tokens(3, 4)

    def perceive(layer: nn.Module, x: Tensor) -> Tensor:
        return layer.linear2(layer.linear1(x).relu())

    x = encoder.norm1(memory + written_out(encoder.self_attn, memory + places, memory + places, memory))
    expected = encoder.norm2(x + perceive(encoder, x))
    torch.testing.assert_close(encoder(memory, places), expected)

    placed = queries + query_places
    x = decoder.norm1(queries + written_out(decoder.self_attn, placed, placed, queries))
    x = decoder.norm2(x + written_out(decoder.multihead_attn, x + query_places, memory + places, memory))
    expected = decoder.norm3(x + perceive(decoder, x))
    torch.testing.assert_close(decoder(queries, query_places, memory, places), expected)


def test_stacks_run_their_layers_in_turn_and_the_decoder_norms_at_the_end():
    model, decoder = randomized(EncoderDecoder(SMALL)), randomized(Decoder(*SIZES, 2))
    memory, places, queries, query_places = tokens(7, 1), tokens(7, 2), tokens(3, 3), tokens(3, 4)
    first, second = model.encoder["layers"]
    torch.testing.assert_close(model(memory, places, queries[0])[0], second(first(memory, places), places))
    first, second = decoder.layers
    expected = decoder.norm(second(first(queries, query_places, memory, places), query_places, memory, places))
    torch.testing.assert_close(decoder(queries, query_places, memory, places), expected)


def test_queries_start_from_zero():
    model = randomized(EncoderDecoder(SMALL))
    inputs, places, queries = tokens(7, 1), tokens(7, 2), tokens(3, 3)[0]
    memory, decoded = model(inputs, places, queries)
    expected = model.decoder(torch.zeros(2, 3, WIDTH), queries.expand(2, -1, -1), memory, places)
    torch.testing.assert_close(decoded, expected)


def test_only_positions_show_the_order_of_tokens():
    model = randomized(EncoderDecoder(SMALL))
    inputs, places, queries = tokens(7, 1), tokens(7, 2), tokens(3, 3)[0]
    order = torch.randperm(7, generator=torch.Generator().manual_seed(4))
    memory, decoded = model(inputs, places, queries)
    shuffled_memory, shuffled_decoded = model(inputs[:, order], places[:, order], queries)
    torch.testing.assert_close(shuffled_memory, memory[:, order])
    torch.testing.assert_close(shuffled_decoded, decoded)


def test_fresh_matrices_are_xaviers():
    torch.manual_seed(0)
    for name, parameter in EncoderDecoder(TransformerConfig(width=64, heads=4, ffn=96)).named_parameters():
        if parameter.ndim > 1:
            bound = (6 / sum(parameter.shape)) ** 0.5
            assert 0.98 * bound < parameter.abs().max() <= bound, name


def test_a_lone_query_leaves_no_gradient_to_how_it_attends_to_itself():
    """Why the first decoder layer's packed projection never learns: see ``StarkSV``."""
    model = randomized(EncoderDecoder(SMALL)).train()
    _, decoded = model(tokens(7, 1), tokens(7, 2), tokens(1, 3)[0])
    (decoded * tokens(1, 5)).sum().backward()
    zero = [name for name, parameter in model.named_parameters() if not parameter.grad.any()]
    assert zero == ["decoder.layers.0.self_attn.in_proj_weight"]
    for number, layer in enumerate(model.decoder.layers):
        query, key, value = layer.self_attn.in_proj_weight.grad.chunk(3)
        assert not query.any() and not key.any()
        assert bool(value.any()) == (number > 0)


def test_attention_weights_are_never_formed(monkeypatch):
    calls, fused = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *given: calls.append(given) or fused(*given))
    model = EncoderDecoder(SMALL)
    for mode in (True, False):
        model.train(mode)(tokens(7, 1), tokens(7, 2), tokens(1, 3)[0])
        assert len(calls) == SMALL.encoder + 2 * SMALL.decoder
        calls.clear()


def test_dropout_is_on_in_training_alone():
    model = EncoderDecoder(SMALL)
    inputs, places, queries = tokens(7, 1), tokens(7, 2), tokens(1, 3)[0]
    for mode in (True, False):
        model.train(mode)
        torch.manual_seed(0)
        first = model(inputs, places, queries)[1]
        assert torch.equal(first, model(inputs, places, queries)[1]) != mode


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="width 64 is not a multiple of heads 6"):
        validate(TransformerConfig, {"width": 64, "heads": 6}, "test")


# Positions


def test_positions_equal_the_recorded_ones_of_the_sample_without_padding():
    golden = np.load(REFERENCE / "stark_s_head.golden.npz")
    assert golden["mask_tokens"].any(axis=1).tolist() == [False, True]
    positions = torch.cat([sine_positions(7, 256), sine_positions(14, 256)], dim=1)
    np.testing.assert_allclose(positions[0, :, ::16].numpy(), golden["pos_slice"][0], atol=1e-6)


def test_a_cells_position_is_sines_and_cosines_of_its_row_and_then_of_its_column():
    side, width = 5, 24
    positions = sine_positions(side, width)
    assert positions.shape == (1, side * side, width)
    for row, column in ((0, 0), (2, 4), (4, 1)):
        expected = []
        for index in (row, column):
            angle = 2 * math.pi * (index + 1) / side
            for channel in range(width // 2):
                wave = math.cos if channel % 2 else math.sin
                expected.append(wave(angle / 10000 ** (2 * (channel // 2) / (width // 2))))
        torch.testing.assert_close(positions[0, row * side + column], torch.tensor(expected), atol=1e-5, rtol=0)
