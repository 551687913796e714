"""From a trained network's floats to the circuit's integers."""

import math

import numpy as np
import torch

from hardware.integer import IntegerLayer, IntegerNetwork
from hardware.kernels import FACTOR_BITS
from shd_helpers.events.downsample import Downsampling
from shd_helpers.network import Network, NetworkConfig, Quantisation, SpikingNetwork
from shd_helpers.network.limits import refuse
from shd_helpers.network.quantisation import HEADROOM
from shd_helpers.study.networks import TrainedNetwork


def integer_network(
    model: Network, config: NetworkConfig, grid: Downsampling, quantisation: Quantisation
) -> IntegerNetwork:
    """Return the circuit of a trained network.

    Weights become whole multiples of `Quantisation.scales`. A layer's membranes count in 2^-shift
    of such a scale, with the largest shift at which every threshold, times the headroom, fits.

    Parameters
    ----------
    model : SpikingNetwork
        Two layers.
    config : NetworkConfig
        Of which it was built.
    grid : Downsampling
        Its input.
    quantisation : Quantisation
        The circuit's bits.

    Raises
    ------
    ValueError
        If no circuit is made of such a network; the message says why.
    """
    if not quantisation:
        raise ValueError("mem_bits 0: a circuit needs fc1_bits, fc2_bits and mem_bits")
    refuse(quantisation.refusals(config, grid))
    assert isinstance(model, SpikingNetwork)
    if model.n_layers != 2:
        raise ValueError(f"{model.n_layers} layers: a circuit has two")
    bits, layers = (quantisation.fc1_bits, quantisation.fc2_bits), []
    for (fc, lif), b in zip(model.layers, bits, strict=True):
        whole, scale = quantisation.integers(fc.weight, lif.threshold, b)
        theta = (lif.threshold.detach().double() / scale).expand(len(scale))
        shift = math.floor(math.log2(quantisation.high / HEADROOM / theta.max()))
        shift = max(0, shift)  # it is 0 at least, but for the rounding of floats
        fine = 2.0**shift / scale
        bias = torch.round(fc.bias.detach().double() * fine)
        bias = bias.clamp(-quantisation.high, quantisation.high)
        threshold = torch.round(lif.threshold.detach().double() * fine).clamp(min=1)
        integers = [numbers.numpy().astype(np.int64) for numbers in (whole, bias, threshold)]
        layers.append(IntegerLayer(integers[0], integers[1], integers[2], shift))
    beta = config.step_beta(grid.step_ms)
    by_shift = quantisation.leak == "shift"
    return IntegerNetwork(
        grid,
        model.delays,
        tuple(layers),
        quantisation.mem_bits,
        quantisation.leak_shift(beta) if by_shift else 0,
        0 if by_shift else round(beta * (1 << FACTOR_BITS)),
    )


def circuit_of(trained: TrainedNetwork, quantisation: Quantisation | None = None) -> IntegerNetwork:
    """Return the circuit of a trained network.

    Parameters
    ----------
    trained : TrainedNetwork
        From `study.of_run` or `study.read_network`.
    quantisation : Quantisation, optional
        Other bits than the run's parameters say.

    Raises
    ------
    ValueError
        As `integer_network`.
    """
    wanted = quantisation or trained.settings(Quantisation)
    return integer_network(trained.network, trained.settings(NetworkConfig), trained.grid, wanted)
