"""How Sphinx builds the site of these documents: ``make docs``.

The source folder is the repository, so that pages may link to each other and to any file, as they
do where they are read on their own. A page that is not listed in ``PAGES`` fails the build.
"""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

PAGES = (
    "docs/index",
    "docs/imports",
    "docs/reso",
    "docs/graphql",
    "docs/twin",
    "docs/lifecycle",
    "docs/catalogue",
    "docs/monitoring",
    "examples/README",
    "sample/README",
    "ARCHITECTURE",
    "CONTRIBUTING",
    "CHANGELOG",
)

project = "Portfolio Twin"
root_doc = "README"
include_patterns = [f"{page}.md" for page in (root_doc, "docs/*", *PAGES)]
exclude_patterns = [".*", "**/node_modules"]  # not even looked into

extensions = ["myst_parser"]
myst_heading_anchors = 3
highlight_language = "text"

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_copyright = False
html_use_index = False


def add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """List the pages in the navigation, which other readers of README.md have no use for."""
    if page == root_doc:
        source[0] += "\n".join(("", "```{toctree}", ":hidden:", *PAGES, "```", ""))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
    # Mermaid would draw a diagram with a script of several megabytes: its source is shown instead.
    app.add_lexer("mermaid", TextLexer)
