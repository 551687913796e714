"""What notebook 7 and README say of SHD's own benchmark."""

import pandas as pd
import pytest

from shd_helpers.study import read_table, summarise
from shd_helpers.study.tables import RESULTS
from tests.test_prose import README, says

NOTEBOOK = "07_new_speakers"


@pytest.fixture(scope="module")
def models():
    return summarise(read_table("benchmark_hd"), "model")


def test_the_benchmark_of_notebook_7(models):
    test = models.test
    study, shared = models.loc["study"], models.loc["shared weights"]
    others = test.drop("study")
    four, eight, most = (models.loc[f"shared weights, {n} at a place"] for n in (4, 8, 32))
    for sentence in (
        f"The study's network gets {study.test:.1f} %: {study.test_seen:.1f} % of the words by "
        f"speakers who trained, and {study.test_unseen:.1f} % of those by speakers 4 and 5.",
        f"get {others.min():.1f} to {others.max():.1f} %, and don't differ by more than their "
        f"intervals. The chosen one, shared weights, gets "
        f"{shared.test:.1f} % with {shared.parameters:,.0f} parameters, the full layer "
        f"{test['no shared weights']:.1f} %, two hidden layers {test['two hidden layers']:.1f} %, "
        f"and the comparison without spikes {test['convolutional']:.1f} %.",
        f"eight neurons at a place get {eight.test:.1f} % with {eight.parameters:,.0f}, sixteen "
        f"{shared.test:.1f} % with {shared.parameters:,.0f}, and 32 get {most.test:.1f} % with "
        f"{most.parameters:,.0f}.",
    ):
        says(NOTEBOOK, sentence)
    assert most.test - four.test < (most.test_ci95**2 + four.test_ci95**2) ** 0.5
    assert models.seeds.isin([1, 2]).all()  # as the text says


def test_the_benchmark_beside_papers(models):
    papers = pd.read_csv(RESULTS / "published.csv").set_index("network").accuracy
    best = models.test.drop("convolutional").max()
    assert best < 94 and papers.max() == 95.8
    says(NOTEBOOK, f"It is missed: the best spiking network here gets {best:.1f} %.")
    says(NOTEBOOK, f"speakers left out gets {papers.filter(like='Nowotny').iloc[0]} %")
    brief = f"On remade SHD (20 classes): up to {best:.1f} %; papers: {papers.max()} (notebook 7)."
    assert brief in README
