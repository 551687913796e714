"""How ``make site`` builds README, docs and notebooks: as committed, without the network."""

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

project = "SHD downsizing study"
extensions = ["myst_nb"]
root_doc = "docs/contents"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "*/README.md",
    "results/*/README.md",
    "docs/*",
    "notebooks/*.ipynb",
]
exclude_patterns = ["build", "data", "runs", ".*"]
html_theme = "furo"
html_title = project
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
    translator.body.append(tex2mathml(node.astext(), as_block=display == "block"))
    raise SkipNode


def setup(app: Sphinx) -> None:
    """Register the formulas' renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
