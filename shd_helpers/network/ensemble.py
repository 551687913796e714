"""An ensemble: k networks that are trained apart and run as one.

Networks with different first weights make different mistakes, so the mean of their class scores is
right more often than the scores of one. Computing k networks takes k passes over the input. But the
networks of the study can be written as one network with k times as many hidden neurons, which the
engines, costs and circuits then treat as any other::

      member 1   inputs -> W1 -> hidden 1 -> V1 -> scores 1
      member 2   inputs -> W2 -> hidden 2 -> V2 -> scores 2

                           | W1 |    hidden 1
      combined   inputs -> |    | -> hidden 2 -> | V1 / 2   V2 / 2 | -> mean of the scores
                           | W2 |

* **First layer.** The weights, biases, betas and thresholds of member 2 follow those of member 1,
  and so on. Each hidden neuron does what it does in its member, because hidden neurons aren't
  connected with each other.
* **Second layer.** The weights from the hidden neurons of a member are the member's, divided by k.
  The biases are the means of the members' biases.
* **Why the scores are the means.** An output neuron of the readout "membrane" never spikes and is
  never reset, so its membrane is a linear function of its current: U[t] = beta U[t-1] + I[t]. All
  members have the same beta there, because the betas of a member's output neurons aren't learned.
  So the mean of their currents gives the mean of their membranes, and the scores are means over the
  steps of these.

With shared weights (`ChannelConv1d`) the neurons are ordered by window first, and by channel within
a window, so in each window the channels of member 1 are followed by those of member 2.

The members are no submodules of the combined network: its ``state_dict`` has the combined weights
alone, and it is of the same class as any other network.

Networks of other kinds can't be combined like this: those with another readout, with several hidden
layers or delays of the hidden spikes, with neurons of other kinds, or modules of the user's own.
`NetworkConfig.is_combined` tells which. `Ensemble` keeps the others as they are, and computes one
after the other.
"""

from collections.abc import Sequence

import torch
from torch import nn

from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.spiking import SpikingNetwork


class Ensemble(nn.Module):
    """Several networks, whose class scores it averages.

    `fit` trains each member as if it were alone, with an order of the utterances of its own.

    Parameters
    ----------
    members : sequence of Module
        Networks that return class scores (batch, classes) of the same classes.

    Attributes
    ----------
    members : ModuleList
        The networks.

    Raises
    ------
    ValueError
        If there is no member, or one of them appears twice.
    TypeError
        If one of them is no module.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        listed = list(members)
        if not listed:
            raise ValueError("members []: an ensemble needs at least one network")
        if len({id(member) for member in listed}) < len(listed):
            raise ValueError("members: one network appears twice. Give different networks")
        self.members = nn.ModuleList(listed)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of the members' class scores.

        Parameters
        ----------
        x : Tensor
            Zeros and ones, (steps, batch, units).

        Returns
        -------
        Tensor
            (batch, classes).
        """
        return torch.stack([member(x) for member in self.members]).mean(0)


def build_ensemble(
    sizes: Sequence[int], config: NetworkConfig, generator: torch.Generator, step_ms: float
) -> SpikingNetwork:
    """Return an ensemble as one network, which keeps its members to train them."""
    n_inputs, n_hidden, n_classes = sizes
    members = [
        SpikingNetwork(sizes, config, generator, step_ms) for _ in range(config.ensemble_size)
    ]
    combined_sizes = (n_inputs, n_hidden * config.ensemble_size, n_classes)
    combined = SpikingNetwork(combined_sizes, config, generator, step_ms)
    combined.ensemble_members = tuple(members)
    combine_members(combined)
    return combined


@torch.no_grad()
def combine_members(combined: SpikingNetwork) -> None:
    """Copy the members' parameters into the combined network, so that its scores are their means.

    Call it after the members were trained. The module's docstring says where the weights go.
    """
    members = combined.ensemble_members
    n_channels = len(members[0].fc1.bias)  # hidden neurons, or, with shared weights, of one window
    states = [member.state_dict() for member in members]
    for name, values in combined.state_dict().items():
        of_members = [state[name] for state in states]
        if name in ("fc1.weight", "fc1.bias"):
            values.copy_(torch.cat(of_members))
        elif name in _PER_HIDDEN_NEURON and of_members[0].dim() == 1:
            values.copy_(_beside_in_each_window(torch.stack(of_members), n_channels))
        elif name == "fc2.weight":
            by_class = torch.stack(of_members, dim=1)  # (classes, members, hidden neurons)
            values.copy_(_beside_in_each_window(by_class, n_channels) / len(members))
        elif name == "fc2.bias":
            values.copy_(torch.stack(of_members).mean(0))


_PER_HIDDEN_NEURON = ("lif1.beta", "lif1.threshold")  # if learned; else one number, equal in all


def _beside_in_each_window(of_members: torch.Tensor, n_channels: int) -> torch.Tensor:
    """Order hidden neurons as in the combined network.

    Takes (..., members, windows x channels) and returns (..., windows x members x channels). A
    layer without shared weights is one window.
    """
    by_window = of_members.unflatten(-1, (-1, n_channels))  # (..., members, windows, channels)
    return by_window.transpose(-3, -2).flatten(-3)
