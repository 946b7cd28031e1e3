"""Tables of figures."""

from keras_vit.benchmark import format_table

MACHINE = {"processor": "Abacus", "cores": 2, "backend": "tensorflow"}
WORK = {"model": "ViT_X", "batch_size": 4, "gflop_per_image": 10.0, "machine": MACHINE,
        "matrix_product_gflops": 100.0}  # fmt: skip


def rows_of(table):
    return {line.split("  ")[0]: line.split() for line in table.splitlines()[2:]}


def test_rates_are_medians_and_shares_of_the_limit():
    subject = {"subject": "ours", "build_s": 1.5, "first_call_s": 0.25, "infer_s": [0.5, 1, 2],
               "train_s": [4.0], "infer_peak_mib": 300.4, "train_peak_mib": 500.0}  # fmt: skip
    other = {**subject, "subject": "a peer", "train_s": []}
    result = {**WORK, "dtype": "float32", "subjects": [subject, other]}
    table = format_table(result)
    assert "at most 10.0 img/s, 3.3 in training" in table and "Abacus, 2 cores" in table
    rows = rows_of(table)
    # 4 images in 1 s of 10 GFLOP each, 100 GFLOP/s possible; a training step counts three times.
    assert rows["ours"][1:] == [
        "1.50", "0.25", "4.00", "2.00-8.00", "40%", "1.00", "1.00-1.00", "30%", "300", "500",
    ]  # fmt: skip
    assert rows["a peer"][-5:] == ["-", "-", "-", "300", "-"]
    lines = table.splitlines()[2:]
    assert len({len(line) for line in lines}) == 1
