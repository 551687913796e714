"""The cards of the pretrained networks: one for each, as the script writes them."""

import re

from tests import RESULTS

PAGE = (RESULTS / "networks" / "README.md").read_text(encoding="utf-8")
FILES = sorted(path.stem for path in (RESULTS / "networks").glob("*.npz"))


def test_each_network_has_one_card():
    named = []
    for name in re.findall(r"^## (\w+(?: to \w+)?)$", PAGE, re.M):
        first, _, last = name.partition(" to ")
        if not last:
            named.append(first)
            continue
        kind = first.rpartition("_")[0]
        named += [f"{kind}_{seed}" for seed in range(int(last[-1]) + 1)]
    assert sorted(named) == FILES
