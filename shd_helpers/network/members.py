"""Networks that are trained apart and then put side by side: one wide hidden layer, one output."""

import torch

from shd_helpers.network.spiking import SpikingNetwork

LEAST_LEAK = 1e-4  # of an output neuron whose beta was learned


@torch.no_grad()
def join(model: SpikingNetwork) -> None:
    """Give a network the weights of its members, so that its scores are the means of theirs.

    The hidden neurons stand side by side. An output neuron only adds up, so it can add up for all
    members at once. Where they learned their output neurons' betas, it gets the mean beta, and each
    member's weights are scaled to the same sum of a constant current.

    Parameters
    ----------
    model : SpikingNetwork
        With members and the readout ``"membrane"``; changed in place.
    """
    n = len(model.members[0].fc1.bias)  # at a place
    states = [one.state_dict() for one in model.members]
    for name, values in model.state_dict().items():
        each = [state[name] for state in states]
        if name.startswith("fc1"):  # a row for each neuron at a place
            values.copy_(torch.cat(each))
        elif "1." in name and len(each[0].shape) == 1:  # a value for each neuron of all places
            values.copy_(torch.stack(each).unflatten(1, (-1, n)).transpose(0, 1).flatten())
    (fc, lif), outputs = model.layers[-1], [one.layers[-1] for one in model.members]
    leaks = torch.stack([1 - neurons.beta.expand(fc.out_features) for _, neurons in outputs])
    leaks = leaks.clamp(LEAST_LEAK, 1)
    if model.config.learn_beta:
        lif.beta.copy_(1 - leaks.mean(0))
    gains = leaks.mean(0) / leaks / len(outputs)
    weights = [
        (of.weight * gain[:, None]).unflatten(1, (-1, n))
        for (of, _), gain in zip(outputs, gains, strict=True)
    ]
    fc.weight.copy_(torch.stack(weights, 2).flatten(1))
    fc.bias.copy_((torch.stack([of.bias for of, _ in outputs]) * gains).sum(0))
