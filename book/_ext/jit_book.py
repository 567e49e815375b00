"""What the book's pages need beyond Jupyter Book: captions, lazy images, the landing page's figure, how long a chapter takes,
a description and a picture for those who share a link, lighter drawings, a site map, no unused scripts."""
import base64
import io
import json
import re
from html import escape, unescape
from pathlib import Path

import nbformat
from docutils import nodes
from PIL import Image

CAPTION = re.compile(r"(Figure|Table) \d+\.\d+\.$")


PATHS = "application/vnd.jit-book.paths+json"  # jitlib.moving.MIME; the build need not load jax


def draw_on(app):
    """Write to _static what pages show of the notebooks' outputs: the landing page's figure, tagged `hero`, a small copy of each chapter's first
    figure, and what moving figures are drawn from, as scripts: these load from a file, too."""
    static = Path(app.srcdir, "book", "_static")
    app.moving = {}
    for folder in ("cards", "paths"):
        (static / folder).mkdir(exist_ok=True)
    for path in sorted(Path(app.srcdir, "book").glob("*.ipynb")):
        key, first = path.name[:2], True
        for cell in nbformat.read(path, as_version=4).cells:
            for data in (out.get("data", {}) for out in cell.get("outputs", [])):
                if png := data.get("image/png"):
                    png = base64.b64decode(png)
                    if first:
                        card = Image.open(io.BytesIO(png)).convert("RGB")
                        card.thumbnail((440, 300), Image.Resampling.LANCZOS)
                        card.quantize(64).save(static / "cards" / f"{key}.png", optimize=True)
                        first = False
                    if "hero" in cell.metadata.get("tags", []):
                        (static / "hero.png").write_bytes(png)
                if moving := data.get(PATHS):
                    text = json.dumps(moving, separators=(",", ":"))
                    (static / "paths" / f"{key}.js").write_text(f'(window.jitPaths ??= {{}})["{key}"] = {text};\n', encoding="utf8")
                    app.moving[key] = -(-len(moving["panels"]) // 3)


def player(app, key):
    """The place where player.js draws, as high as its rows of three panels; empty and hidden without scripts."""
    return nodes.raw("", f'<div class="player" data-key="{key}" style="--rows: {app.moving[key]}" hidden></div>', format="html")


def add_players(app, doctree, docname):
    """After the picture of a cell tagged `moving`, and after the landing page's."""
    if docname == app.config.root_doc and app.moving:
        picture = next(iter(doctree.findall(nodes.image)))
        picture.parent.insert(picture.parent.index(picture) + 1, player(app, min(app.moving)))
    for cell in list(doctree.findall(lambda n: isinstance(n, nodes.container) and "tag_moving" in n["classes"])):
        cell.append(player(app, Path(docname).name[:2]))


def load_players(app, pagename, templatename, context, doctree):
    """The scripts of a page with a moving figure, and of no other."""
    key = min(app.moving, default=None) if pagename == app.config.root_doc else Path(pagename).name[:2]
    if key in app.moving:
        for script in (f"paths/{key}.js", "player.js"):
            app.add_js_file(script, loading_method="defer")


def show_the_map(app, doctree, docname):
    """On the landing page: a picture in each row of the map, and links that stand alone in a paragraph as buttons."""
    if docname != app.config.root_doc:
        return
    for row in doctree.findall(nodes.row):
        link = next(iter(row.findall(nodes.reference)), None)
        number = re.search(r"\b(\d\d)_\w+\.html", link.get("refuri", "")) if link else None
        if number:
            tag = f'<img class="card-picture" src="../_static/cards/{number[1]}.png" alt="A figure of chapter {int(number[1])}" loading="lazy">'
            row.children[0].insert(0, nodes.raw("", tag, format="html"))
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section) and all(isinstance(n, nodes.reference) or not n.astext().strip() for n in paragraph.children):
            paragraph["classes"].append("buttons")


def dress(app, doctree, docname):
    """Fetch images when they are scrolled to; let the style sheet know a caption."""
    for image in doctree.findall(nodes.image):
        image["loading"] = "lazy"
    for paragraph in doctree.findall(nodes.paragraph):
        first = paragraph.children[0] if paragraph.children else None
        if isinstance(first, nodes.strong) and CAPTION.match(first.astext()):
            paragraph["classes"].append("caption-text")


WORDS_A_MINUTE = 180  # for a text with formulas


def words(node):
    """The text of a node without code, formulas and folded solutions."""
    skipped = (nodes.literal_block, nodes.math, nodes.math_block, nodes.image)
    if isinstance(node, (nodes.Text, nodes.raw)):
        return node.astext()
    return "" if isinstance(node, skipped) else (" " if isinstance(node, nodes.TextElement) else "\n").join(map(words, node.children))


def say_how_long(app, doctree, docname):
    """Under a chapter's title: how long it takes to read, and, as its text says, to run."""
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or not re.match(r"\d+\. ", title.astext()):
        return
    runs = re.search(r"[Tt]he chapter[^.]*? (runs\s+in [^.]*?)(?:\s+on two\s+cores[^.]*)?\.", doctree.astext())
    text = re.sub(r"<details.*?</details>|<[^>]+>", " ", words(doctree), flags=re.S)
    text = f"{max(2, round(len(text.split()) / WORDS_A_MINUTE))} minutes to read" + (f"; {runs[1]}" if runs else "")
    title.parent.insert(title.parent.index(title) + 1, nodes.paragraph("", " ".join(text.split()), classes=["how-long"]))


