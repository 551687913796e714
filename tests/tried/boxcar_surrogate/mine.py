"""A boxcar surrogate: the gradient passes within `width` of the threshold."""

import torch


def make_boxcar(width=0.4):
    class Boxcar(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x > 0).to(x.dtype)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * (x.abs() < width) / (2 * width)

    return Boxcar.apply


boxcar = make_boxcar()
