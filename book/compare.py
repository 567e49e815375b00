"""When two runs of a code cell count as equal: the one definition that `execute.py`, nbval and the tests share.

* text is equal, except that a number after '≈' may differ by 2 % (or by one unit of its last digit where that
  unit is at most 10 % of the number), and by b where it is written '≈ a ± b', the larger of the two runs' b;
  b itself, often a measured spread over two or three seeds, may be up to ten times larger or smaller;
* a figure is equal as a picture: the same size, and the ink in blocks of pixels agrees (`FINE`, `COARSE`);
* outputs come in the same order and are of the same kinds, and progress bars on stderr do not count.
"""
import base64
import io
import re

import numpy as np
from PIL import Image

TAG = "chaotic"                 # a cell that draws samples of trained networks, or rounding itself: its pictures are compared with COARSE
PATHS = "application/vnd.jit-book.paths+json"  # what a moving figure is drawn from: as chaotic as the still one, which is compared
FINE = (8, 0.1, 0.25)           # block side in pixels, rms difference of the block means over the rms of the ink, worst difference (of 1)
BAND = 10                       # how much larger or smaller a measured '± b' may come out
COARSE = (32, 0.2, 0.5)         # processors differ in the last digit, and training amplifies it: where ink lies, not which dot

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
APPROX = re.compile(rf"(≈\s*)({NUMBER})(?:\s*±\s*({NUMBER}))?")
NOT_FINITE = re.compile(r"[≈±]\s*[-+]?(?:nan|inf)", re.IGNORECASE)
BAR = re.compile(r"\s*(?:.*\d+%\|.*\|.*|.*\d+\S* )\[\d\d:\d\d.*\](?:\x1b\[A)*\s*")


def without_bars(outputs):
    """The outputs without tqdm's progress bars: what else stands on stderr stays, and an empty stderr goes."""
    kept = []
    for out in outputs:
        if out.get("name") == "stderr":
            lines = re.split(r"(?<=[\r\n])", out["text"])
            out = {**out, "text": "".join(line for line in lines if not BAR.fullmatch(line))}
            if not out["text"].strip():
                continue
        kept.append(out)
    return kept


def tolerance(number, band):
    """How far another run may be from the stored '≈ number ± band' (both as printed)."""
    if band is not None:
        return abs(float(band))
    mantissa, _, exponent = number.lower().partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    size = abs(float(number))
    return max(0.02 * size, unit if unit <= 0.1 * size else 0.0)


def same_text(new, old):
    """Whether two printed texts agree, '≈' numbers within their tolerance and everything else exactly.  A number that is not finite agrees with nothing."""
    if NOT_FINITE.search(new) or NOT_FINITE.search(old):
        return False
    shape = lambda m: "≈" if m[3] is None else "≈±"
    if APPROX.sub(shape, new) != APPROX.sub(shape, old):
        return False
    for a, b in zip(APPROX.finditer(new), APPROX.finditer(old)):
        allowed = max(tolerance(b[2], b[3]), 0.0 if a[3] is None else tolerance(a[2], a[3]))  # three seeds may well underestimate a spread
        if abs(float(a[2]) - float(b[2])) > allowed * (1 + 1e-9):
            return False
        if b[3] is not None and not abs(float(b[3])) <= BAND * abs(float(a[3])) <= BAND**2 * abs(float(b[3])):
            return False
    return True


def picture(png):
    """The stored PNG (base64) as RGB over white paper."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def ink(image, side):
    """What white lacks, in 0..1 and for each colour, in the mean of every `side` x `side` block; beyond the last row and column there is none."""
    a = 1 - np.asarray(image, np.float32) / 255
    height, width = (-n % side for n in a.shape[:2])
    a = np.pad(a, ((0, height), (0, width), (0, 0)))
    return a.reshape(a.shape[0] // side, side, a.shape[1] // side, side, 3).mean((1, 3))


def picture_difference(new, old, limits=FINE):
    """Why two pictures differ, in words, or '' where they agree."""
    if new.size != old.size:
        return f"size {old.size} became {new.size}"
    side, allowed, allowed_peak = limits
    new, old = ink(new, side), ink(old, side)
    size, paper = float(np.linalg.norm(new - old)), 1e-9  # two blank pictures agree
    share, peak = size / max(float(np.sqrt(np.linalg.norm(new) * np.linalg.norm(old))), paper), float(abs(new - old).max())
    if share <= allowed and peak <= allowed_peak:
        return ""
    return f"by {share:.3f} of its ink (allowed {allowed}), worst block {peak:.3f} (allowed {allowed_peak})"


def kind(out):
    """What an output is, without what it says."""
    return (out["output_type"], out.get("name"), tuple(sorted(out.get("data", {}))))


def differences(new, old, tags=()):
    """Every way in which the outputs of a run differ from the stored ones: a list of sentences, empty if none.

    Both are lists of nbformat outputs with the streams of one name already joined.
    """
    new, old = without_bars(new), without_bars(old)
    if TAG in tags and not any("image/png" in out.get("data", {}) for out in old):
        return [f"tagged {TAG}, but no figure is stored"]
    if [kind(out) for out in new] != [kind(out) for out in old]:
        return [f"outputs stored: {[kind(o) for o in old]}\noutputs now: {[kind(o) for o in new]}"]
    found = []
    for i, (a, b) in enumerate(zip(new, old)):
        if a.get("metadata", {}) != b.get("metadata", {}):
            found.append(f"output {i}: metadata {b['metadata']} became {a['metadata']}")
        pairs = {"text": (a["text"], b["text"])} if "text" in a else {}
        if TAG in tags and PATHS in b.get("data", {}):
            a, b = ({**out, "data": {mime: value for mime, value in out["data"].items() if mime != PATHS}} for out in (a, b))
        pairs |= {mime: (a["data"][mime], b["data"][mime]) for mime in a.get("data", {})}
        for mime, (now, then) in pairs.items():
            if mime == "image/png":
                why = picture_difference(picture(now), picture(then), COARSE if TAG in tags else FINE)
                found += [f"output {i}: figure differs: {why}"] if why else []
            elif not (same_text(now, then) if isinstance(now, str) else now == then):
                found.append(f"output {i}: {mime} differs\n--- stored\n{then}\n--- now\n{now}")
    return found
