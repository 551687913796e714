"""Networks that are trained apart and then put side by side: one wide hidden layer, one output."""

import torch

from shd_helpers.network.spiking import SpikingNetwork


@torch.no_grad()
def join(model: SpikingNetwork) -> None:
    """Give a network the weights of its members, so that its scores are the means of theirs.

    The hidden neurons stand side by side. An output neuron only adds up, and with the same beta, so
    it can add up for all members at once.

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
        elif name == "fc2.weight":
            columns = torch.stack(each, 1).unflatten(2, (-1, n))  # classes, members, places, n
            values.copy_(columns.transpose(1, 2).flatten(1) / len(each))
        elif name == "fc2.bias":
            values.copy_(torch.stack(each).mean(0))
