"""Any module that turns frames into class scores is trained, or what is wrong with it is named."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from shd_engine import LayerStates
from shd_helpers.network import choose_engine
from shd_helpers.network.engine import MODULE
from shd_helpers.network.operation_counts import costs, uncounted_reason
from shd_helpers.study import TrainConfig, evaluate, fit, overfit, record_examples
from tests.builders.events import random_events

EVENTS = random_events(12, 30, 20, 4, 0.1)


class Counts(nn.Module):
    """A linear layer on the number of events of each unit, with dropout while it is trained."""

    def __init__(self, n_units=20, n_classes=4):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.fc = nn.Linear(n_units, n_classes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, frames):
        return self.dropout(self.fc(frames.sum(0)))


class Recording(Counts):
    def record(self, frames):
        mem = self.fc(frames).cumsum(0)
        return LayerStates((mem > 1).float(), mem)


def counts_by_hand():
    counts = np.zeros((len(EVENTS), EVENTS.n_units), np.float32)
    for i in range(len(EVENTS)):
        own = EVENTS.units[EVENTS.offsets[i] : EVENTS.offsets[i + 1]]
        counts[i] = np.bincount(own, minlength=EVENTS.n_units)
    return torch.from_numpy(counts)


@pytest.mark.parametrize("engine", ["compiled", "snntorch"])
def test_a_module_is_evaluated_without_dropout(engine):
    model = Counts()
    assert choose_engine(engine, model) is MODULE
    evaluation = evaluate(model, EVENTS, engine, batch_size=5)
    wanted = F.linear(counts_by_hand(), model.fc.weight, model.fc.bias)
    torch.testing.assert_close(evaluation.class_scores, wanted.detach())
    assert evaluation.n_spikes.shape == (len(EVENTS), 2) and not evaluation.n_spikes.any()


def test_gradients_are_those_of_the_cross_entropy():
    model = Counts()
    model.dropout.p = 0.0
    loss, scores = MODULE.forward_backward(model, EVENTS, [3, 0, 7])
    found = model.fc.weight.grad.clone()
    by_hand = Counts()
    wanted = by_hand.fc(counts_by_hand()[[3, 0, 7]])
    wanted_loss = F.cross_entropy(wanted, torch.from_numpy(EVENTS.labels[[3, 0, 7]]))
    wanted_loss.backward()
    assert loss == pytest.approx(wanted_loss.item())
    torch.testing.assert_close(scores, wanted.detach())
    torch.testing.assert_close(found, by_hand.fc.weight.grad)


def test_a_module_is_trained_by_fit_with_dropout(capsys):
    model = Counts()
    config = TrainConfig(epochs=2, batch_size=4)
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    history = fit(model, EVENTS, EVENTS, config, torch.Generator().manual_seed(0))
    assert [epoch["epoch"] for epoch in history] == [1, 2]
    assert capsys.readouterr().out.count("epoch") == 2
    assert modes == 2 * [True, True, True, False]
    losses = overfit(Counts(), EVENTS, 200)
    assert losses[-1] < losses[0]


def test_its_table_has_no_columns_of_spikes_that_nobody_counted():
    evaluation = evaluate(Counts(), EVENTS)
    table = evaluation.predictions()
    wanted = {"utterance", "speaker", "label", "predicted", "confidence", "input_events"}
    assert wanted == {*table.columns}
    assert "not a LayeredNetwork" in uncounted_reason(Counts())
    with pytest.raises(ValueError, match="operations can't be counted"):
        costs(Counts(), table, EVENTS.n_steps)


def test_examples_are_recorded_by_a_method_of_its_own_or_not_at_all():
    assert record_examples(Counts(), EVENTS) == {}
    with pytest.raises(ValueError, match=r"^Counts has no method record\(frames\)"):
        MODULE.record(Counts(), EVENTS, [0])
    model = Recording()
    examples = record_examples(model, EVENTS)
    assert [*examples] == [*EVENTS.class_names]
    for name, example in examples.items():
        frames = torch.from_numpy(EVENTS.to_frames(example["utterance"]))
        mem = model.record(frames).mem[:, 0].detach()
        np.testing.assert_allclose(example["mem"], mem, rtol=1e-5, atol=1e-5)
        assert example["spk"].dtype == bool and "hidden" not in example
        assert EVENTS.class_names[EVENTS.labels[example["utterance"][0]]] == name


WRONG = {
    "nothing": (lambda scores: None, r"returned None \(is a `return` missing"),
    "a tuple": (lambda scores: (scores, scores), "returned a tuple of 2"),
    "a recording": (lambda scores: LayerStates(scores, scores), "returned a LayerStates of 4"),
    "a dictionary": (lambda scores: {"scores": scores}, "returned an object of type dict"),
    "scores of each step": (
        lambda scores: scores.expand(30, *scores.shape),
        r"returned a tensor of shape \(30, 3, 4\) \(take the sum or mean over the steps\)",
    ),
    "other classes": (lambda scores: scores[:, :3], r"returned a tensor of shape \(3, 3\)"),
    "another batch": (lambda scores: scores[:2], r"returned a tensor of shape \(2, 4\)"),
    "one utterance": (lambda scores: scores[0], r"returned a tensor of shape \(4,\)"),
    "classes first": (lambda scores: scores.T, r"returned a tensor of shape \(4, 3\)"),
    "integers": (lambda scores: scores.long(), r"returned a tensor of torch\.int64"),
}


@pytest.mark.parametrize(("change", "problem"), WRONG.values(), ids=WRONG.keys())
def test_a_missing_or_misshapen_output_is_named(change, problem):
    class Mine(Counts):
        def forward(self, frames):
            return change(super().forward(frames))

    expected = (
        rf"^Mine\.forward {problem}.*\. From frames of shape \(30, 3, 20\), which are \(steps, "
        r"batch, units\), it must compute class scores of shape \(3, 4\)"
    )
    for run in (MODULE.forward_backward, MODULE.evaluate_batch):
        with pytest.raises(TypeError, match=expected) as error:
            run(Mine(), EVENTS, [3, 0, 7])
        assert "\n" not in str(error.value)


def test_scores_without_a_gradient_are_named_in_training_only():
    class Detached(Counts):
        def forward(self, frames):
            return super().forward(frames).detach()

    MODULE.evaluate_batch(Detached(), EVENTS, [0])
    with pytest.raises(TypeError, match=r"^Detached\.forward returned .* without a gradient"):
        MODULE.forward_backward(Detached(), EVENTS, [0])


def test_scores_that_are_nan_are_named():
    class Divides(Counts):
        def forward(self, frames):
            scores = super().forward(frames)
            return torch.cat([scores[:1], scores[1:] * torch.nan])

    for run in (MODULE.forward_backward, MODULE.evaluate_batch):
        with pytest.raises(ValueError, match=r"^Divides\.forward returned NaN .* 2 of 3 utteran"):
            run(Divides(), EVENTS, [3, 0, 7])


def test_what_is_no_module_is_named():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, not .* type function"):
        evaluate(counts_by_hand, EVENTS)
