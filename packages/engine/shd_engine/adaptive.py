"""Leaky integrate-and-fire neurons that adapt.

A neuron of the brain that has been active for a while answers the same current with fewer spikes
than at first. It adapts. In the model, a second state lowers the neuron's current. The state rises
when the membrane is high and when the neuron spikes, and it decays about as slowly as a syllable
lasts. So a layer remembers what it has seen for longer than its membranes do.
"""

from typing import Any

import snntorch as snn
import torch
from torch import nn

SPREAD = 2.0  # time constants lie between `adapt_ms` / SPREAD and `adapt_ms` * SPREAD
HIGHEST_FROM_MEM = 2.4  # a new neuron's weight of the membrane is drawn from 0 up to this
HIGHEST_FROM_SPK = 4.8  # a new neuron's weight of the spike is drawn from 0 up to this


class AdaptiveLeaky(snn.Leaky):
    r"""A leaky integrate-and-fire neuron that adapts: recent activity lowers its current.

    The neuron is snntorch's `Leaky` with a second state, the adaptation A. With the current I, the
    membrane potential U, the spike S (1 or 0) and the threshold:

    .. math::

        U[t] &= \beta \, U[t-1] + (I[t] - A[t-1]) - \text{threshold} \cdot S[t-1]

        S[t] &= 1 \text{ if } U[t] > \text{threshold, else } 0

        A[t] &= \text{left} \cdot A[t-1]
                + (1 - \text{left}) (\text{from\_mem} \cdot U[t] + \text{from\_spk} \cdot S[t])

    A[t] is fed by the new membrane U[t], not by U[t-1]: the symplectic Euler method, which Baronig
    et al. recommend. With this order, an oscillation between membrane and adaptation shrinks in
    every step, by the square root of beta times `left`. With U[t-1] it could grow.

    Each neuron has its own `left`, `from_mem` and `from_spk`. `left` isn't trained. The weights
    `from_mem` and `from_spk` are, and values below 0 count as 0.

    The calling convention is snntorch's, with the membrane as the last state::

        state = lif.reset_mem()  # (adaptation, mem)
        for cur in currents:
            spk, *state = lif(cur, *state)

    Parameters
    ----------
    n : int
        Neurons of the layer.
    beta : float or Tensor
        Share of the membrane potential that is left after one step.
    adapt_ms : float
        Typical time constant of the adaptation, in milliseconds. Each neuron's own is drawn
        between half and twice this value, uniformly on a logarithmic scale.
    step_ms : float
        Length of a time step, in milliseconds.
    generator : torch.Generator, optional
        Draws time constants and first weights; torch's global generator if it is left out.
    **leaky : Any
        Further arguments of snntorch's `Leaky`, such as `threshold` and `spike_grad`.

    Attributes
    ----------
    adapt_ms : float
        As above.
    left : Tensor
        Share of the adaptation that is left after one step, (n,).
    from_mem, from_spk : Parameter
        How much the membrane potential and a spike add to the adaptation, (n,) each.

    Raises
    ------
    ValueError
        If `adapt_ms` or `step_ms` isn't above 0.

    References
    ----------
    Baronig et al. (2025), "Advancing spatio-temporal processing through adaptation in spiking
    neural networks", Nature Communications 16.
    """

    def __init__(
        self,
        n: int,
        beta: float | torch.Tensor,
        adapt_ms: float = 100.0,
        step_ms: float = 3.0,
        generator: torch.Generator | None = None,
        **leaky: Any,
    ) -> None:
        super().__init__(beta, **leaky)
        for name, milliseconds in (("adapt_ms", adapt_ms), ("step_ms", step_ms)):
            if not milliseconds > 0:
                raise ValueError(f"{name} {milliseconds}: give a number of milliseconds above 0")
        self.adapt_ms = adapt_ms
        drawn = torch.rand(3, n, generator=generator)
        exponent = 2 * drawn[0] - 1  # from -1 to 1
        tau_ms = adapt_ms * SPREAD**exponent
        self.left: torch.Tensor
        self.register_buffer("left", torch.exp(-step_ms / tau_ms))
        self.from_mem = nn.Parameter(HIGHEST_FROM_MEM * drawn[1])
        self.from_spk = nn.Parameter(HIGHEST_FROM_SPK * drawn[2])

    def reset_mem(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states at rest, from which a recording starts.

        Returns
        -------
        adaptation, mem : Tensor
            Zeros. Whatever their shape, `forward` makes them fit the first current.
        """
        mem = super().reset_mem()
        return torch.zeros_like(mem), mem

    def forward(
        self, cur: torch.Tensor, adaptation: torch.Tensor, mem: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take one step.

        Parameters
        ----------
        cur : Tensor
            The currents, (batch, n).
        adaptation : Tensor
            The adaptation after the step before, (batch, n), or that of `reset_mem`.
        mem : Tensor
            The membrane potentials after the step before, (batch, n), or those of `reset_mem`.

        Returns
        -------
        spk, adaptation, mem : Tensor
            The spikes and the states after this step, (batch, n) each.
        """
        if adaptation.shape != cur.shape:
            adaptation = torch.zeros_like(cur)  # as snntorch does for the membrane
        spk, mem = super().forward(cur - adaptation, mem)
        fed = self.from_mem.clamp(min=0) * mem + self.from_spk.clamp(min=0) * spk
        adaptation = self.left * adaptation + (1 - self.left) * fed
        return spk, adaptation, mem


class SEAdLIF(snn.SpikingNeuron):
    r"""The neuron SE-adLIF of Baronig et al., with learned time constants.

    It differs from `AdaptiveLeaky` in what the current is multiplied by, and in the reset: a spike
    sets the membrane to zero at once. With the current I, the membrane potential U, the spike S
    and the adaptation A:

    .. math::

        V[t] &= \beta \, U[t-1] + (1 - \beta) (I[t] - A[t-1])

        S[t] &= 1 \text{ if } V[t] > \text{threshold, else } 0

        U[t] &= (1 - S[t]) \, V[t]

        A[t] &= \text{left} \cdot A[t-1]
                + (1 - \text{left}) \cdot \text{scale} \, (a \, U[t] + b \, S[t])

    The reset has no gradient. All parameters are learned. They count as the nearest bound where
    they are outside of their range. The calling convention is that of `AdaptiveLeaky`.

    Parameters
    ----------
    n : int
        Neurons of the layer.
    mem_ms, adapt_ms : tuple of float
        Shortest and longest time constant of the membrane and of the adaptation, in milliseconds.
    step_ms : float
        Length of a time step, in milliseconds.
    scale : float
        By which `a` and `b` are multiplied.
    generator : torch.Generator, optional
        Draws the first parameters; torch's global generator if it is left out.
    **spiking : Any
        `threshold`, `learn_threshold` and `spike_grad` of snntorch's neurons.

    Attributes
    ----------
    mem_share, adapt_share : Parameter
        Where each neuron's time constant is between the shortest, 0, and the longest, 1, (n,).
    a, b : Parameter
        How much the membrane, from 0 to 1, and a spike, from 0 to 2, feed the adaptation, (n,).

    References
    ----------
    Baronig et al. (2025), "Advancing spatio-temporal processing through adaptation in spiking
    neural networks", Nature Communications 16. The defaults are those of their networks for SHD.
    """

    def __init__(
        self,
        n: int,
        mem_ms: tuple[float, float] = (5.0, 25.0),
        adapt_ms: tuple[float, float] = (60.0, 300.0),
        step_ms: float = 1.0,
        scale: float = 120.0,
        generator: torch.Generator | None = None,
        **spiking: Any,
    ) -> None:
        super().__init__(**spiking)
        self.mem_ms = mem_ms
        self.adapt_ms = adapt_ms
        self.step_ms = step_ms
        self.scale = scale
        drawn = torch.rand(4, n, generator=generator)
        self.mem_share = nn.Parameter(drawn[0])
        self.adapt_share = nn.Parameter(drawn[1])
        self.a = nn.Parameter(drawn[2])
        self.b = nn.Parameter(2 * drawn[3])

    def reset_mem(self) -> tuple[torch.Tensor, ...]:
        """Return the states at rest, from which a recording starts.

        Returns
        -------
        adaptation, mem : Tensor
            Empty. `forward` makes them fit the first current.
        """
        return torch.zeros(0), torch.zeros(0)

    def rates(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the numbers of the equations, from the parameters.

        Returns
        -------
        beta, left, from_mem, from_spk : Tensor
            The shares that are left after a step, scale * a and scale * b, (n,) each.
        """
        beta = self._left_after_a_step(self.mem_share, self.mem_ms)
        left = self._left_after_a_step(self.adapt_share, self.adapt_ms)
        return beta, left, self.scale * self.a.clamp(0, 1), self.scale * self.b.clamp(0, 2)

    def _left_after_a_step(
        self, share: torch.Tensor, range_ms: tuple[float, float]
    ) -> torch.Tensor:
        shortest, longest = range_ms
        tau_ms = shortest + share.clamp(0, 1) * (longest - shortest)
        return torch.exp(-self.step_ms / tau_ms)

    def forward(
        self, cur: torch.Tensor, adaptation: torch.Tensor, mem: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take one step.

        Parameters
        ----------
        cur : Tensor
            The currents, (batch, n).
        adaptation, mem : Tensor
            The states after the step before, (batch, n) each, or those of `reset_mem`.

        Returns
        -------
        spk, adaptation, mem : Tensor
            The spikes and the states after this step, (batch, n) each.
        """
        if mem.shape != cur.shape:
            adaptation = mem = torch.zeros_like(cur)
        beta, left, from_mem, from_spk = self.rates()
        mem = beta * mem + (1 - beta) * (cur - adaptation)
        spk = self.fire(mem)
        mem = mem * (1 - spk.detach())
        adaptation = left * adaptation + (1 - left) * (from_mem * mem + from_spk * spk)
        return spk, adaptation, mem


class RSEAdLIF(SEAdLIF):
    r"""SE-adLIF with recurrent weights, as in the networks of Baronig et al.

    Each neuron's current has the spikes of the layer's last step added, times learned weights that
    start as an orthogonal matrix. The calling convention is that of snntorch's `RLeaky`::

        spk, *state = lif.reset_mem()  # state is (adaptation, mem)
        for cur in currents:
            spk, *state = lif(cur, spk, *state)

    Parameters
    ----------
    n : int
        Neurons of the layer.
    generator : torch.Generator, optional
        Draws the first parameters; torch's global generator if it is left out.
    **options : Any
        Further arguments of `SEAdLIF`.

    Attributes
    ----------
    recurrent : Linear
        The recurrent weights, without biases.
    """

    all_to_all = True  # as `RLeaky` says where its weights go

    def __init__(self, n: int, generator: torch.Generator | None = None, **options: Any) -> None:
        super().__init__(n, generator=generator, **options)
        self.recurrent = nn.Linear(n, n, bias=False)
        nn.init.orthogonal_(self.recurrent.weight, generator=generator)

    def reset_mem(self) -> tuple[torch.Tensor, ...]:
        """Return spikes and states at rest, from which a recording starts.

        Returns
        -------
        spk, adaptation, mem : Tensor
            Empty. `forward` makes them fit the first current.
        """
        return torch.zeros(0), *super().reset_mem()

    def forward(  # type: ignore[override]
        self, cur: torch.Tensor, spk: torch.Tensor, adaptation: torch.Tensor, mem: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take one step.

        Parameters
        ----------
        cur : Tensor
            The currents, (batch, n).
        spk, adaptation, mem : Tensor
            The spikes and the states after the step before, (batch, n) each, or those of
            `reset_mem`.

        Returns
        -------
        spk, adaptation, mem : Tensor
            The spikes and the states after this step, (batch, n) each.
        """
        if spk.shape != cur.shape:
            spk = torch.zeros_like(cur)
        return super().forward(cur + self.recurrent(spk), adaptation, mem)
