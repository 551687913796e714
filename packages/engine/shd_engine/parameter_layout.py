"""Where a network's parameters lie in the memory that the compiled engine works on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from snntorch import Leaky, RLeaky

from shd_engine import kernels
from shd_engine.adaptive import AdaptiveLeaky
from shd_engine.kernels import (
    BETAS,
    BIASES,
    FROM_MEM,
    FROM_SPK,
    LANES,
    LEFT,
    READOUT,
    THRESHOLDS,
    UNROLLED_ROWS,
    Layer,
)
from shd_engine.network import Chain, ChannelConv1d, LayeredNetwork, Weights, WindowSizes, resets
from shd_engine.surrogates import Compiled, compiled_surrogate

Layered = Chain | LayeredNetwork


def aligned(*shape: int) -> np.ndarray:
    """Return uninitialized float32 memory that begins at a cache line.

    A vector that lies across two cache lines takes twice as long to read.
    """
    size = int(np.prod(shape))
    memory = np.empty(size + LANES, np.float32)
    bytes_per_line = 4 * LANES
    first = -memory.ctypes.data % bytes_per_line // 4
    return memory[first : first + size].reshape(shape)


def refuse_what_is_not_finite(name: str, weight: np.ndarray) -> None:
    """Raise ValueError if weights are infinite or NaN."""
    if not np.isfinite(weight).all():
        raise ValueError(
            f"{name} are infinite or NaN: most likely, the learning rate lr is too high"
        )


def nan_of(name: str, weight: np.ndarray) -> np.ndarray:
    """Return NaN for each neuron that has a weight of NaN, else 0; refuse infinite weights.

    In a matrix product, these spread through inputs that are zero, which the kernels skip.
    """
    if np.isfinite(weight.sum()):
        return np.zeros(1, np.float32)
    if np.isinf(weight).any():
        refuse_what_is_not_finite(name, weight)
    return np.where(np.isnan(weight).any(1), np.nan, 0).astype(np.float32)


def padded(n_neurons: int, multiple: int = LANES) -> int:
    """Return a number of neurons rounded up to a multiple, by default to whole vectors."""
    return -(-n_neurons // multiple) * multiple


class WindowLayout(NamedTuple):
    """Where the shared weights of a `ChannelConv1d` lie in the memory of the parameters.

    In the full matrix of weights most are zero, because an input feeds only the neurons whose
    window it is in. So each input's row has only `band` neurons, from its first one on::

                  neuron 0                           last neuron
        input 0   |######..|
        input 1   |######..|
        input 2   |.######.|          # a weight    . a zero within the band
        input 3      |.######.|
        input 4      |..######|       the row of input u begins at neuron first_neurons[u]
        ...
    """

    band: int  # neurons in a row, in whole vectors
    first_neurons: np.ndarray  # (inputs,) the first neuron in an input's row, int64
    inputs: np.ndarray  # (windows, weights of a window) the input that a weight belongs to
    # (windows, weights of a window) in that input's row, the entry of the window's first neuron
    first_entries: np.ndarray


@lru_cache(maxsize=16)  # otherwise it would be computed anew for every batch
def window_layout(sizes: WindowSizes) -> WindowLayout:
    """Return the `WindowLayout` of a `ChannelConv1d` of these sizes."""
    fc = ChannelConv1d(*sizes)
    inputs = fc.window_inputs.numpy()
    first_window, last_window = _first_and_last_window(inputs, fc.in_features)
    most_windows = int((last_window - first_window + 1).max())
    width = padded(fc.out_features)
    band = min(width, padded(most_windows * sizes.n_channels))
    # The last rows begin earlier than they need to, so that no row ends after the last neuron.
    first_neurons = np.minimum(first_window * sizes.n_channels, width - band)
    first_neuron_of_window = np.arange(len(inputs))[:, None] * sizes.n_channels
    first_entries = first_neuron_of_window - first_neurons[inputs]
    return WindowLayout(band, first_neurons, inputs, first_entries)


def _first_and_last_window(inputs: np.ndarray, n_inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last window that sees each input, (inputs,) each.

    `inputs` are those of `WindowLayout`. Both are 0 for an input that no window sees. It needs a
    row like the others, which has no weights.
    """
    first = np.zeros(n_inputs, np.int64)
    last = np.zeros(n_inputs, np.int64)
    # A window overwrites what the windows before it in the loop have written to its inputs.
    for window in range(len(inputs)):
        last[inputs[window]] = window
    for window in reversed(range(len(inputs))):
        first[inputs[window]] = window
    return first, last


