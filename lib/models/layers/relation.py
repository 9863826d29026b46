"""Masked attention between template and search tokens, by GRM's rule of token kinds.

With kinds T (template), S (search, separate) and A (search, interacts with both), token i may attend to token j iff
``kind_i == kind_j or A in (kind_i, kind_j)``: all pairs but T with S. The template's tokens come first. The decisions
are ``interacts`` ``[B, Nx]``, 1 for A and 0 for S.

Both forms of attention give the decisions a gradient. Let a be the logits, m the mask of 0 and 1, e_ij = exp(a_ij -
max_j a_ij), s_i = eps + sum_j e_ij m_ij, g_i the gradient of output i, p_ij = g_i . v_j and D_i the mean of p_ij under
the weights of row i. Then the mask's gradient is e_ij (p_ij - D_i) / s_i. A decision gets the sum over its row and its
column of the mask at the template's tokens, so only the blocks template x search and search x template contribute.

The backward pass keeps no matrix of all token pairs; it computes them again, a few samples at a time.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Little-Podi/GRM lib/models/grm/vit.py, softmax_with_policy.
PUBLISHED_EPS = 1e-6
# With gradients, the samples computed at once have matrices of token pairs of about this size in all. It should fit the
# caches of a CPU; a GPU needs large operations (its value is not measured).
CPU_CHUNK_BYTES = 8 * 2**20
GPU_CHUNK_BYTES = 256 * 2**20


def relation_mask(interacts: Tensor, template_tokens: int) -> Tensor:
    """1 where attention is allowed, else 0: ``[B, N, N]`` of ``interacts``' type, N = template + search tokens.

    Differentiable in ``interacts``. The published code adds products of the three one-hot columns; with S = 1 - A the
    sum is this expression. The gradient of a straight-through softmax is equal too: the expressions differ only by a
    term that changes S and A together.
    """
    apart = F.pad(1 - interacts, (template_tokens, 0))
    template = torch.zeros_like(apart)
    template[:, :template_tokens] = 1
    across = template[:, :, None] * apart[:, None, :]
    return 1 - across - across.transpose(1, 2)


def exact_attention(q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
    """Attention to the allowed keys. ``q, k, v`` ``[B, heads, N, D]``, ``interacts`` 0 or 1.

    A boolean mask passes no gradient to ``interacts``; they get the module's formula, with the published eps. Without
    eps it would be unbounded where a masked key lies far above the allowed ones.
    """
    q, k, v = _as_autocast(q, k, v)
    allowed = relation_mask(interacts, q.shape[2] - interacts.shape[1]).bool()
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed[:, None])
    if torch.is_grad_enabled() and interacts.requires_grad:
        attended = _ExactDecisions.apply(attended, q.detach(), k.detach(), v.detach(), interacts)
    return attended


def published_attention(q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
    """Attention in the multiplicative form that GRM's weights were trained with. ``q, k, v`` ``[B, heads, N, D]``.

    The weight of key j is ``(exp(a_j - max_a) * mask_j + eps / N) / (sum + eps)`` in float32, with the maximum over all
    keys, masked ones included. Where a masked key lies far above every allowed one, eps takes weight from these: with
    one allowed key, 2 % at a gap of 10 in the logits and more than half at 14. With GRM's 320 tokens and gaps up to 5
    the form equals ``exact_attention`` within 1e-5.

    The backward pass keeps q, k and v; there is no second derivative. Several keys that share the maximum of a row get
    equal shares of its gradient, as in ``Tensor.amax``.
    """
    q, k, v = _as_autocast(q, k, v)
    wanted = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (q, k, v, interacts))
    if wanted and not torch.compiler.is_exporting():
        return _Published.apply(q, k, v, interacts)
    return _published(q, k, v, interacts)


def _published(q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
    """``published_attention`` within one matrix of all pairs."""
    logits = _logits(q, k)
    weights = logits.sub_(logits.amax(dim=-1, keepdim=True)).exp_().mul_(_mask(interacts, q))
    sums = weights.sum(dim=-1, keepdim=True).add_(PUBLISHED_EPS)
    return weights.add_(PUBLISHED_EPS / q.shape[2]).div_(sums).to(v.dtype) @ v


class _Published(torch.autograd.Function):
    """``published_attention`` with a backward pass that computes the matrices of all pairs again.

    Autograd on the recomputed plain form takes 1.65 times as long as this formula, forward and backward.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
        ctx.save_for_backward(q, k, v, interacts)
        batch, heads, tokens, width = v.shape
        # Tokens first: the order that the projection needs.
        attended = v.new_empty(batch, tokens, heads, width).transpose(1, 2)
        for chunk in _chunks(q):
            attended[chunk] = _published(q[chunk], k[chunk], v[chunk], interacts[chunk])
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        results = [torch.empty_like(tensor) for tensor in ctx.saved_tensors]
        for chunk in _chunks(gradient):
            found = _published_gradients(*(tensor[chunk] for tensor in ctx.saved_tensors), gradient[chunk])
            for result, part in zip(results, found, strict=True):
                result[chunk] = part
        return tuple(results)


