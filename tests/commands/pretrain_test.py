"""`keras-vit pretrain`."""

import json


def test_a_tree_of_images_becomes_a_model_that_training_goes_on_from(run, image_sets, tmp_path):
    image_sets.write_folder(tmp_path / "photos" / "deep", {"cat": 10, "dog": 10})
    flags = ["--model=digits", "--set=steps=2", "--set=batch_size=8"]
    result = run("pretrain", f"--dataset={tmp_path / 'photos'}", *flags, "--decoder_layers=1",
                 f"--output_dir={tmp_path / 'run'}")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "no labels, images: 16 train, 4 validation" in result.stdout
    assert "squared error of hidden patches" in result.stdout
    for name in ("model.keras", "decoder.keras", "pictures.png"):
        assert str(tmp_path / "run" / name) in result.stdout
    model = tmp_path / "run" / "model.keras"
    result = run("train", f"--dataset={tmp_path / 'photos' / 'deep'}", f"--model={model}",
                 *flags[1:], f"--output_dir={tmp_path / 'tuned'}")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "tuned" / "summary.json").read_text())["steps"] == 2
