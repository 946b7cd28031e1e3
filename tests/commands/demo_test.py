"""The page in a browser: upload, result, choices, bad uploads."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_vit import VisionTransformer, VisionTransformerConfig

ROOT = pathlib.Path(__file__).parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT = 60_000  # milliseconds at most; the page answers in about one second


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_no_model_of_the_quick_start_is_one_line(run, tmp_path):
    result = run("demo", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: Expected the model of the quick start.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    config = VisionTransformerConfig(
        image_size=32, patch_size=8, hidden_size=16, num_layers=3, num_heads=2, mlp_dim=24,
        num_classes=6,
    )  # fmt: skip
    model = VisionTransformer(config, name="tiny")
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.standard_normal(variable.shape) * 0.5)
    model.save(folder / "model.keras")
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\nfox\n")
    pixels = random.integers(0, 256, (50, 70, 3), "uint8")
    Image.fromarray(pixels).save(folder / "good.png")
    (folder / "text.png").write_text("hello")
    (folder / "empty.png").write_bytes(b"")
    (folder / "corrupt.png").write_bytes((folder / "good.png").read_bytes()[:200])
    with (folder / "huge.png").open("wb") as file:
        file.truncate(21 * 2**20)
    Image.new("1", (10_000, 9_000)).save(folder / "pixels.png")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    pytest.importorskip("gradio", reason="Gradio (extra demo) is not installed")
    pytest.importorskip("playwright", reason="Playwright is not installed")
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    command = [
        sys.executable, "-m", "keras_vit_command", "demo", f"--model={folder / 'model.keras'}",
        f"--labels={folder / 'labels.txt'}",
    ]  # fmt: skip
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, f"{line}{(folder / 'log.txt').read_text()}"
        yield found.group()
        assert server.poll() is None, "the server died"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(WAIT)
    complaints, requests = [], []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector("#picture input[type=file]", state="attached")
    page.complaints = complaints
    yield page
    page.close()
    elsewhere = [url for url in requests if not url.startswith((address, "data:", "blob:"))]
    assert not elsewhere, "the page asked another host"


def upload(page, path):
    page.set_input_files("#picture input[type=file]", path)


def shown(page):
    """Address of the drawn map once it is there."""
    page.wait_for_selector("#map img")
    return page.get_attribute("#map img", "src")


def wait_for_another(page, before):
    page.wait_for_function(
        "before => { const image = document.querySelector('#map img');"
        " return image && image.src && image.getAttribute('src') !== before }",
        arg=before,
    )
    return shown(page)


@pytest.mark.slow
def test_upload_result_and_choices(page, folder):
    upload(page, folder / "good.png")
    first = shown(page)
    page.wait_for_selector("#scores >> text=%")
    scores = page.inner_text("#scores")
    assert sum(name in scores for name in ("ant", "bee", "cat", "dog", "eel", "fox")) == 5

    page.get_by_label("One block").check()
    last_block = wait_for_another(page, first)
    page.wait_for_selector("#block input[type=range]")
    page.locator("#block input[type=range]").focus()
    page.keyboard.press("ArrowLeft")
    other_block = wait_for_another(page, last_block)

    page.locator("#head input").click()
    page.get_by_role("option", name="1", exact=True).click()
    one_head = wait_for_another(page, other_block)

    page.get_by_label("Relevance for the class").check()
    relevance = wait_for_another(page, one_head)
    page.locator("#class input").click()
    page.get_by_role("option", name="eel").click()
    wait_for_another(page, relevance)
    assert page.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text.png", "not an image but text"),
        ("empty.png", "empty"),
        ("corrupt.png", "a PNG image cut short"),
        ("pixels.png", "80,000,000 pixels"),
    ],
)
def test_a_bad_upload_gets_a_message_and_the_next_one_works(page, folder, name, words):
    upload(page, folder / name)
    page.wait_for_selector(f"#message >> text={words}")
    assert page.locator("#map img").count() == 0
    page.get_by_label("Clear").first.click()
    upload(page, folder / "good.png")
    shown(page)
    assert page.complaints == []


@pytest.mark.slow
def test_a_huge_upload_gets_a_message_and_the_server_lives_on(page, folder):
    upload(page, folder / "huge.png")
    page.wait_for_selector("text=/exceeds|too large|maximum/i")
    page.reload()
    upload(page, folder / "good.png")
    shown(page)