def _rows_of_neurons(layer: Layer) -> int:
    """Return how many numbers each neuron of a layer has, beside its weights."""
    return 6 if layer.adapts else 3


def _size_by_neuron(fc: Any, delays: tuple[int, ...], before: list[Layer]) -> int:
    """Return how many numbers the second array has for a layer's weights; see `ParameterLayout`."""
    n_rows = padded(len(delays) * fc.out_features, UNROLLED_ROWS)
    return n_rows * before[-1].width if before else 0


@dataclass(frozen=True)
class ParameterLayout:
    """Where the parameters of a network lie in one long float32 array; gradients lie the same way.

    One layer follows the other::

        first layer                                         second layer
        +---------------------------+------+------+------+  +-------------------------+---
        | weights                   |biases|betas |thres-|  | weights                 | ...
        | n_inputs rows of `band`   |      |      |holds |  |                         |
        +---------------------------+------+------+------+  +-------------------------+---
        ^ parameters_at              width  width  width    ^ parameters_at

    Row u of the weights has the weights from input u to the neurons, so that an event of unit u
    adds one row of memory to the currents. The k-th delayed copy of unit u is input
    u + k n_units. A row has all neurons, ``band == width``, unless weights are shared: see
    `WindowLayout`. Rows are padded to whole vectors of `LANES` neurons. Padding has no weight, no
    bias, beta 0 and threshold 1, so that it never spikes.

    A layer of neurons that adapt (`AdaptiveLeaky`) has three rows more, whose padding is 0::

        ... +------+------+------+------+------+------+  +-------------------------+---
            |biases|betas |thres-| left | from | from |  | weights                 | ...
            |      |      |holds |      | mem  | spk  |  |                         |
        ... +------+------+------+------+------+------+  +-------------------------+---

    A layer with recurrent weights (`RLeaky`) has them after these rows, a row for each neuron that
    they come from. If each neuron reaches only itself, all others in its row are zero.

    The backward pass needs the weights of all layers but the first in the other order, a row for
    each neuron: errors come from the neurons and go to the inputs. If copies of the spikes of the
    layer before arrive late, the rows for the second copy follow those for the first, and so on.
    They are in a second array, recurrent weights after those of their layer. Recurrent weights are
    in blocks of `LANES` columns, which the kernels read one after the other::

        second layer                                 third layer
        +-------------------------------------+      +---------------
        | copy 0: n_neurons rows              |      |  ...
        | copy 1: n_neurons rows              |      |
        | ...                                 |      |
        | padded to UNROLLED_ROWS,            |      |
        | of the width of the layer before    |      |
        +-------------------------------------+      +---------------
        ^ by_neuron_at                               ^ by_neuron_at
    """

    # Sizes and addresses of each layer.
    layers: tuple[Layer, ...]
    # Where shared weights of the first layer lie; None if it has none.
    windows: WindowLayout | None
    # For each layer, the steps by which each copy of its inputs is late.
    delays: tuple[tuple[int, ...], ...]
    # Length of the first array.
    n_parameters: int
    # Length of the second array.
    n_by_neuron: int

    @classmethod
    def of(cls, model: Layered, readout: str = "spikes") -> "ParameterLayout":
        """Return the layout of a network that the compiled engine can compute.

        With the readout "membrane", the kernels make class scores of the output layer's membranes.
        """
        layers: list[Layer] = []
        windows = None
        parameters_at = 0
        states_at = 0
        by_neuron_at = 0
        delays_at = 0
        delays = model.layer_delays
        n_layers = len(model.layers)
        for i, (fc, lif) in enumerate(model.layers):
            width = padded(fc.out_features)
            band = width
            if isinstance(fc, ChannelConv1d):
                windows = window_layout(fc.sizes)
                band = windows.band
            surrogate = compiled_surrogate(lif.spike_grad)
            is_readout = i == n_layers - 1 and readout == "membrane"
            if is_readout or LayeredNetwork.accumulates_only(lif):
                surrogate = Compiled(READOUT)
            layer = Layer(
                n_inputs=fc.in_features,
                n_copies=len(delays[i]),
                delays_at=delays_at,
                n_neurons=fc.out_features,
                width=width,
                band=band,
                parameters_at=parameters_at,
                states_at=states_at,
                by_neuron_at=by_neuron_at,
                surrogate=surrogate.kind,
                resets=resets(lif),
                learns_neurons=lif.beta.requires_grad or lif.threshold.requires_grad,
                adapts=isinstance(lif, AdaptiveLeaky),
                recurs=isinstance(lif, RLeaky),
                recurrent_by_neuron_at=by_neuron_at + _size_by_neuron(fc, delays[i], layers),
                slope=surrogate.slope,
                half_slope=surrogate.half_slope,
            )
            recurrent_size = layer.recurs * layer.n_neurons * width
            by_neuron_at = layer.recurrent_by_neuron_at + recurrent_size
            n_rows = _rows_of_neurons(layer) + layer.recurs * layer.n_neurons
            parameters_at += layer.n_inputs * band + n_rows * width
            states_at += width
            delays_at += layer.n_copies
            layers.append(layer)
        return cls(tuple(layers), windows, delays, parameters_at, by_neuron_at)

    @property
    def team(self) -> int:
        """Return how many utterances the kernels train on at once."""
        is_given = any(layer.surrogate == kernels.GIVEN for layer in self.layers)
        return kernels.TEAM if any(layer.recurs for layer in self.layers) and not is_given else 1

    def n_states(self, n_steps: int, first: int = 0) -> int:
        """Return how many numbers the membranes of one utterance take, from a layer on."""
        last = self.layers[-1]
        return (last.states_at + last.width - self.layers[first].states_at) * (n_steps + 2)

    def weights(self, i: int, memory: np.ndarray) -> np.ndarray:
        """Return a view of a layer's weights, (inputs, band), or of their gradients."""
        layer = self.layers[i]
        end = layer.parameters_at + layer.n_inputs * layer.band
        return memory[layer.parameters_at : end].reshape(layer.n_inputs, layer.band)

    def neurons(self, i: int, memory: np.ndarray) -> np.ndarray:
        """Return a view of the rows of a layer's neurons, or of their gradients."""
        layer = self.layers[i]
        n_rows = _rows_of_neurons(layer)
        first = layer.parameters_at + layer.n_inputs * layer.band
        return memory[first : first + n_rows * layer.width].reshape(n_rows, layer.width)

    def recurrent(self, i: int, memory: np.ndarray) -> np.ndarray:
        """Return a view of a layer's recurrent weights, (neurons, width), or of their gradients."""
        layer = self.layers[i]
        first = layer.parameters_at + layer.n_inputs * layer.band + 3 * layer.width
        end = first + layer.n_neurons * layer.width
        return memory[first:end].reshape(layer.n_neurons, layer.width)

    def membranes(self, i: int, states: np.ndarray, n_steps: int) -> np.ndarray:
        """Return a view of a layer's membranes at all steps; `states` ends with the last layer."""
        layer = self.layers[i]
        n_rows = n_steps + 2
        first = states.shape[1] - self.n_states(n_steps, i)
        rows = states[:, first : first + layer.width * n_rows].reshape(-1, n_rows, layer.width)
        return rows[:, 1:-1, : layer.n_neurons]

    def pack(self, model: Layered) -> kernels.Network:
        """Copy a network's parameters into the memory that the kernels read."""
        parameters = aligned(self.n_parameters)
        weights_by_neuron = aligned(self.n_by_neuron)
        parameters[:] = 0
        weights_by_neuron[:] = 0
        for i, (fc, lif) in enumerate(model.layers):
            n = fc.out_features
            weight = fc.weight.detach().numpy()
            bias = nan_of(f"the weights of layer {i + 1}", weight)
            if fc.bias is not None:
                bias = bias + fc.bias.detach().numpy()
            rows = self.weights(i, parameters)
            if isinstance(fc, ChannelConv1d):
                assert self.windows is not None
                by_input = np.ascontiguousarray(weight.T)
                windows = self.windows
                kernels.spread_windows(by_input, windows.inputs, windows.first_entries, rows)
                bias = np.tile(bias, len(windows.inputs))
            else:
                rows[:, :n] = weight.T
            neurons = self.neurons(i, parameters)
            neurons[BIASES, :n] = bias
            neurons[BETAS, :n] = lif.beta.detach().clamp(0, 1).numpy()
            neurons[THRESHOLDS] = 1
            neurons[THRESHOLDS, :n] = lif.threshold.detach().numpy()
            if isinstance(lif, AdaptiveLeaky):
                neurons[LEFT, :n] = lif.left.numpy()
                neurons[FROM_MEM, :n] = lif.from_mem.detach().clamp(min=0).numpy()
                if self.layers[i].surrogate != READOUT:  # which never spikes
                    neurons[FROM_SPK, :n] = lif.from_spk.detach().clamp(min=0).numpy()
            if isinstance(lif, RLeaky):
                weight_between, bias_between = _recurrent_weight(lif, n)
                bias_between = bias_between + nan_of(
                    f"the recurrent weights of layer {i + 1}", weight_between
                )
                self.recurrent(i, parameters)[:, :n] = weight_between.T
                neurons[BIASES, :n] += bias_between
                layer = self.layers[i]
                first = layer.recurrent_by_neuron_at
                rows = np.zeros((n, layer.width), np.float32)
                rows[:, :n] = weight_between
                blocks = rows.reshape(n, -1, LANES).transpose(1, 0, 2)
                weights_by_neuron[first : first + rows.size] = blocks.ravel()
            if i:
                self._pack_by_neuron(i, weight, weights_by_neuron)
        no_windows = np.empty(0, np.int64)
        return kernels.Network(
            layers=np.array(list(self.layers), kernels.LAYER_DTYPE),
            delays=np.concatenate([*self.delays, (1,)], dtype=np.int64),
            parameters=parameters,
            first_neurons=no_windows if self.windows is None else self.windows.first_neurons,
            weights_by_neuron=weights_by_neuron,
        )

    def _pack_by_neuron(self, i: int, weight: np.ndarray, memory: np.ndarray) -> None:
        """Write a layer's weights (neurons, inputs) into the second array, copy after copy."""
        layer = self.layers[i]
        before = self.layers[i - 1]
        n_rows = layer.n_copies * layer.n_neurons
        end = layer.by_neuron_at + n_rows * before.width
        rows = memory[layer.by_neuron_at : end].reshape(
            layer.n_copies, layer.n_neurons, before.width
        )
        by_copy = weight.reshape(layer.n_neurons, layer.n_copies, before.n_neurons)
        rows[:, :, : before.n_neurons] = by_copy.transpose(1, 0, 2)

    def gradients(self, model: Layered, memory: np.ndarray) -> list[torch.Tensor]:
        """Return the gradients of the parameters that are trained, in the order of `trained`."""
        found = []
        for i, (fc, lif) in enumerate(model.layers):
            d_neurons = self.neurons(i, memory)[:, : self.layers[i].n_neurons]
            d_weight, d_bias = self._layer_gradients(i, fc, memory)
            weights = [each for name, each in fc.named_parameters() if name != "bias"]
            if any(each.requires_grad for each in weights):
                found.append(torch.from_numpy(d_weight))
            if fc.bias is not None and fc.bias.requires_grad:
                found.append(torch.tensor(d_bias))
            found += _neuron_gradients(lif, d_neurons)
            if isinstance(lif, RLeaky):
                d_recurrent = self.recurrent(i, memory)[:, : fc.out_features].T.copy()
                d_recurrent[np.isnan(d_neurons[BIASES])] = np.nan
                found += _recurrent_gradients(lif, d_recurrent, d_bias)
        return found

    def _layer_gradients(
        self, i: int, fc: Weights, gradients: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of a layer's weight and bias, shaped as these are."""
        n = self.layers[i].n_neurons
        d_rows = self.weights(i, gradients)
        d_bias = self.neurons(i, gradients)[BIASES, :n]
        if not isinstance(fc, ChannelConv1d):
            # transposed by torch, which is faster than numpy at that
            d_weight = torch.from_numpy(d_rows[:, :n]).t().contiguous().numpy()
            d_weight[np.isnan(d_bias)] = np.nan  # also where an input is zero
            return d_weight, d_bias
        assert self.windows is not None
        # A shared weight acts in all windows, so its gradient is the sum over them.
        windows = self.windows
        by_input = np.zeros(fc.weight.shape[::-1], np.float32)
        kernels.gather_windows(d_rows, windows.inputs, windows.first_entries, by_input)
        return np.ascontiguousarray(by_input.T), d_bias.reshape(-1, len(fc.weight)).sum(0)


def _neuron_gradients(lif: Leaky, d_neurons: np.ndarray) -> Iterator[torch.Tensor]:
    """Return what neurons learn; if they share a beta or threshold, its gradient is the sum."""
    if lif.beta.requires_grad:
        beta = lif.beta.detach()
        is_inside = (beta >= 0) & (beta <= 1)  # outside, the clamp to 0..1 lets no gradient through
        yield torch.from_numpy(d_neurons[BETAS]).sum_to_size(beta.shape) * is_inside
    if lif.threshold.requires_grad:
        d_threshold = torch.from_numpy(d_neurons[THRESHOLDS])
        yield d_threshold.sum_to_size(lif.threshold.shape).clone()
    if isinstance(lif, AdaptiveLeaky):
        for weight, row in ((lif.from_mem, FROM_MEM), (lif.from_spk, FROM_SPK)):
            if weight.requires_grad:
                counts = weight.detach() >= 0  # below, the clamp to 0 lets no gradient through
                yield torch.from_numpy(d_neurons[row]) * counts


def _recurrent_weight(lif: RLeaky, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recurrent weights as a matrix (to, from) and their biases."""
    if not lif.all_to_all:
        diagonal = np.broadcast_to(lif.recurrent.V.detach().numpy(), n)
        return np.diag(diagonal), np.zeros(n, np.float32)
    bias = lif.recurrent.bias
    no_bias = np.zeros(n, np.float32)
    return lif.recurrent.weight.detach().numpy(), no_bias if bias is None else bias.detach().numpy()


def _recurrent_gradients(
    lif: RLeaky, d_weight: np.ndarray, d_bias: np.ndarray
) -> Iterator[torch.Tensor]:
    """Return what a layer's recurrent weights and biases learn; the biases are in all steps."""
    if lif.all_to_all:
        found = {"weight": torch.tensor(d_weight), "bias": torch.tensor(d_bias)}
    else:
        v = lif.recurrent.V
        found = {"V": torch.tensor(d_weight.diagonal()).sum_to_size(v.shape).clone()}
    for name, gradient in found.items():
        parameter = getattr(lif.recurrent, name)
        if parameter is not None and parameter.requires_grad:
            yield gradient


def trained(model: Layered) -> list[torch.Tensor]:
    """Return the parameters of a network that are trained, in the order of its layers."""
    tensors: list[torch.Tensor | None] = []
    for fc, lif in model.layers:
        tensors += [fc.weight, fc.bias, lif.beta, lif.threshold]
        if isinstance(lif, AdaptiveLeaky):
            tensors += [lif.from_mem, lif.from_spk]
        if isinstance(lif, RLeaky):
            tensors += lif.recurrent.parameters()
    return [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
