"""Tables of circuits: rows that other processes add stay."""

from types import SimpleNamespace

import pandas as pd

from evidence import circuit_tables


def test_rows_that_another_process_adds_during_a_measurement_stay(tmp_path):
    path = tmp_path / "circuit_x.csv"
    parameters = {"held_out": 3, "seed": 0}
    one, other = (
        SimpleNamespace(about={"hash": name, "parameters": parameters}) for name in ("1", "2")
    )

    def measure(_):
        return pd.DataFrame({"accuracy": [0.5]})

    def measure_slowly(_):
        circuit_tables.add_to_table(path, other, measure)
        return measure(_)

    circuit_tables.add_to_table(path, one, measure_slowly)
    assert pd.read_csv(path).run.tolist() == [2, 1]

    def measure_the_same(_):
        circuit_tables.add_to_table(path, third, measure)
        return measure(_)

    third = SimpleNamespace(about={"hash": "3", "parameters": parameters})
    circuit_tables.add_to_table(path, third, measure_the_same)
    assert pd.read_csv(path).run.tolist() == [2, 1, 3]
