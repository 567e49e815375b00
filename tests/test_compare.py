"""The regression catches what it must: each planted fault is seen, and what may vary is let through."""
import base64
import io
import sys
from pathlib import Path

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


def figure(x):
    image = Image.new("RGB", (200, 120), "white")
    ImageDraw.Draw(image).rectangle((x, 30, x + 40, 90), fill="#0072B2")
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"output_type": "display_data", "metadata": {}, "data": {"image/png": base64.b64encode(file.getvalue()).decode()}}


def test_figures():
    text = {"output_type": "stream", "name": "stdout", "text": "a"}
    assert differences([figure(20)], [figure(20)]) == []
    assert differences([figure(30)], [figure(20)])
    assert differences([figure(20), figure(90)], [figure(90), figure(20)])
    assert differences([figure(20)], [text]) and differences([text, figure(20)], [text])
    assert differences([text], [text], ["chaotic"])
    assert differences([figure(140)], [figure(20)], ["chaotic"])
