"""The regression catches what it must: each planted fault is seen, and what may vary is let through."""
import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1] / "book"))
from compare import differences, same_text  # noqa: E402


@pytest.mark.parametrize("new, old, same", [
    ("x ≈ 1.01", "x ≈ 1.00", True), ("x ≈ 1.10", "x ≈ 1.00", False), ("x 1.01", "x 1.00", False),
    ("≈ 1.2 ± 0.3", "≈ 1.0 ± 0.2", True), ("≈ 1.3 ± 0.3", "≈ 1.0 ± 0.2", True), ("≈ 1.4 ± 0.3", "≈ 1.0 ± 0.2", False), ("≈ 0.7 ± 0.2", "≈ 1.0 ± 0.3", True), ("≈ 1.3 ± 0.2", "≈ 1.0 ± 0.2", False), ("≈ 1.0 ± 1.0", "≈ 1.0 ± 0.2", True), ("≈ 1.0 ± 2.5", "≈ 1.0 ± 0.2", False),
    ("≈ nan", "≈ nan", False), ("≈ 1.0", "≈ 1.0 ± 0.2", False),
])
def test_text(new, old, same):
    assert same_text(new, old) == same


def display(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"output_type": "display_data", "metadata": {}, "data": {"image/png": base64.b64encode(file.getvalue()).decode()}}


def figure(x, color="#0072B2"):
    image = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(image).rectangle((x, 30, x + 40, 90), fill=color)
    return display(image)


def cloud(seed, middle=60, color="#0072B2"):
    image = Image.new("RGB", (200, 120), "white")
    for x, y in np.random.default_rng(seed).normal((middle, 60), 15, (2000, 2)):
        ImageDraw.Draw(image).point((x, y), fill=color)
    return display(image)


def test_figures():
    text = {"output_type": "stream", "name": "stdout", "text": "a"}
    assert differences([figure(20)], [figure(20)]) == []
    assert differences([figure(30)], [figure(20)])
    assert differences([figure(20), figure(90)], [figure(90), figure(20)])
    assert differences([figure(20)], [text]) and differences([text, figure(20)], [text])
    assert differences([text], [text], ["chaotic"])
    assert differences([figure(140)], [figure(20)], ["chaotic"])
    assert differences([figure(20, "#D55E00")], [figure(20)]) and differences([figure(20, "#D55E00")], [figure(20)], ["chaotic"])
    blank = display(Image.new("RGB", (200, 120), "white"))
    assert differences([blank], [blank]) == [] and differences([blank], [figure(20)]) and differences([figure(20)], [blank], ["chaotic"])


def test_chaotic_figures():
    """Other dots of the same cloud pass; another place, colour or figure does not."""
    assert differences([cloud(1)], [cloud(2)]) and differences([cloud(1)], [cloud(2)], ["chaotic"]) == []
    for wrong in (cloud(1, 84), cloud(1, 140), cloud(1, 60, "#D55E00"), figure(60)):
        assert differences([wrong], [cloud(2)], ["chaotic"])
