"""The built site as a reader meets it: in Chromium, offline, in light, dark and on a phone."""
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
PAGES = [f"book/{md.stem}" for md in sorted(ROOT.glob("book/*.md"))]
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["repository"]
MODES = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
NOT_OURS = {"label-content-name-mismatch", "region",  # in sphinx-book-theme's own buttons and search field
            "empty-table-header"}                     # does not see a formula; we look for text ourselves
RAW = re.compile(r"\$[^\s\d]|\$\$|\|\s*(?:---|—)\s*\||\\[(\[]|\\(?:begin|frac|tag|epsilon|lVert|mathbb)\b|^\s*(?:```|:::)|\{(?:code-cell|math|eq|ref|doc)\}", re.M)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def serve(folder):
    """A server for `folder` on this machine; returns (server, address)."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture(scope="session")
def site():
    built = subprocess.run([Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "-W", "-n", "--keep-going", "-q"],
                           capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    server, address = serve(HTML)
    yield address
    server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """The machine's Chromium or Chrome, else the one `playwright install chromium` fetched.  No browser is a failure, not a skip."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    with sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=found, args=["--disable-background-networking"])
        except Error as error:
            pytest.fail(f"no browser could be started; install one with: make browser\n{error.message}", pytrace=False)
        yield opened
        opened.close()


def problems(browser, site, page, mode):
    """What is wrong with a page, as a list of sentences."""
    context = browser.new_context(**MODES[mode])
    tab, found = context.new_page(), []

    def gate(route):
        if route.request.url.startswith((site, "data:")):
            return route.continue_()
        found.append(f"asks for {route.request.url}")
        route.abort()

    tab.route("**/*", gate)
    tab.on("pageerror", lambda error: found.append(f"script error: {error}"))
    tab.on("response", lambda r: found.append(f"status {r.status}: {r.url}") if r.status >= 400 else None)
    tab.goto(site + page)
    tab.wait_for_function("!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)")
    tab.evaluate("""async () => {  // lazy pictures load too
        const images = [...document.querySelectorAll('main img')];
        images.forEach(i => { i.loading = 'eager'; });
        await Promise.allSettled(images.map(i => i.decode()));
    }""")
    written, typeset = tab.locator("span.math, div.math").count(), tab.locator("mjx-container").count()
    if typeset < written:
        found.append(f"{written - typeset} of {written} formulas are not typeset")
    cut = """[...document.querySelectorAll('div.math')].filter(d => d.querySelector('mjx-math')?.getBoundingClientRect().left
             < d.getBoundingClientRect().left - 2).map(d => d.textContent.slice(0, 40))"""
    found += [f"formula cut on its left: {text}" for text in tab.evaluate(cut)]
    over = """(document.querySelectorAll('main details:not(.hide)').forEach(d => { d.open = true; }),
              [...document.querySelectorAll('main :is(p, li) mjx-container:not([display])')].filter(m => !m.closest('table')
              && m.firstElementChild.getBoundingClientRect().right > m.closest('p, li').getBoundingClientRect().right + 2).map(m => m.textContent))"""
    found += [f"formula beyond the end of its line: {text}" for text in tab.evaluate(over)]
    begins = """[...document.querySelectorAll('main span.math')].filter(m => {
        const next = m.nextSibling, line = document.createRange();
        if (next?.nodeType !== 3 || !/^[,.;:?!)]/.test(next.data)) return false;
        line.setStart(next, 0); line.setEnd(next, 1);
        return line.getBoundingClientRect().top > m.getBoundingClientRect().bottom;
    }).map(m => m.textContent + m.nextSibling.data.slice(0, 12))"""
    found += [f"line begins with the mark after a formula: {text}" for text in tab.evaluate(begins)]
    folds = """[...document.querySelectorAll('main .highlight pre')].flatMap(pre => pre.querySelector('.line') ? [...pre.querySelectorAll('.line')] : [pre]).filter(line => {
        const texts = document.createTreeWalker(line, NodeFilter.SHOW_TEXT), shown = document.createRange();
        while (texts.nextNode() && !/\\S/.test(texts.currentNode.data));
        if (!texts.currentNode.data?.trim()) return false;
        shown.setStart(texts.currentNode, texts.currentNode.data.search(/\\S/));
        shown.setEndAfter(line.lastChild);
        const boxes = [...shown.getClientRects()].filter(b => b.width);
        return boxes.some(b => b.left < boxes[0].left - 1);
    }).map(line => line.textContent.trim().slice(0, 40))"""
    found += [f"code goes on to the left of where its line began: {text}" for text in tab.evaluate(folds)]
    if mode != "phone":
        wide = "[...document.querySelectorAll('div.math')].filter(d => d.scrollWidth > d.clientWidth + 1).map(d => d.textContent.slice(0, 40))"
        found += [f"formula wider than the page: {text}" for text in tab.evaluate(wide)]
    found += [f"formula error: {e}" for e in tab.locator("mjx-merror").all_inner_texts()]
    text = tab.evaluate("""() => {
        const copy = document.querySelector('main').cloneNode(true);
        copy.querySelectorAll('pre, code, script, style, mjx-container').forEach(e => e.remove());
        return copy.textContent;
    }""")
    found += [f"raw markup: {m!r}" for m in RAW.findall(text)]
    for image in tab.evaluate("[...document.querySelectorAll('main img')].map(i => [i.getAttribute('src'), i.alt, i.naturalWidth])"):
        if not image[1] or "_images" in image[1]:
            found.append(f"picture without alt text: {image[0]}")
        if not image[2]:
            found.append(f"picture not shown: {image[0]}")
    if not tab.evaluate("[...document.querySelectorAll('main th')].every(th => th.textContent.trim())"):
        found.append("table column without a header")
    wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        found.append(f"scrolls sideways by {wide} pixels")
    for rule in Axe().run(tab, options={"resultTypes": ["violations"], "preload": False}).response["violations"]:
        if rule["id"] not in NOT_OURS:
            found += [f"axe, {rule['id']}: {node['html'][:120]}" for node in rule["nodes"]]
    context.close()
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("page", PAGES)
def test_page(site, browser, page, mode):
    assert problems(browser, site, f"{page}.html", mode) == []


