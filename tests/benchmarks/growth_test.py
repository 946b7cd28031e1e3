"""Growth: fits that find a known power, points that say what they are, a picture, a real point."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import growth
from benchmarks.growth_plot import plot_growth
from keras_vit.benchmark.work import Work

TINY = {"input_shape": [32, 32, 3], "num_layers": 1, "hidden_size": 64, "num_heads": 1,
        "mlp_dim": 128}  # fmt: skip


def tiny(batch_size=1, **options):
    return Work("keras_vit", "ViT_Ti16", batch_size=batch_size, options={**TINY, **options})


@pytest.fixture
def no_processes(monkeypatch):
    """Stands in for measured processes: time grows with the tokens to the power of 1.5."""
    asked = []

    class FakeWorker:
        def __init__(self, work):
            self.point = growth.describe_point(work)
            if self.point["batch_size"] == 7:
                raise AssertionError("a work that is never measured")

        def read(self):
            return {"build_s": 1.0, "imported_mib": 500.0}

        def ask(self, command):
            asked.append((self.point["tokens"], self.point["batch_size"], command))
            if command == "train" and self.point["batch_size"] == 8:
                raise RuntimeError("killed")
            seconds = 2 * self.point["tokens"] ** 1.5 * {"infer": 1, "train": 3}[command]
            return {"seconds": seconds, "peak_mib": 500 + 4 * self.point["tokens"]}

        def close(self):
            pass

    monkeypatch.setattr(growth, "Worker", FakeWorker)
    return asked


@pytest.fixture
def made_up(no_processes):
    """A result of two axes, the second with a point whose training failed."""
    sizes = [tiny(input_shape=[size, size, 3]) for size in (32, 64, 128, 256)]
    return growth.measure_growth(
        repeats=2, axes={"tokens": sizes, "batch_size": [sizes[0], tiny(2), tiny(8)]}
    )


def test_a_known_power_is_found():
    x = np.array([8.0, 1, 2, 4])
    fit = growth.fit_power(x, 3 * x**1.7)
    assert fit["exponent"] == pytest.approx(1.7) == fit["upper_exponent"]
    assert fit["factor"] == pytest.approx(3) and fit["r_squared"] == pytest.approx(1)
    assert growth.fit_power([1, 2], [5, 5])["r_squared"] == 1.0


def test_the_upper_half_tells_what_it_becomes():
    x = 2.0 ** np.arange(8)
    fit = growth.fit_power(x, 100 * x + x**2)
    assert 1 < fit["exponent"] < fit["upper_exponent"] < 2
    assert 0.9 < fit["r_squared"] < 1
    assert growth.fit_power(x[:3], x[:3])["upper_exponent"] is None


@pytest.mark.parametrize(
    "x, y", [([1, 1], [1, 2]), ([1, 2], [0, 1]), ([1, 2], [1]), ([1, float("nan")], [1, 1])]
)
def test_numbers_without_a_fit_are_refused(x, y):
    with pytest.raises(ValueError, match="Expected as many positive x as y"):
        growth.fit_power(x, y)


def test_a_point_says_what_it_is():
    point = growth.describe_point(Work("keras_vit", "ViT_Ti16", batch_size=4))
    assert point["tokens"] == 197 and point["parameters"] == 5_717_416
    assert point["gflop_per_image"] == pytest.approx(2.51, abs=0.01)
    shaped = growth.describe_point(tiny(input_shape=[64, 32, 3]))
    assert (shaped["image_size"], shaped["tokens"], shaped["hidden_size"]) == ([64, 32], 9, 64)


def test_each_axis_grows_along_its_name_and_shares_a_point(monkeypatch):
    monkeypatch.setattr(growth, "count_parameters", lambda c: c.num_layers * c.hidden_size**2)
    for name, works in growth.AXES.items():
        values = [growth.describe_point(work)[name] for work in works]
        assert values == sorted(set(values)) and len(values) >= 4
    base = Work("keras_vit", "ViT_S16", batch_size=4)
    assert sum(base in works for works in growth.AXES.values()) == 4


def test_figures_are_medians_and_beyond_the_imports(made_up, no_processes):
    point = made_up["axes"]["tokens"]["points"][1]
    assert point["tokens"] == 17 and point["infer_mib"] == 68
    assert point["train_s"] == pytest.approx(6 * 17**1.5)
    fits = made_up["axes"]["tokens"]["fits"]
    assert fits["infer_s"]["exponent"] == pytest.approx(1.5)
    assert fits["train_mib"]["exponent"] == pytest.approx(1)
    assert no_processes.count((5, 1, "infer")) == 3  # on two axes, measured once: 1 + 2 runs
    json.dumps(made_up, allow_nan=False)


def test_a_point_that_fails_is_kept_with_its_reason(made_up):
    failed = made_up["axes"]["batch_size"]["points"][2]
    assert failed["failure"] == "killed" and failed["infer_s"] > 0 and failed["train_s"] is None
    assert "ViT_Ti16, batch 8: killed" in growth.format_growth(made_up).splitlines()


def test_short_runs_are_repeated_and_long_ones_are_not():
    class Quick:
        def ask(self, command):
            return {"seconds": self.takes, "peak_mib": 1.0}

    worker = Quick()
    for worker.takes, expected in ((0.001, 20), (0.25, 4), (9.0, 2)):
        assert len(growth.time_runs(worker, "infer", 2)[0]) == expected


@pytest.mark.parametrize("axes", [{"colour": [tiny(), tiny(2)]}, {"batch_size": [tiny(7)]}])
def test_axes_without_a_meaning_are_refused(no_processes, axes):
    with pytest.raises(ValueError, match="Expected axes named by a key of their points"):
        growth.measure_growth(axes=axes)


def test_the_table_has_a_row_a_point_and_the_exponents(made_up):
    lines = growth.format_growth(made_up).splitlines()
    assert "against tokens" in lines and "against batch_size" in lines
    assert sum(line.startswith("ViT_Ti16 ") for line in lines) == 7
    assert "inference ~ tokens^1.50 (R2 1.000, upper half ^1.50)" in lines
    row = next(line for line in lines if " 65 " in line).split()
    assert row[:6] == ["ViT_Ti16", "128x128", "65", "1", "1", "64"] and row[-1] == "260"


def test_the_picture_is_whole(made_up, tmp_path):
    path = tmp_path / "made" / "growth.png"
    plot_growth(made_up, path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape[0] > 600 and pixels.shape[1] > 700
    assert 0.005 < (pixels < 128).mean() < 0.3
    assert [one.name for one in path.parent.iterdir()] == ["growth.png"]


@pytest.mark.slow
def test_a_real_point_is_measured():
    result = growth.measure_growth(repeats=1, axes={"batch_size": [tiny(1), tiny(64)]})
    for point in result["axes"]["batch_size"]["points"]:
        assert point["failure"] is None
        assert point["infer_s"] > 0 and point["train_s"] > 0
        assert 0 < point["infer_mib"] < point["train_mib"] < 4000
