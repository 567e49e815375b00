"""What the book's pages need beyond Jupyter Book: captions, lazy images, the landing page's figure, no unused scripts."""
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


def without_thebe(app, pagename, templatename, context, doctree):
    """Leave out the scripts for live cells: the book has none, and they are loaded twice, which is an error."""
    for kind in ("script_files", "css_files"):
        context[kind] = [f for f in context.get(kind, ()) if "thebe" not in f"{f} {getattr(f, 'attributes', '')}".lower()]


def setup(app):
    app.connect("builder-inited", hero)
    app.connect("doctree-resolved", dress)
    app.connect("html-page-context", without_thebe, priority=900)  # after sphinx_thebe has added them
    return {"parallel_read_safe": True, "parallel_write_safe": True}
