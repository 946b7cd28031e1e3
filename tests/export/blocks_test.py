"""Models of newer blocks, in every exported form: the same outputs, for any batch."""

import numpy as np
import pytest

from keras_vit import export
from keras_vit.export.exportable import Exportable
from keras_vit.export.forms import FORMS

MODELS = {
    "DINOv3's positions, RMS norms, no last norm": {
        "rotary": {"scale": "centred"}, "position_embedding": "none", "norm": "rms",
        "num_register_tokens": 1, "final_norm": "none",
    },
    "EVA's positions, learned frequencies, inner norms": {
        "rotary": {"reference_grid": 4, "pairs": "neighbours", "learned": True},
        "mlp": "swiglu", "gelu": None, "mlp_inner_norm": True, "attention_inner_norm": True,
    },
    "own tables of distances": {"relative_position_bias": {}, "position_embedding": "none"},
    "one MLP of distances": {
        "relative_position_bias": {"kind": "mlp", "shared": True, "hidden_size": 8},
        "norm": "rms", "mlp": "swiglu", "gelu": None, "patch_norm": True,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_what_the_model_says(name, kind, make_model, images, tmp_path):
    form = FORMS[name]
    for package in form.needs:
        pytest.importorskip(package)
    model = make_model(num_layers=2, hidden_size=32, **MODELS[kind])
    opened = export.open_exported(form.write(model, tmp_path / f"model{form.suffix}"))
    for count in (1, 3):
        expected = Exportable(model).outputs(images[:count])["logits"]
        outputs = opened(images[:count])["logits"]
        np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())
    # Where a patch lies counts, so that a form without positions would not pass.
    mirrored = opened(images[:1, :, ::-1])["logits"]
    assert np.abs(mirrored - opened(images[:1])["logits"]).max() > 1e-2
