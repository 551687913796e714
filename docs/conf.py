"""How ``make site`` builds README, docs and notebooks: as committed, without the network."""

from pathlib import Path

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

project = "SHD downsizing study"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"  # to which `_add_contents` adds the tree of all pages
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
    "evidence/README.md",
    "evidence/*/*.md",
    "evidence/train.ipynb",
    "applications/*/README.md",
    "packages/*/README.md",
    "packages/corpus/cochlea.md",
    "packages/engine/details.md",
    "packages/judge/PROTOCOL.md",
    "results/README.md",
    "sweeps/*.md",
    "results/*/*.md",
    "docs/*",
    "notebooks/*.ipynb",
]
exclude_patterns = ["build", "data", "runs", ".venv", "docs/contents.rst"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings have types, with shapes and units
napoleon_use_rtype = False
html_theme = "furo"
html_title = project
html_extra_path = [
    "index.html",
    "../results/four_sizes.js",
    "../img/four_sizes.png",
]  # the first page
templates_path = ["templates"]
_parts = [f"sidebar/{part}.html" for part in ("brand", "search", "scroll-start", "navigation")]
html_sidebars = {"**": [*_parts, "say.html", "sidebar/scroll-end.html"]}  # furo's, and the page
html_show_sphinx = False
nb_execution_mode = "off"  # the page shows what is committed
nb_render_markdown_format = "myst"  # links in printed sentences lead to pages, too
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]


def _inline(translator, node) -> None:
    _write(translator, node, "inline")


def _block(translator, node) -> None:
    _write(translator, node, "block")


def _write(translator, node, display: str) -> None:
    """Write a formula as MathML, which browsers draw without a script from elsewhere."""
    formula = node.astext()
    if "&" in formula and r"\begin" not in formula:  # several lines of a docstring
        lines = r" \\ ".join(formula.split("\n\n")).replace(r"\_", "_")
        formula = rf"\begin{{aligned}}{lines}\end{{aligned}}"
    translator.body.append(tex2mathml(formula, as_block=display == "block"))
    raise SkipNode


def _add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Add the tree of all pages to README, where GitHub would print it as text."""
    if name == root_doc:
        contents = Path(app.confdir, "contents.rst").read_text(encoding="utf-8")
        source[0] += f"\n```{{eval-rst}}\n{contents}```\n"


def setup(app: Sphinx) -> None:
    """Register the formulas' renderer, and what adds the tree of pages."""
    app.connect("source-read", _add_contents)
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