def test_the_pages_that_the_builder_adds_ask_nothing_of_another_host(site, browser):
    added = {path.relative_to(HTML).with_suffix("").as_posix() for path in HTML.rglob("*.html") if "_static" not in path.parts} - set(PAGES)
    assert added == {"index", "search", "genindex"}  # the first leads to the book's first page
    for page in ("search", "genindex"):
        assert [found for found in problems(browser, site, f"{page}.html", "light") if found.startswith("asks for")] == []
    assert re.search(r"http-equiv=.?Refresh.*url=book/index.html", (HTML / "index.html").read_text(encoding="utf8"), re.I)


def broken_links(folder):
    """Links of the folder's pages to files or anchors that are not there."""
    pages = {path.relative_to(folder).as_posix(): BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")
             for path in folder.rglob("*.html") if "_static" not in path.parts}
    anchors = {name: {tag["id"] for tag in page.find_all(id=True)} | {""} for name, page in pages.items()}
    broken = []
    for name, page in pages.items():
        for tag in page.find_all(href=True):
            if re.match(r"[a-z]+:", tag["href"]):
                continue
            target, anchor = urldefrag(unquote(urljoin(name, tag["href"])))
            target = target.partition("?")[0]
            if not (folder / target).is_file() or target in anchors and anchor not in anchors[target]:
                broken.append(f"{name}: {tag['href']}")
    return broken


def test_internal_links(site):
    assert broken_links(HTML) == []


