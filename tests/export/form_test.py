"""What all forms have in common: arguments, comparison, and nothing left after a failure."""

import dataclasses

import numpy as np
import pytest

from keras_vit.export.exportable import Exportable
from keras_vit.export.form import Form, write_form
from keras_vit.export.forms import FORMS


def fake(run=None, **changes):
    """A form whose runtime is the model itself."""
    form = Form("fake", "fake file", ".fake", None, run, **changes)

    def write(model, path, run=run, **options):
        def make(exportable, file, names):
            file.write_text("written")

        changed = dataclasses.replace(form, run=lambda file: run or Exportable(model).outputs)
        return write_form(changed, model, path, make, labels=None, **options)

    return write


@pytest.fixture(scope="module")
def model(make_model):
    return make_model()


def test_a_form_that_agrees_is_kept_with_its_metadata(tmp_path, model):
    path = fake()(model, tmp_path / "new" / "a.fake", batch_size=2)
    assert path == tmp_path / "new" / "a.fake"
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.fake", "a.fake.json"]


@pytest.mark.parametrize("output", ["features", "logits", "probabilities"])
@pytest.mark.parametrize("factor", [1.01, np.nan])
def test_a_form_that_disagrees_is_not_kept(tmp_path, model, output, factor):
    def run(images):
        outputs = Exportable(model).outputs(images)
        return outputs | {output: outputs[output] * factor}

    with pytest.raises(RuntimeError, match=f"Expected `{output}` of the fake file within 0.001"):
        fake(run)(model, tmp_path / "a.fake")
    assert not list(tmp_path.iterdir())


def test_a_form_with_an_output_of_another_shape_is_not_kept(tmp_path, model):
    def run(images):
        outputs = Exportable(model).outputs(images)
        return outputs | {"logits": outputs["logits"][..., None]}  # it would broadcast

    with pytest.raises(RuntimeError, match="Expected `logits` of shape"):
        fake(run)(model, tmp_path / "a.fake")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("run", [lambda images: 1 / 0, lambda images: {"logits": images}])
def test_a_form_that_fails_or_lacks_an_output_is_not_kept(tmp_path, model, run):
    with pytest.raises(RuntimeError, match="The fake file does not run as it should"):
        fake(run)(model, tmp_path / "a.fake")
    assert not list(tmp_path.iterdir())


def test_given_images_are_those_compared(tmp_path, model, images):
    seen = []

    def run(batch):
        seen.append(batch)
        return Exportable(model).outputs(batch)

    fake(run)(model, tmp_path / "a.fake", images=images)
    assert [len(batch) for batch in seen] == [1, 5]
    np.testing.assert_array_equal(seen[1], images)


def test_a_missing_package_is_named(tmp_path, model):
    with pytest.raises(ImportError, match="no nowhere_package.*keras-vit\\[export\\]"):
        fake(needs=("numpy", "nowhere_package"))(model, tmp_path / "a.fake")


def test_quantised_weights_that_the_form_does_not_know_are_refused(tmp_path, model, monkeypatch):
    monkeypatch.setattr(Exportable, "quantization_modes", {"int8"})
    with pytest.raises(ValueError, match="not quantised to int8, for the fake file. Received"):
        fake()(model, tmp_path / "a.fake")
    assert fake(unknown_quantizations=("int4",))(model, tmp_path / "a.fake").exists()


@pytest.mark.parametrize("name", FORMS)
def test_every_form_refuses_wrong_arguments_and_writes_nothing(tmp_path, model, name):
    form = FORMS[name]
    good = {"model": model, "path": tmp_path / "out" / f"m{form.suffix}"}
    wrong = [{"model": None}, {"labels": ["a"]}, {"labels": ["a"] * 3 + [""]}]
    if form.suffix:
        wrong += [{"path": tmp_path / "m.keras"}, {"batch_size": 0}, {"batch_size": True}]
    else:
        wrong += [{"top_k": 0}, {"top_k": 2.5}]
    for changes in wrong:
        with pytest.raises(ValueError, match="Expected.*Received"):
            form.write(**good | changes)
    assert not list(tmp_path.iterdir())


def test_the_rows_are_told_apart_by_name_and_suffix():
    assert len({form.suffix for form in FORMS.values()}) == len(FORMS)
    assert all(form.name == name == form.write.__name__ for name, form in FORMS.items())
