"""The same engine for CUDA: one kernel launch per layer and direction, rolled over the steps.

The products with the weights are taken over all steps at once, outside of the kernels, in full
float32. In the kernels every operation is rounded as snntorch's: no fused multiply-add, and
division to the nearest. The functions are those of `shd_helpers.network.engines.fused`.

Without a GPU, ``TRITON_INTERPRET=1`` in the environment lets Triton run the kernels in Python, on
tensors on the CPU: slow, and good for tests.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import triton
import triton.language as tl
from snntorch import Leaky

from shd_helpers.events.downsample import Events
from shd_helpers.network.engines import fused as engine
from shd_helpers.network.spiking import ChannelConv1d, LayerStates, SpikingNetwork

COLUMNS = 128  # neurons of a program; a column is one neuron of one utterance


@triton.jit
def _forward(cur, beta_of, theta_of, mem_out, spk_out, n_steps, n_columns, n, SIZE: tl.constexpr):
    column = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = column < n_columns
    beta = tl.load(beta_of + column % n, mask=inside, other=0.0)
    theta = tl.load(theta_of + column % n, mask=inside, other=1.0)
    mem = tl.full([SIZE], 0.0, tl.float32)
    for _ in range(n_steps):
        now = tl.load(cur + column, mask=inside, other=0.0)
        reset = tl.where(mem - theta > 0, theta, 0.0)
        mem = (beta * mem + now) - reset
        tl.store(mem_out + column, mem, mask=inside)
        tl.store(spk_out + column, tl.where(mem - theta > 0, 1.0, 0.0), mask=inside)
        cur += n_columns
        mem_out += n_columns
        spk_out += n_columns


@triton.jit
def _backward(
    d_spk, d_spk_stride, mem, beta_of, theta_of, constants, d_cur, d_beta_out,
    n_steps, n_columns, n, KIND: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = column < n_columns
    beta = tl.load(beta_of + column % n, mask=inside, other=0.0)
    theta = tl.load(theta_of + column % n, mask=inside, other=1.0)
    k, half = tl.load(constants), tl.load(constants + 1)
    one = tl.full([SIZE], 1.0, tl.float32)
    g, d_beta = tl.full([SIZE], 0.0, tl.float32), tl.full([SIZE], 0.0, tl.float32)
    now = tl.load(mem + column, mask=inside, other=0.0)
    for _ in range(n_steps):  # the pointers begin at the last step
        grad = tl.load(d_spk + column, mask=inside, other=0.0)
        x = now - theta
        if KIND == 0:  # fast sigmoid
            d = k * tl.abs(x) + one
            grad = tl.div_rn(grad, d * d)
        elif KIND == 1:  # atan
            d = k * x
            grad = (tl.div_rn(one, d * d + one) * half) * grad
        else:  # sigmoid, an even function
            e = tl.exp(-tl.abs(k * x))
            d = e + one
            grad = tl.div_rn(grad * k * e, d * d)
        g = grad + beta * g
        tl.store(d_cur + column, g, mask=inside)
        mem -= n_columns
        now = tl.load(mem + column, mask=inside, other=0.0)  # at last the one at rest
        d_beta += g * now
        d_spk -= d_spk_stride
        d_cur -= n_columns
    tl.store(d_beta_out + column, d_beta, mask=inside)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Take products in float32, whatever TF32 the caller allows."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _frames(events: Events, index: Sequence[int] | np.ndarray, device: torch.device):
    """Return the input (steps, batch, units), set on the device from the event lists."""
    part = events.take(index)
    column = np.repeat(np.arange(len(part)), np.diff(part.offsets))
    cell = (part.steps.astype(np.int64) * len(part) + column) * part.n_units + part.units
    x = torch.zeros(part.n_steps, len(part), part.n_units, device=device)
    ones = torch.ones(len(cell), device=device)
    x.view(-1).index_put_((torch.from_numpy(cell).to(device),), ones, accumulate=True)  # counts
    return x


def _per_neuron(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.detach().to(like).expand(like.shape[-1]).contiguous()


def _layers_forward(model: SpikingNetwork, x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """Return input, membranes and spikes of every layer, (steps, batch, neurons) each."""
    trace: list[tuple[torch.Tensor, ...]] = []
    for fc, lif in model.layers:
        n_in = fc.in_features
        cur = torch.addmm(fc.bias, x.reshape(-1, n_in), fc.weight.T).view(*x.shape[:2], -1)
        states = cur.new_empty(len(cur) + 1, *cur.shape[1:])
        states[0] = 0  # at rest before the first step: the way back reads it
        mem, spk = states[1:], torch.empty_like(cur)
        n_steps, n_columns, n = len(cur), cur[0].numel(), cur.shape[2]
        _forward[(triton.cdiv(n_columns, COLUMNS),)](
            cur, _per_neuron(lif.beta.clamp(0, 1), cur), _per_neuron(lif.threshold, cur), mem, spk,
            n_steps, n_columns, n, SIZE=COLUMNS, enable_fp_fusion=False,
        )  # fmt: skip
        trace.append((x, mem, spk))
        x = spk
    return trace


def unsupported_reason(model: SpikingNetwork) -> str | None:
    """Say what in a model this engine can't compute; see `fused.unsupported_reason`."""
    if model.readout != "spikes" or model.delays != (0,):
        return "on CUDA, scores must be spikes, and the input without delays"
    if model.adaptation(0):
        return "on CUDA, neurons can't adapt"
    if model.stop:
        return "on CUDA, words can't end before the last step"
    if isinstance(model.fc1, ChannelConv1d):
        return "on CUDA, weights can't be shared"
    if any(lif.state_function.__func__ is Leaky._base_zero for _, lif in model.layers):
        return "on CUDA, resets can't be to zero"
    if any(lif.threshold.requires_grad for _, lif in model.layers):
        return "on CUDA, thresholds can't be learned"
    return engine.unsupported_reason(model, "cpu" if triton.knobs.runtime.interpret else "cuda")


