"""The scan names every file that training could not decode, and no other."""

import numpy as np
import pytest

from keras_vit.data.scan import check_images, unreadable_images


def test_whole_images_of_every_kind_pass(tmp_path, image_sets):
    for suffix in (".png", ".jpg", ".gif", ".bmp", ".webp"):
        image_sets.write_folder(tmp_path / suffix[1:], {"a": 1}, suffix, size=(40, 30))
    (tmp_path / "grey.png").write_bytes(image_sets.encode(np.zeros((9, 9), np.uint8)))
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 6
    assert unreadable_images(files) == {}


@pytest.mark.parametrize(
    "kind, contents, reason",
    [
        ("empty.jpg", lambda whole: b"", "empty file"),
        ("cut.jpg", lambda whole: whole[: len(whole) // 2], "corrupt or cut short"),
        ("page.png", lambda whole: b"<html>Not found</html>", "not an image"),
        ("notes.txt", lambda whole: b"remember the milk", "not an image"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path, image_sets, kind, contents, reason):
    good = tmp_path / "good.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    good.write_bytes(image_sets.encode(noise, "JPEG"))
    bad = tmp_path / kind
    bad.write_bytes(contents(good.read_bytes()))
    assert unreadable_images([good, bad]) == {bad: reason}
    with pytest.raises(ValueError, match=f"'{kind}' \\({reason}\\)"):
        check_images(tmp_path, [good, bad])


def test_a_folder_among_the_images_is_named(tmp_path):
    (tmp_path / "inner").mkdir()
    assert unreadable_images([tmp_path / "inner"]) == {tmp_path / "inner": "a folder"}


def test_only_ten_files_are_named(tmp_path):
    paths = [tmp_path / f"{number:02d}.png" for number in range(13)]
    for path in paths:
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"Received 13 .*'09.png' \(not an image\) and 3 more"):
        check_images(tmp_path, paths)
