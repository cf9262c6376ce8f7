"""How the documentation is built: `make docs`."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from weightflow import ExperimentConfig, __version__

project = "WeightFlow"
author = "The WeightFlow authors"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"WeightFlow {__version__}"
html_show_copyright = False

myst_heading_anchors = 3
default_role = "code"  # docstrings mark names by single backticks
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes of dataclasses are told once, by their class
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


class Configuration(SphinxDirective):
    """A table of all configuration values with their defaults, read from the code."""

    def run(self) -> list[nodes.Node]:
        """Return one list for each group."""
        lines: list[str] = []
        for group, field in ExperimentConfig.model_fields.items():
            for name, value in type(field.default).model_fields.items():
                told = f": {value.description}" if value.description else ""
                lines.append(f"- `{group}.{name}` = {getattr(value.default, 'value', value.default)}{told}")
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> None:
    """Add what only these pages need."""
    app.add_directive("configuration", Configuration)
