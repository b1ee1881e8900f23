"""Instance norm with a second derivative of its own: what matching gradients and trajectories spends most time in.

Of each row x (m pixels of one channel of one image): z = (x - mu) r, y = w z + b, r = (var + eps)^(-1/2). Its gradient
to x is P g = r w (g - <g> - z <g z>), <.> the mean over the row; to w it is the sum of g z, to b that of g. torch gets
the derivative of those from some thirty elementwise steps, one by one; here it is written out. With u, v, s what comes
in for the gradients of x, w and b, and h = -r w <g z> u + (v - r w <u z>) g:

* to g: P u + v z + s;
* to x: r (h - <h> - z <h z>) - r^2 z w k, with k = <u g> - <u> <g> - <u z> <g z>;
* to w: the sum over images of m r k.

Forwards and in the first derivative it is torch's group norm with a group for each channel, kernels and all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class InstanceNorm(nn.GroupNorm):
    """A group norm with a group for each of `channels`, of images (n, c, h, w): as published code has it. Twice
    differentiable, and no more."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, input: Tensor) -> Tensor:
        """Each channel of each image with mean 0 and variance 1, then scaled and shifted by channel."""
        return _Norm.apply(input.contiguous(), self.weight, self.bias, self.eps)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        n, c = x.shape[:2]
        y, mean, r = torch.native_group_norm(x, weight, bias, n, c, x.shape[2:].numel(), c, eps)
        ctx.save_for_backward(x, weight, mean, r)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return *_Gradient.apply(g.contiguous(), *ctx.saved_tensors), None


class _Gradient(torch.autograd.Function):
    """(g, x, w, mu, r) to the gradients of x, w and b."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        to_x, with_z, sums = _pulled(g, x, weight, mean, r)
        ctx.save_for_backward(g, x, weight, mean, r, with_z, sums)
        return to_x, with_z.sum(0), sums.sum(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, u: Tensor, v: Tensor, s: Tensor) -> tuple[Tensor | None, ...]:
        g, x, weight, mean, r, g_z, g_sum = ctx.saved_tensors
        m = x.shape[2:].numel()
        u = u.contiguous()
        to_g, u_z, u_sum = _pulled(u, x, weight, mean, r)
        g_z, g_sum, u_z, u_sum = (one / m for one in (g_z, g_sum, u_z, u_sum))
        k = (u * g).flatten(2).sum(2) / m - u_sum * g_sum - u_z * g_z
        of_u, of_g = -r * weight * g_z, v - r * weight * u_z  # h = of_u u + of_g g
        # In x instead of z = (x - mu) r, so that nothing of the size of x is made but the results.
        to_g.addcmul_(_row(r * v), x).add_(_row(s - r * v * mean))
        of_z = -r * (of_u * u_z + of_g * g_z) - r * r * weight * k
        constant = -r * (of_u * u_sum + of_g * g_sum) - of_z * r * mean
        to_x = torch.addcmul(_row(constant), _row(of_z * r), x).addcmul_(_row(r * of_u), u).addcmul_(_row(r * of_g), g)
        return to_g, to_x, (r * k).sum(0) * m, None, None


def _pulled(g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P g (n, c, h, w), and of each row the sum of g z and of g, (n, c): every row as a channel of one image."""
    n, c = x.shape[:2]
    rows, scales = (1, n * c, x.shape[2:].numel()), weight.repeat(n)
    to_x, with_z, sums = torch.ops.aten.native_group_norm_backward(
        g.view(rows), x.view(rows), mean.view(1, -1), r.view(1, -1), scales, *rows, n * c, [True, True, True]
    )
    return to_x.view(x.shape), with_z.view(n, c), sums.view(n, c)


def _row(numbers: Tensor) -> Tensor:
    return numbers[:, :, None, None]
