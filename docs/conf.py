"""The documentation as a site: ``sphinx-build -W -b html docs OUT``; nothing is fetched."""

import bench

project = "joulemark"
author = "The joulemark maintainers"
version = release = bench.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
smartquotes = False
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"joulemark {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
