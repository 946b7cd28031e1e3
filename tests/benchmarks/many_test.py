"""Classes and files: each point is measured, and folder and memory say what they are."""

import pytest

from benchmarks import folder_speed, many, rollout_memory


def test_files_of_a_folder_are_scanned_and_read(tmp_path):
    many._write_files(tmp_path / "photos", 6)
    assert len(list((tmp_path / "photos").rglob("*.jpg"))) == 6
    row = many._files(6, str(tmp_path / "photos"))
    assert row.keys() == {"scan_s", "first_batch_s", "mib"} and row["scan_s"] > 0


def test_the_growth_of_each_figure_is_told():
    rows = [{"files": count, "scan_s": count / 100, "mib": 0.0} for count in (10, 100, 1_000)]
    classes = [{"classes": 10, "parameters": 5, "train_s": 1.0}]
    text = many.format_many({"files": rows, "classes": classes})
    assert "scan_s ~ files^1.00 from 100 on" in text.splitlines() and "mib ~" not in text


def test_passes_take_turns_and_the_share_is_of_the_slower_half():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in ("a", "b")}
    assert folder_speed._passes(runs, 1).keys() == runs.keys() and order == ["a", "b"] * 2
    seconds = {"model": 8.0, "decode": 2.0, "read": 4.0, "evaluate": 10.0, "classify": 8.0}
    result = {"model": "X", "photos": 80, "seconds": seconds, "share": {"evaluate": 0.8}}
    assert folder_speed.format_folder(result).splitlines()[-2].split() == [
        "evaluate",
        "8.0",
        "0.80",
    ]


def test_memory_is_told_with_and_without_the_imports():
    result = {"model": "X", "image_size": 56, "forward_mib": 300.0, "rollout_mib": 360.0,
              "imported_mib": 100.0, "map_mib": 9.0}  # fmt: skip
    text = rollout_memory.format_memory(result)
    assert "1.20 times" in text and "imports 1.30" in text


@pytest.mark.slow
def test_rollout_of_a_small_model_is_measured():
    result = rollout_memory.measure_memory("ViT_Ti16", image_size=64)
    assert result["rollout_mib"] > result["imported_mib"] > 100
