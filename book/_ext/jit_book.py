"""What the book's pages need beyond Jupyter Book: captions, lazy images and the landing page's figure."""
import base64
import re
from pathlib import Path

import nbformat
from docutils import nodes

CAPTION = re.compile(r"(Figure|Table) \d+\.\d+\.$")


def hero(app):
    """Write the figure of the cell tagged `hero` to _static, where the landing page finds it."""
    for path in sorted(Path(app.srcdir, "book").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for out in cell.get("outputs", []) if "hero" in cell.metadata.get("tags", []) else []:
                if png := out.get("data", {}).get("image/png"):
                    Path(app.srcdir, "book", "_static", "hero.png").write_bytes(base64.b64decode(png))


def dress(app, doctree, docname):
    """Fetch images when they are scrolled to; let the style sheet know a caption."""
    for image in doctree.findall(nodes.image):
        image["loading"] = "lazy"
    for paragraph in doctree.findall(nodes.paragraph):
        first = paragraph.children[0] if paragraph.children else None
        if isinstance(first, nodes.strong) and CAPTION.match(first.astext()):
            paragraph["classes"].append("caption-text")


def setup(app):
    app.connect("builder-inited", hero)
    app.connect("doctree-resolved", dress)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