@pytest.mark.parametrize("page", [p for p in PAGES if re.search(r"/\d\d_", p)])
def test_colab_button(site, page):
    links = [a["href"] for a in BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf8"), "html.parser").find_all("a", href=True)]
    where = REPOSITORY["url"].removeprefix("https://github.com/")
    assert f"https://colab.research.google.com/github/{where}/blob/{REPOSITORY['branch']}/{page}.ipynb" in links


WATCH = """window.shift = 0;
new PerformanceObserver(list => list.getEntries().forEach(e => { if (!e.hadRecentInput) window.shift += e.value; })).observe({type: 'layout-shift', buffered: true});"""
BUDGET = {"layout shift": 0.3, "own KiB": 1024}  # a paragraph gains or loses a line when its formulas are typeset; the time of the first paint is the machine's, so it is printed and not asserted


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_light_and_does_not_jump(site, browser, page):
    """From this machine's own server, read to its end on a phone; own: without the shared scripts, styles and letters."""
    context = browser.new_context(**MODES["phone"])
    tab = context.new_page()
    tab.add_init_script(WATCH)
    tab.goto(f"{site}{page}.html")
    tab.wait_for_function("!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)")
    for _ in range(tab.evaluate("Math.ceil(document.documentElement.scrollHeight / innerHeight)")):
        tab.mouse.wheel(0, 700)
        tab.wait_for_timeout(20)
    tab.wait_for_load_state("networkidle")
    found = tab.evaluate("""() => {
        const all = [performance.getEntriesByType('navigation')[0], ...performance.getEntriesByType('resource')];
        const own = all.filter(e => !e.name.includes('/_static/') || e.name.includes('/_static/paths/') || e.name.includes('/_static/cards/'));
        return {'first paint, ms': performance.getEntriesByName('first-contentful-paint')[0].startTime, 'layout shift': window.shift,
                'own KiB': own.reduce((sum, e) => sum + e.encodedBodySize, 0) / 1024};
    }""")
    context.close()
    print(page, {name: round(value, 2) for name, value in found.items()})
    assert all(found[name] <= most for name, most in BUDGET.items()), found


@pytest.mark.parametrize("page", PAGES)
def test_suggest_edit_leads_to_the_source(site, page):
    soup = BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf8"), "html.parser")
    links = {a["href"] for a in soup.find_all("a", href=True) if "/edit/" in a["href"]}
    if page in ("book/api", "book/formulas", "book/timings"):  # made from the source: nothing to edit
        assert not links
    else:
        assert links == {f"{REPOSITORY['url']}/edit/{REPOSITORY['branch']}/{page}.md"} and (ROOT / f"{page}.md").is_file()


@pytest.mark.parametrize("page", [p for p in PAGES if re.search(r"/(0[1-9]|1\d)_", p)])
def test_on_paper_the_text_stands_alone_and_nothing_is_cut(site, browser, page):
    """As printed on A4 (170 mm of text at 96 pixels an inch): no side bars, still pictures, open solutions, nothing wider than the paper."""
    context = browser.new_context(viewport={"width": 643, "height": 900})
    tab = context.new_page()
    tab.emulate_media(media="print")
    tab.goto(f"{site}{page}.html")
    tab.wait_for_function("MathJax.startup.promise.then(() => true)")
    shown = "s => [...document.querySelectorAll(s)].some(e => e.checkVisibility() && e.getBoundingClientRect().height > 0)"
    for selector in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".prev-next-footer", ".player", "button.copybtn"):
        assert not tab.evaluate(shown, selector), selector
    assert tab.evaluate("[...document.querySelectorAll('main details:not(.hide)')].every(d => d.querySelector('p, div').getBoundingClientRect().height > 0)")
    assert tab.evaluate("[...document.querySelectorAll('main :is(img, table, pre)')].filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect()).every(b => b.right < innerWidth + 1)")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_shared_link_shows_words_and_a_picture(site, page):
    soup = BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf8"), "html.parser")
    shown = {tag.get("property") or tag.get("name"): tag["content"] for tag in soup.find_all("meta", content=True)}
    base = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))["html"]["baseurl"]
    assert 40 <= len(shown["description"]) <= 202 and "$" not in shown["description"] and "\\" not in shown["description"]
    assert shown["og:url"] == f"{base}{page}.html"
    mapped = re.findall(r"<loc>(.*?)</loc>", (HTML / "sitemap.xml").read_text(encoding="utf8"))
    assert set(mapped) == {f"{base}{name}.html" for name in PAGES}
    assert shown["og:image"].startswith(base) and (HTML / shown["og:image"].removeprefix(base)).is_file()
    assert shown["og:description"] == shown["description"] and shown["og:title"] == soup.find("h1").get_text().rstrip("#")
    if re.search(r"/\d\d_", page):
        assert "/_images/" in shown["og:image"]
        assert re.fullmatch(r"\d+ minutes to read; runs in [\w ]+", soup.find("p", class_="how-long").get_text())


