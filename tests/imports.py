"""What a line of Python makes a new interpreter load."""

import subprocess
import sys


def loaded_by(code: str, modules: set[str]) -> set[str]:
    """Return those of the modules that are there after the code."""
    ask = f"import sys; {code}; print(*({modules!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    return {*run.stdout.split()}
