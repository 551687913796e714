"""Programs with all steps at once: twelve as users write them, and what they are made of."""

import pytest
import snntorch as snn
import torch
from torch import nn

import shd_engine as engine
from engine_examples.twelve_programs import SMALL, input_of, loop_of
from engine_tests.modules import N_UNITS, Dropout, Pair, noise
from engine_tests.test_compile import check_gradients, gradients, weighted
from engine_tests.test_scan import loop
from shd_engine import scan
from shd_engine.recording import leaves


def compiled(program, net):
    """Return a program of the twelve as the engine computes it."""
    return engine.unroll(net) if program.is_one_step else engine.compile(net)


@pytest.mark.parametrize("name", SMALL)
def test_a_program_computes_what_its_own_loop_computes(name):
    program = SMALL[name]
    torch.manual_seed(0)
    net = program.make()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:
                parameter *= 3
    x = input_of(program, torch.Generator().manual_seed(0))
    fast, own = compiled(program, net), loop_of(program, net)
    for is_training in (True, False):
        both = []
        for run in (fast, own):
            net.train(is_training)
            torch.manual_seed(1)  # of dropout
            out = leaves(run(x))
            both.append((out, gradients(net, weighted(out))))
        (found, found_gradients), (wanted, wanted_gradients) = both
        assert all(each.abs().sum() > 0 for each in wanted)
        for each, its in zip(found, wanted, strict=True):
            torch.testing.assert_close(each, its, rtol=1e-4, atol=1e-5)
        check_gradients(found_gradients, wanted_gradients, 1e-3)


def test_what_is_the_same_in_all_steps_is_computed_once(capsys):
    program = SMALL["tutorial 6"]
    fast = compiled(program, program.make())
    x = input_of(program, torch.Generator().manual_seed(0))
    fast.explain(x)
    lines = capsys.readouterr().out.splitlines()
    convolutions = [line for line in lines if line.startswith("conv2d")]
    assert convolutions == ["conv2d: torch, once", "conv2d: torch, all steps at once"]
    assert "net.2 (Leaky): scan" in lines and "times as fast" in lines[-1]
    fast.explain(x.contiguous())
    assert "conv2d: torch, once" not in capsys.readouterr().out


def test_it_explains_lists_of_events(capsys):
    engine.compile(Pair()).explain((torch.rand(5, 2, N_UNITS) < 0.3).float())
    assert "layer 2 (Linear, Leaky): events" in capsys.readouterr().out


def test_the_first_call_shows_what_input_a_network_takes():
    net = Pair()
    net._modules = {"fc2": net.fc2, **net._modules}  # now the first layer isn't that of the input
    fast = engine.compile(net)
    x = (torch.rand(5, 2, N_UNITS) < 0.3).float()
    with pytest.raises(TypeError, match="Give an example"):
        fast(engine.EventLists.of(x))
    spk, _ = fast(x)
    assert spk.any() and fast.takes_events
    torch.testing.assert_close(fast(engine.EventLists.of(x))[0], spk)


class Picture(nn.Module):
    """Its first layer doesn't tell the size of the picture."""

    def __init__(self, between=None):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.between = between or nn.Identity()
        self.lif1 = snn.Leaky(0.9)

    def forward(self, x):
        mem = self.lif1.reset_mem()
        spks = []
        for _ in range(4):
            spk, mem = self.lif1(self.between(self.conv(x)), mem)
            spks.append(spk)
        return torch.stack(spks)


def test_an_example_shows_the_input_at_once_or_else_the_first_call():
    x = torch.rand(2, 1, 5, 6)
    torch.manual_seed(0)
    for example in (None, x):
        net = Picture()
        assert torch.equal(engine.compile(net, example)(x), net(x))
    with pytest.raises(engine.NotCompilableError, match="Batch normalization in training"):
        engine.compile(Picture(nn.BatchNorm2d(3)), x)
    late = engine.compile(Picture(nn.BatchNorm2d(3)))
    with pytest.raises(engine.NotCompilableError, match="Batch normalization in training"):
        late(x)
    assert late.eval()(x).shape == (4, 2, 3, 3, 4)
    with pytest.raises(engine.NotCompilableError, match="its forward raised RuntimeError"):
        late(x[0, 0])


def test_the_module_itself_is_what_one_can_fall_back_on():
    x = torch.rand(2, 1, 5, 6)
    net = Picture(nn.BatchNorm2d(3))
    fast = engine.compile(net, fallback=True)
    with pytest.warns(UserWarning, match="Picture isn't compiled, and runs by"):
        out = fast(x)
    assert torch.equal(out, net(x))
    noisy = noise()
    with pytest.warns(UserWarning, match="Variant isn't compiled"):
        assert engine.compile(noisy, fallback=True) is noisy


def test_a_weight_that_is_no_longer_tied_is_noticed():
    net = Picture(nn.Conv2d(3, 3, 1))
    net.conv = nn.Conv2d(1, 3, 1)
    net.between.bias = net.conv.bias
    fast = engine.compile(net, torch.rand(2, 1, 5, 6))
    net.between.bias = nn.Parameter(torch.zeros(3))
    with pytest.raises(
        RuntimeError, match=r"conv\.bias and between\.bias aren't the same parameter"
    ):
        fast(torch.rand(2, 1, 5, 6))


def test_dropout_can_be_switched_off_in_one_layer():
    net = Dropout()
    fast = engine.compile(net)
    x = (torch.rand(5, 2, N_UNITS) < 0.5).float()
    assert not torch.equal(fast(x)[1], net.eval()(x)[1])
    net.train()
    net.dropout.eval()
    torch.testing.assert_close(fast(x)[1], net(x)[1])


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_scan_has_the_neurons_of_lapicque(reset):
    lif = snn.Lapicque(R=5.1, C=5e-3, time_step=1e-3, reset_mechanism=reset)
    currents = torch.rand(30, 2, 4, requires_grad=True)
    wanted = loop(currents, lif)
    found = scan(currents, lif)
    assert wanted[0].sum() > 5
    for each, its in zip(found, wanted, strict=True):
        assert torch.equal(each, its)
    grads = [torch.autograd.grad(weighted(each), currents)[0] for each in (found, wanted)]
    torch.testing.assert_close(*grads)
