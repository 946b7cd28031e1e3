"""The paper's figures are as wide as its column, with their numbers beside them."""

import csv

import numpy as np
import pytest
from PIL import Image

from keras_vit import interpret
from keras_vit.interpret import paper_figures
from keras_vit.interpret.samples import Samples


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def samples(images):
    """Takes images; each model sees the same."""
    return lambda model, count: Samples(images(count), tuple(f"{n}.png" for n in range(count)))


@pytest.fixture
def written(make, images, samples, tmp_path):
    models = {"ours": make("class token"), "$4": make("registers")}
    return paper_figures.write_figures(models, samples, tmp_path, shown=4, count=3)


def test_writes_one_pdf_pictures_of_a_column_and_the_numbers(written, make, images):
    for name in ("figure_6", "figure_7", "figure_10", "figure_11"):
        assert Image.open(written[name]).width == round(paper_figures.WIDTH * paper_figures.DPI)
    pdf = written["figures"].read_bytes()
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 4
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # fonts stand in it, as TrueType

    rollout = interpret.attention_rollout(make("class token"), images(4))
    rows = read(written["figure_6_csv"])
    assert rows[0].keys() == {"image", "row", "column", "rollout"}
    assert [row["image"] for row in rows[::6]] == ["0.png", "1.png", "2.png", "3.png"]
    values = np.array([float(row["rollout"]) for row in rows]).reshape(rollout.shape)
    np.testing.assert_allclose(values, rollout, rtol=1e-4)

    for name, kind in (("ours", "class token"), ("$4", "registers")):
        expected = interpret.attention_distance(make(kind), images(3))
        rows = [row for row in read(written["figure_11_csv"]) if row["model"] == name]
        values = [float(row["mean_attention_distance_pixels"]) for row in rows]
        np.testing.assert_allclose(values, expected.ravel(), rtol=1e-4)
    rows = read(written["figure_7_positions_csv"])
    similarity = interpret.position_similarity(make("class token"))
    values = np.array([float(row["cosine_similarity"]) for row in rows])
    np.testing.assert_allclose(values.reshape(similarity.shape), similarity, atol=1e-5)
    filters = interpret.embedding_filters(make("class token"))
    assert len(read(written["figure_7_filters_csv"])) == filters.size


def test_a_hybrid_has_no_filters(make, images):
    inside = paper_figures.look_inside(make("hybrid"), images(1))
    assert inside.filters is None
    titles = [axes.get_title() for axes in paper_figures.figure_7(inside).axes]
    assert not any("filters" in title for title in titles) and "Attention distance" in titles


def test_panels_share_their_colours(make, images):
    one = paper_figures.look_inside(make("class token"), images(1))
    figure = paper_figures.figure_10({"a": one, "b": one, "c": one, "d": one})
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["a", "b", "c", "d"]
    assert len({axes.images[0].get_clim() for axes in panels}) == 1
