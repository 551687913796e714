"""The study's networks in the compiled engine, and in snntorch's loop.

Compiled code is never older than the source it is made of.
"""

import ast
import inspect
import re
from importlib import import_module

import numpy as np
import pytest
import snntorch as snn
import torch
from numba.core.dispatcher import Dispatcher
from torch import nn

from shd_corpus.compiled import compiled
from shd_engine import compile
from shd_helpers.network import engine
from shd_helpers.network.engine import COMPILED
from shd_helpers.study.training import TrainConfig, TrainOptions, fit
from tests import found
from tests.builders.events import random_events
from tests.builders.networks import Plain


class OwnModule(Plain):
    """A user's module of a size, with weights large enough to spike."""

    def __init__(self):
        super().__init__((20, 17, 6), beta=0.9)
        generator = torch.Generator().manual_seed(0)
        for fc in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(fc.weight, gain=2, generator=generator)
            nn.init.zeros_(fc.bias)


def fitted(network, name):
    """Return the loss of each epoch."""
    events = random_events(40, 30, 20, 6, 0.2)
    options = TrainOptions(engine=name, print_epochs=False)
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(epochs=3, batch_size=8)
    history = fit(network, events, events, config, generator, options=options)
    return [[each["train_loss"], each["validation_loss"]] for each in history]


def test_fit_trains_a_users_module_alike_by_its_own_loop_and_compiled():
    """Compiled by `fit`, or before: both fill the gradients of the module's parameters."""
    module = OwnModule()
    assert engine.choose_engine("compiled", module) is COMPILED
    assert engine.choose_engine("snntorch", module) is engine.MODULE
    wanted = fitted(OwnModule(), "snntorch")
    assert wanted[-1][0] < wanted[0][0]
    np.testing.assert_allclose(fitted(module, "compiled"), wanted, rtol=1e-4)
    np.testing.assert_allclose(fitted(compile(OwnModule()), "compiled"), wanted, rtol=1e-4)
    np.testing.assert_allclose(fitted(compile(OwnModule()), "snntorch"), wanted, rtol=1e-4)


def test_a_module_that_was_changed_is_compiled_again():
    module = OwnModule()
    events = random_events(4, 30, 20, 6, 0.2)
    for beta in (0.9, 0.2):
        module.lif1 = snn.Leaky(beta=beta)
        run = engine.choose_engine("compiled", module)
        scores, n_spikes = run.evaluate_batch(module, events, [0, 3])
        spk, _ = module(torch.from_numpy(events.to_frames([0, 3])))
        assert torch.equal(scores, spk.sum(0))
        assert torch.equal(n_spikes[:, 1], spk.sum((0, 2)).long())


class WithDropout(OwnModule):
    """A module that can't be compiled."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Sequential(self.fc1, nn.Dropout(0.1))


class OtherScores(OwnModule):
    """A module whose class scores are others than those that the engine makes."""

    def forward(self, x):
        return super().forward(x)[1].max(0).values


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (WithDropout, "the currents of lif1 are computed by dropout, not by a nn.Linear"),
        (OtherScores, "returns neither numbers of spikes nor mean membranes"),
    ],
)
def test_a_module_that_cannot_be_compiled_is_trained_by_its_own_forward_loudly(make, reason):
    engine.warn_once.cache_clear()
    with pytest.warns(UserWarning, match=f"own forward instead of the compiled engine: .*{reason}"):
        assert engine.choose_engine("compiled", make()) is engine.MODULE
    with pytest.raises(ValueError, match=reason):
        COMPILED.evaluate_batch(make(), random_events(4, 30, 20, 6, 0.2), [0])


FOLDERS = {
    path.parent.name: path.parents[1]
    for base in (".", "applications/circuit", "packages/corpus", "packages/engine")
    for path in found(f"{base}/*/__init__.py")
}
PACKAGES = sorted(FOLDERS)
MODULES = sorted(
    ".".join(path.relative_to(FOLDERS[package]).with_suffix("").parts)
    for package in PACKAGES
    for path in found("**/*.py", folder=FOLDERS[package] / package)
    if re.search(r"^\s*@(numba\.)?(compiled|njit|jit|vectorize)\b", path.read_text(), re.MULTILINE)
)


def imported_from_here(tree):
    """Return the names that a module imports from a package of this repository."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            is_own = node.level or (node.module or "").partition(".")[0] in PACKAGES
            found |= {alias.asname or alias.name for alias in node.names if is_own}
        elif isinstance(node, ast.Import):
            own = [alias for alias in node.names if alias.name.partition(".")[0] in PACKAGES]
            found |= {alias.asname or alias.name.partition(".")[0] for alias in own}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_compiled_function_uses_nothing_of_another_file_of_the_package(name):
    """For numba's cache watches the function's own file alone."""
    module = import_module(name)
    elsewhere = imported_from_here(ast.parse(inspect.getsource(module)))
    functions = [f.py_func for f in vars(module).values() if isinstance(f, Dispatcher)]
    own = [f for f in functions if f.__module__ == name]
    assert own
    for function in own:
        assert not elsewhere & {*function.__code__.co_names}, function.__name__


def test_a_function_runs_where_its_code_cannot_be_kept_and_the_remedy_is_named():
    """numba finds no place for code without a file, as for a file where nothing can be written."""
    there: dict = {}
    exec("def double(x):\n    return 2 * x", there)
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR to a folder"):
        double = compiled(there["double"])
    assert double(3) == 6
