"""Docstrings of the documented API describe every parameter and what comes back.

numpydoc's checks: PR01 (a parameter isn't documented), PR02 (a documented parameter doesn't exist)
and RT01 (nothing is said about what is returned).
"""

import dataclasses
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

from tests.builders.documentation import names_of_the_reference

# numpydoc looks at every attribute of a widget, deprecated ones included
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CHECKS = {"PR01", "PR02", "RT01"}
API = [f"{module}.{name}" for module, names in names_of_the_reference().items() for name in names]


def with_methods(name):
    """Return the name of a function or class, and those of the public methods of a class."""
    thing = pkgutil.resolve_name(name)
    if not inspect.isclass(thing):
        return [name]
    full = f"{thing.__module__}.{thing.__qualname__}"
    methods = {each: getattr(value, "__func__", value) for each, value in vars(thing).items()}
    public = [each for each in methods if not each.startswith("_")]
    found = [f"{full}.{each}" for each in public if inspect.isfunction(methods[each])]
    return found if has_commented_fields(thing) else [full, *found]


def has_commented_fields(kind):
    """Return whether a class lists its parameters as fields, with comments instead of a section."""
    has_fields = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return has_fields and "Parameters\n" not in (kind.__doc__ or "")


@pytest.mark.parametrize("name", API)
def test_every_parameter_and_return_value_is_documented(name):
    for each in with_methods(name):
        errors = validate(each)["errors"]
        assert [text for code, text in errors if code in CHECKS] == [], each
