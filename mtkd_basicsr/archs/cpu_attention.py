"""Attention on a CPU, with a learned bias and a backward pass that needs little memory."""

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812

# Attention scores of one head that the backward pass holds at a time: 2 MiB in fp32.
CHUNK_SCORES = 2**19


class CPUAttention(torch.autograd.Function):
    """Attention, softmax(scale · q kᵀ + bias + mask) v, with a gradient for the bias.

    PyTorch's fused attention on CPUs has no gradient for the bias: if one is needed, it falls back
    to the plain formula, with half a dozen tensors of (n, heads, tokens, tokens). Here the forward
    pass is the fused one. The backward pass recomputes the scores, for one head and a few windows
    at a time, so that they stay in the cache.

    With S = scale · q kᵀ + bias + mask, P = softmax(S) by rows and O = P v, and dX for the gradient
    with respect to X:

    .. code-block:: text

        dV = Pᵀ dO             dP = dO vᵀ
        dS_ij = P_ij (dP_ij − Σ_k P_ik dP_ik)
        dQ = scale · dS k      dK = scale · dSᵀ q      dbias = Σ over windows of dS

    and Σ_k P_ik dP_ik = Σ_k P_ik Σ_c dO_ic v_kc = Σ_c O_ic dO_ic, which is a shorter sum.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv: torch.Tensor,
        bias: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        """Compute the attention of each window.

        Args:
            ctx: Holds what :meth:`backward` needs.
            qkv: (n, tokens, 3, heads, d).
            bias: (heads, tokens, tokens).
            mask: (n, tokens, tokens), or None.
            scale: Factor of the scores.

        Returns:
            (n, tokens, heads, d).
        """
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        # Detached: PyTorch takes the fused kernel only if the mask requires no gradient.
        added = bias.detach()[None] if mask is None else bias.detach() + mask[:, None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=scale).transpose(1, 2)
        ctx.save_for_backward(qkv, bias, mask, out)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        qkv, bias, mask, out = ctx.saved_tensors
        n, tokens, _, heads, _ = qkv.shape
        dtype = torch.promote_types(qkv.dtype, torch.float32)
        d_qkv = torch.empty_like(qkv)
        d_bias = torch.zeros_like(bias, dtype=dtype)
        step = max(1, CHUNK_SCORES // tokens**2)
        row_sums = (out.to(dtype) * grad.to(dtype)).sum(-1)
        with torch.autocast('cpu', enabled=False):
            for first in range(0, n, step):
                windows = slice(first, first + step)
                for head in range(heads):
                    q, k, v = qkv[windows, :, :, head].to(dtype).unbind(2)
                    d_o = grad[windows, :, head].to(dtype)
                    added = bias[head] if mask is None else bias[head] + mask[windows]
                    p = torch.baddbmm(added.to(dtype), q, k.mT, alpha=ctx.scale).softmax(-1)
                    d_s = torch.bmm(d_o, v.mT).sub_(row_sums[windows, :, head, None]).mul_(p)
                    d_bias[head] += d_s.sum(0)
                    d_qkv[windows, :, 0, head] = torch.bmm(d_s, k)
                    d_qkv[windows, :, 1, head] = torch.bmm(d_s.mT, q)
                    d_qkv[windows, :, 2, head] = torch.bmm(p.mT, d_o)
        d_qkv[:, :, :2] *= ctx.scale
        return d_qkv, d_bias.to(bias.dtype), None, None
