from keras_vit.weights.rows import fill, match


def test_names_are_filled_and_matched():
    pattern = "block{s+1}/unit{u+1}/conv1"
    assert fill(pattern, {"s": 0, "u": 2}) == "block1/unit3/conv1"
    assert match(pattern, "block1/unit3/conv1") == {"s": 0, "u": 2}
    for wrong in ("block0/unit1/conv1", "block01/unit1/conv1", "xblock1/unit1/conv1"):
        assert match(pattern, wrong) is None
    assert match("blocks.{i}.x", "blocks.12.x") == {"i": 12}
    assert match("blocks.{i}.x", "blocksa12.x") is None