@pytest.mark.parametrize(("page", "panels"), [("book/index", 3), ("book/07_the_experiment", 3), ("book/08_all_nine_cells", 9)])
def test_the_moving_figure_moves_by_keyboard_and_leaves_a_picture_without_scripts(site, browser, page, panels):
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(f"{site}{page}.html")
    tab.wait_for_selector(".player canvas")
    said = lambda: [canvas.get_attribute("aria-label") for canvas in tab.locator(".player canvas").all()]
    inked = lambda: tab.evaluate("[...document.querySelectorAll('.player canvas')].map(c => c.toDataURL().length)")
    still = "xpath=preceding-sibling::*[1]"
    assert tab.locator(".player").first.locator(still).count() == 1 and tab.locator(".player").first.locator(still).is_hidden()
    assert len(said()) == panels and all("D = 512, t = 1.00" in text for text in said())
    assert "outside 0 %" in said()[0] or "outside 1 %" in said()[0]
    end = inked()
    tab.locator(".player input").nth(0).focus()
    tab.keyboard.press("Home")
    assert all("t = 0.00" in text for text in said()) and inked() != end
    tab.locator(".player input").nth(1).focus()
    tab.keyboard.press("Home")
    assert all("D = 2," in text for text in said())
    tab.get_by_role("button", name="Play").click()
    tab.wait_for_function("document.querySelector('.player canvas').ariaLabel.includes('t = 1.00') || document.querySelector('.player canvas').getAttribute('aria-label').includes('t = 1.00')")
    context.close()
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{site}{page}.html")
    assert tab.locator(".player").first.is_hidden() and tab.locator(".player").first.locator(still).is_visible()
    context.close()
    assert sum(path.stat().st_size for path in (HTML / "_static").glob("p*/*.js")) + (HTML / "_static" / "player.js").stat().st_size < 1_000_000


def test_on_a_phone_nothing_covers_the_controls_of_a_moving_figure(site, browser):
    """Scrolling up brings the theme's "back to top", at the place where the controls stick."""
    context = browser.new_context(**MODES["phone"])
    tab = context.new_page()
    tab.goto(f"{site}book/08_all_nine_cells.html")
    tab.wait_for_selector(".player canvas")
    tab.wait_for_function("MathJax.startup.promise.then(() => true)")
    tab.evaluate("document.querySelector('.player-panels').scrollIntoView({behavior: 'instant'})")
    tab.wait_for_timeout(500)
    tab.evaluate("scrollBy({top: -100, behavior: 'instant'})")
    tab.locator("#pst-back-to-top").wait_for(state="visible")
    on_top = "e => { const b = e.getBoundingClientRect(); return document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2) === e; }"
    assert all(control.evaluate(on_top) for control in tab.locator(".player-controls :is(button, input)").all())
    context.close()


PLANTED = {
    "asks for": "<img src='http://example.invalid/x.png' alt='x'>",
    "script error": "<script>nothing.there()</script>",
    "status 404": "<img src='missing.png' alt='x'>",
    "are not typeset": r"<span class='math'>\(x\)</span>",
    "formula cut on its left": "<div class='math'><mjx-container><mjx-math style='margin-left: -30px'>x</mjx-math></mjx-container></div>",
    "formula beyond the end of its line": "<p style='width: 99px'><mjx-container><mjx-math style='display: inline-block; width: 200px'>x</mjx-math></mjx-container></p>",
    "line begins with the mark after a formula": "<p style='width: 50px'><span class='math'><mjx-container style='display: inline-block; width: 50px'><mjx-math>x</mjx-math></mjx-container></span>, y</p>",
    "code goes on to the left": "<div class='highlight'><pre style='width: 99px; white-space: pre-wrap'>    one two three four five six</pre></div>",
    "formula wider than the page": "<div class='math' style='overflow: auto'><p style='width: 3000px'>x</p></div>",
    "formula error": "<mjx-container><mjx-merror>x</mjx-merror></mjx-container>",
    "raw markup": "<p>where $x$ is</p>",
    "picture without alt text": "<img src='dot.svg'>",
    "without a header": "<table><tr><th></th></tr><tr><td>1</td></tr></table>",
    "scrolls sideways": "<div style='width: 3000px'>x</div>",
    "axe, color-contrast": "<p style='color: #ddd; background: #fff'>faint</p>",
}


@pytest.mark.parametrize("fault", ["", *PLANTED])
def test_planted_fault_is_seen(browser, tmp_path, fault):
    (tmp_path / "dot.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    (tmp_path / "page.html").write_text(
        "<!doctype html><html lang='en'><head><title>t</title><link rel='icon' href='dot.svg'></head>"
        f"<body><main><h1>t</h1><img src='dot.svg' alt='a dot'>{PLANTED.get(fault, '')}</main></body></html>")
    server, address = serve(tmp_path)
    try:
        found = problems(browser, address, "page.html", "light")
    finally:
        server.shutdown()
    assert any(fault in f for f in found) if fault else found == []


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "a.html").write_text("<a href='b.html#there'>b</a><a href='b.html#gone'>b</a><a href='c.html'>c</a><a href='#'>top</a>")
    (tmp_path / "b.html").write_text("<p id='there'>x</p>")
    assert broken_links(tmp_path) == ["a.html: b.html#gone", "a.html: c.html"]
