"""What `docs/features.md` shows, runs."""

import pathlib
import re

import numpy as np
import pytest
from PIL import Image

GUIDE = pathlib.Path(__file__).parent.parent / "docs" / "features.md"


@pytest.mark.slow
def test_a_linear_head_learns_to_segment_and_the_pyramid_has_its_scales(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    for name, level in (("a", 0), ("b", 255)):
        Image.fromarray(np.full((64, 64, 3), level, "uint8")).save(f"{name}.png")
    names = {}
    examples = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        exec(compile(example, GUIDE.name, "exec"), names)
    # Three quarters of the pixels are background.
    assert names["history"].history["accuracy"][-1] > 0.85
    shown = ", ".join(f"{name} {shape}" for name, shape in names["shapes"].items())
    assert f"# {shown}\n" in GUIDE.read_text(encoding="utf-8")
    assert list(names["numbers"][0]) == [0, 1] and not names["backbone"].trainable_weights