def _published_gradients(
    q: Tensor, k: Tensor, v: Tensor, interacts: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v and interacts."""
    mask, shifted = _mask(interacts, q), _logits(q, k)
    shifted.sub_(shifted.amax(dim=-1, keepdim=True))
    largest = torch.eq(shifted, 0, out=torch.empty_like(shifted))
    shares = shifted.exp_()
    spare = shares * mask
    sums = spare.sum(dim=-1, keepdim=True).add_(PUBLISHED_EPS)
    shares.div_(sums)  # of all keys, masked ones included
    floor = PUBLISHED_EPS / q.shape[2] / sums  # added to the weights of all keys of a row
    of_mask = (gradient @ v.transpose(-2, -1)).to(shares.dtype).mul_(shares)
    # From this p, not from the outputs, which are rounded to bfloat16: a row's gradients must cancel.
    mean = torch.mul(of_mask, mask, out=spare).sum(dim=-1, keepdim=True)
    mean += floor * (gradient.to(floor.dtype) @ v.to(floor.dtype).sum(dim=2)[..., None])
    of_mask.addcmul_(shares, mean, value=-1)
    of_interacts = _of_decisions(*_across(of_mask, q.shape[2] - interacts.shape[1]))
    of_logits = of_mask.mul_(mask)
    of_maximum = of_logits.sum(dim=-1, keepdim=True)
    of_logits.addcmul_(largest, of_maximum / largest.sum(dim=-1, keepdim=True), value=-1)
    of_logits = of_logits.mul_(q.shape[-1] ** -0.5).to(q.dtype)
    of_v = shares.mul_(mask).to(gradient.dtype).transpose(-2, -1) @ gradient
    of_v += (floor * gradient).sum(dim=2, keepdim=True)
    return of_logits @ k, of_logits.transpose(-2, -1) @ q, of_v, of_interacts


class _ExactDecisions(torch.autograd.Function):
    """Passes on ``exact_attention``'s outputs; its backward pass adds the gradient of the decisions."""

    @staticmethod
    def forward(ctx: Any, attended: Tensor, q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
        ctx.save_for_backward(attended, q, k, v, interacts)
        return attended.view_as(attended)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_interacts = torch.empty_like(ctx.saved_tensors[-1])
        for chunk in _chunks(gradient):
            attended, q, k, v, interacts = (tensor[chunk] for tensor in ctx.saved_tensors)
            shifted = _logits(q, k)
            shares = shifted.sub_(shifted.amax(dim=-1, keepdim=True)).exp_()
            shares.div_((shares * _mask(interacts, q)).sum(dim=-1, keepdim=True).add_(PUBLISHED_EPS))
            mean = (gradient[chunk].to(shares.dtype) * attended).sum(dim=-1, keepdim=True)
            template = q.shape[2] - interacts.shape[1]
            (g_template, g_search), (v_template, v_search), (mean_template, mean_search) = (
                tensor.split([template, interacts.shape[1]], dim=2) for tensor in (gradient[chunk], v, mean)
            )
            template_search, search_template = _across(shares, template)
            of_interacts[chunk] = _of_decisions(
                template_search.mul_((g_template @ v_search.transpose(-2, -1)) - mean_template),
                search_template.mul_((g_search @ v_template.transpose(-2, -1)) - mean_search),
            )
        return gradient, None, None, None, of_interacts


def _across(pairs: Tensor, template_tokens: int) -> tuple[Tensor, Tensor]:
    """The blocks template x search and search x template of ``[B, heads, N, N]``."""
    return pairs[:, :, :template_tokens, template_tokens:], pairs[:, :, template_tokens:, :template_tokens]


def _of_decisions(template_search: Tensor, search_template: Tensor) -> Tensor:
    """The decisions' gradient ``[B, Nx]`` from the gradients of the mask's two blocks."""
    return template_search.sum(dim=(1, 2)) + search_template.sum(dim=(1, 3))


def _logits(q: Tensor, k: Tensor) -> Tensor:
    """A fresh ``[B, heads, N, N]`` in at least float32; the product itself is in the precision of ``q``."""
    return (q @ k.transpose(-2, -1)).to(_precise(q)).mul_(q.shape[-1] ** -0.5)


def _mask(interacts: Tensor, q: Tensor) -> Tensor:
    """``relation_mask`` for the attention of ``q``, for all heads: ``[B, 1, N, N]``."""
    return relation_mask(interacts.to(_precise(q)), q.shape[2] - interacts.shape[1])[:, None]


def _precise(q: Tensor) -> torch.dtype:
    return torch.promote_types(q.dtype, torch.float32)


def _as_autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the type in which autocast, if it is on, would multiply them. Autocast does not reach into a
    backward pass, so all types are chosen here."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors)


def _chunks(q: Tensor) -> Iterator[slice]:
    """Slices of the batch of ``q`` ``[B, heads, N, D]``, to be computed one after the other."""
    batch, heads, tokens, _ = q.shape
    limit = CPU_CHUNK_BYTES if q.device.type == "cpu" else GPU_CHUNK_BYTES
    samples = max(1, limit // (heads * tokens**2 * _precise(q).itemsize))
    for first in range(0, batch, samples):
        yield slice(first, first + samples)
