"""Flat parameters: what a cell has, a command line gives and a run may be called."""

import pytest

from shd_helpers.study.parameters import check_parameters, literal


@pytest.mark.parametrize("parameters", [{"y": 1.0}, {"x": "1e-3"}, {"x": True}, {"n": 1.0}])
def test_wrong_parameters_are_refused(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"parameter '{name}'"):
        check_parameters(parameters, {"x": 1.0, "n": 1})


def test_right_parameters_pass():
    check_parameters({"x": 1, "n": 2}, {"x": 1.0, "n": 1, "more": ""})
    assert literal("3", "") == "3"
    assert [literal(text) for text in ("1e-3", "3", "True", "shd")] == [0.001, 3, True, "shd"]