@torch.no_grad()
def _run(model, events, index):
    index = engine.checked_index(model, events, index, unsupported_reason(model))
    with _full_precision():
        return _layers_forward(model, _frames(events, index, model.fc1.weight.device))


@torch.no_grad()
def forward_backward(
    model: SpikingNetwork,
    events: Events,
    index: Sequence[int] | np.ndarray,
    l1_spikes: float = 0.0,
) -> tuple[float, torch.Tensor]:
    """Take a batch forward and back: what zero_grad, the loop over steps and backward() do.

    Parameters
    ----------
    model, events, index, l1_spikes
        As in `fused.forward_backward`, the model on a CUDA device.

    Returns
    -------
    loss : float
        Mean over the batch of the cross-entropy of the softmax over the summed output spikes.
    counts : Tensor
        Output spikes summed over the steps, shape (batch, classes), on the model's device.

    Raises
    ------
    ValueError
        If the model is beyond this engine (see `unsupported_reason`), or the events don't fit it.
    """
    trace = _run(model, events, index)
    counts = trace[-1][2].sum(0)
    labels = torch.from_numpy(events.labels[np.asarray(index)]).to(counts.device)
    log_p = counts.double().log_softmax(1)
    loss = torch.nn.functional.nll_loss(log_p, labels)
    onehot = torch.nn.functional.one_hot(labels, counts.shape[1])
    d_spk = ((log_p.exp() - onehot) / len(counts)).float()
    stride, last = 0, d_spk  # the same at every step
    cost = l1_spikes / len(counts)
    loss += cost * sum(spk.sum(dtype=torch.float64) for *_, spk in trace[:-1])
    for (fc, lif), (x, mem, _) in reversed([*zip(model.layers, trace, strict=True)]):
        n_steps, n_columns, n = len(mem), mem[0].numel(), mem.shape[2]
        name, slope = lif.spike_grad.surrogate, lif.spike_grad.slope
        constants = (np.pi / 2 * slope if name == "atan" else slope, slope / 2)
        d_cur, d_beta = torch.empty_like(mem), torch.empty_like(mem[0])
        _backward[(triton.cdiv(n_columns, COLUMNS),)](
            last, stride, mem[-1], _per_neuron(lif.beta.clamp(0, 1), mem),
            _per_neuron(lif.threshold, mem), mem.new_tensor(constants), d_cur[-1], d_beta,
            n_steps, n_columns, n, KIND=engine.KINDS[name], SIZE=COLUMNS, enable_fp_fusion=False,
        )  # fmt: skip
        flat = d_cur.view(-1, n)
        inside = (lif.beta >= 0) & (lif.beta <= 1)
        with _full_precision():
            d_beta = d_beta.sum(0).sum_to_size(lif.beta.shape) * inside
            d_weight, d_spk = flat.T @ x.reshape(-1, x.shape[2]), d_cur @ fc.weight + cost
        for parameter, grad in (
            (fc.weight, d_weight), (fc.bias, flat.sum(0)), (lif.beta, d_beta)
        ):  # fmt: skip
            if parameter.requires_grad:
                parameter.grad = grad
        stride, last = d_spk[0].numel(), d_spk[-1]
    return loss.item(), counts


def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward and count, as `fused.evaluate_batch`.

    Returns
    -------
    counts : Tensor
        Output spikes summed over the steps, shape (batch, classes), float32.
    n_spikes : Tensor
        Spikes of all steps and neurons, shape (batch, layers), int64; the output layer is last.
    """
    spks = [spk for *_, spk in _run(model, events, index)]
    return spks[-1].sum(0), torch.stack([spk.sum((0, 2)) for spk in spks], dim=1).long()


def record(model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray) -> LayerStates:
    """Run a batch forward and keep the states of all layers, as `engine.record`."""
    _, mems, spks = zip(*_run(model, events, index), strict=True)
    return LayerStates(spks[-1], mems[-1], spks[:-1], mems[:-1])