def describe(app, pagename, templatename, context, doctree):
    """Meta tags: what a search engine or a shared link shows of a page."""
    if doctree is None:
        return
    said = next(iter(doctree.findall(nodes.block_quote)), None) or next(iter(doctree.findall(lambda n: isinstance(n, nodes.paragraph) and isinstance(n.parent, nodes.section) and not n["classes"])), None)
    text = " ".join(re.sub(r"^Verdict\. ", "", said.astext()).split()) if said else ""
    text = re.sub(r"\\(\w+)", r"\1", re.sub(r"\\[^\w\s]", " ", text.replace(r"\epsilon", "eps")))  # a formula in words, without its small spaces
    text = " ".join(text.split())
    text = text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " …"
    picture = re.search(r'src="(?:\.\./)*(_images/[^"]+)"', context.get("body", ""))
    base = app.config.html_baseurl
    shown = {"og:title": context["title"], "og:description": text, "og:type": "article", "og:url": f"{base}{pagename}.html",
             "og:image": base + (picture[1] if picture else "_static/hero.png"), "og:site_name": app.config.html_title}
    plain = re.compile(r"<[^>]+>")
    tags = [f'<meta name="description" content="{escape(text)}">', '<meta name="twitter:card" content="summary_large_image">']
    tags += [f'<meta property="{name}" content="{escape(unescape(plain.sub("", str(value))))}">' for name, value in shown.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


GENERATED = ("book/api", "book/formulas", "book/timings")


def edit_the_source(app, pagename, templatename, context, doctree):
    """Let "Suggest edit" lead to the Markdown of a chapter, not to its notebook; a page that is made from the source has no such button."""
    edits = lambda button: button.get("label") == "source-edit-button"
    for group in context.get("header_buttons", ()):
        if "buttons" in group:
            group["buttons"] = [button for button in group["buttons"] if not edits(button) or pagename not in GENERATED]
            for button in filter(edits, group["buttons"]):
                button["url"] = button["url"].removesuffix(".ipynb").removesuffix(".md") + ".md"


HIGHLIGHTED = re.compile(r'(<div class="highlight"><pre>(?:<span></span>)?)(.*?)(</pre>)', re.S)


def hang(match):
    """Code whose folded lines go on to the right of where they began: each line a block that knows its indentation."""

    def block(line):
        text = re.sub(r"<[^>]+>", "", line)
        return f'<span class="line" style="--in: {len(text) - len(text.lstrip(" "))}">{line}</span>'

    return match[1] + "".join(map(block, re.findall(r".*\n|.+", match[2]))) + match[3]


BEFORE_A_MARK = re.compile(r'(<span class="math[^"]*">[^<]*</span>)([,.;:?!)]+)')


def touch_up(app, pagename, templatename, context, doctree):
    """A wide table scrolls in its own box, so the keyboard has to reach it; a folded line of code is indented; and no line begins with the comma
    after a formula."""
    if "body" in context:
        body = context["body"].replace('<table class="table">', '<table class="table" tabindex="0">')
        context["body"] = HIGHLIGHTED.sub(hang, BEFORE_A_MARK.sub(r'<span class="held">\1\2</span>', body))


HEAVY, COLOURS = 64 * 1024, 4096  # bytes; a drawing has fewer colours than a photograph


def lighten(app, exception):
    """Give a heavy drawing a palette of 256 colours: no shade moves by more than a sixteenth, and a third of the bytes is left."""
    for path in Path(app.outdir, "_images").glob("*.png") if exception is None else ():
        if path.stat().st_size > HEAVY and (picture := Image.open(path)).mode != "P":
            picture = picture.convert("RGB")
            if picture.getcolors(COLOURS):
                picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)


def map_the_site(app, exception):
    """sitemap.xml, for search engines."""
    if exception is None and app.builder.format == "html":
        pages = "".join(f"<url><loc>{app.config.html_baseurl}{name}.html</loc></url>" for name in sorted(app.env.found_docs))
        text = f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{pages}</urlset>\n'
        Path(app.outdir, "sitemap.xml").write_text(text, encoding="utf8")


def without_thebe(app, pagename, templatename, context, doctree):
    """Leave out the scripts for live cells: the book has none, and they are loaded twice, which is an error."""
    for kind in ("script_files", "css_files"):
        context[kind] = [f for f in context.get(kind, ()) if "thebe" not in f"{f} {getattr(f, 'attributes', '')}".lower()]


def setup(app):
    app.connect("builder-inited", draw_on)
    app.connect("doctree-resolved", dress)
    app.connect("doctree-resolved", show_the_map)
    app.connect("doctree-resolved", add_players)
    app.connect("html-page-context", load_players, priority=800)
    app.connect("doctree-resolved", say_how_long)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", edit_the_source, priority=600)  # after the theme has added the button
    app.connect("html-page-context", touch_up)
    app.connect("build-finished", lighten)
    app.connect("build-finished", map_the_site)
    app.connect("html-page-context", without_thebe, priority=900)  # after sphinx_thebe has added them
    return {"version": "5", "env_version": 5, "parallel_read_safe": True, "parallel_write_safe": True}
