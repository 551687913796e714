"""The plan ``encoder``: its numbers are those of the frozen answers."""

import h5py
import numpy as np
import pandas as pd
import pytest

from evidence.plan import networks_of, read_plan
from tests import RESULTS


def test_the_gain_is_that_of_the_frozen_answers():
    gains = []
    with h5py.File(RESULTS / "encoder_answers.h5") as file:
        for network in networks_of(read_plan("encoder")):
            utterances = file[f"{network.frozen_utterances}/commands"]
            right = file[network.frozen_name]["commands"][:] == utterances["labels"][:]
            people = utterances["speakers"][:]
            weight = {"filters_fire": 0.5, "cochlea_random": -0.5}.get(network.names["data"], 0)
            gains += [weight * right[people == person].mean() for person in np.unique(people)]
    row = pd.read_csv(RESULTS / "encoder_contrasts.csv").query("family == 'primary' & of == 'mean'")
    assert row.people.item() == 1435
    assert 100 * sum(gains) / 1435 == pytest.approx(row.difference.item(), abs=1e-3)


def test_all_encodings_have_as_many_events():
    networks = pd.read_csv(RESULTS / "encoder_networks.csv")
    of = networks.groupby("data").input_events.mean()
    assert len(of) == 4 and of.max() / of["cochlea_random"] < 1.05 > of["cochlea_random"] / of.min()
