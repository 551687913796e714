"""Train on toy data as notebook 3 does."""

import torch

from shd_helpers.data import fingerprint
from shd_helpers.network import build_network, costs
from shd_helpers.study import (
    Recipe,
    RunWriter,
    TrainOptions,
    evaluate,
    fit,
    record_examples,
    seen_and_unseen_accuracy,
)


def run_of(parameters, folder):
    """Train a network with these parameters, and leave a run folder."""
    recipe = Recipe.from_flat(parameters)
    splits = recipe.load()
    grid = recipe.input
    generator = torch.Generator().manual_seed(0)
    n_classes = len(splits.training.class_names)
    model = build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, generator)
    writer = RunWriter(folder, parameters, fingerprint(recipe.obtain_files()), splits, model)
    fit(
        model,
        splits.training,
        splits.validation,
        recipe.training,
        generator,
        options=TrainOptions(recipe.augmentation, recipe.circuit),
        on_epoch=writer.epoch,
    )
    validated = evaluate(model, splits.validation)
    tested = evaluate(model, splits.test)
    scores = {"train": None, "validation": validated.accuracy}
    scores |= seen_and_unseen_accuracy(tested, writer.info["seen_speakers"])
    predictions = tested.predictions()
    examples = record_examples(model, tested.events)
    counted = costs(model, predictions, grid.n_steps)
    writer.finish(model, scores, predictions, examples, counted)
    return folder
