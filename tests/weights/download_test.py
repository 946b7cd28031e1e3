import contextlib
import hashlib
import http.server
import io
import json
import multiprocessing
import os
import signal
import threading
import types

import huggingface_hub
import numpy as np
import pooch
import pytest

from keras_vit.weights import download
from keras_vit.weights.download import (
    cache_folder,
    cached_path,
    check_reachable,
    fetch,
    is_address,
    local_path,
)
from keras_vit.weights.files.opening import open_checkpoint


def _npz():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(40_000, dtype="float32"))
    return buffer.getvalue()


NPZ = _npz()
CHECKSUM = "sha256:" + hashlib.sha256(NPZ).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers each path as `server.answers` says: a list of functions, one a request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        answers = self.server.answers
        with self.server.lock:
            self.server.requests.append(self.path)
            queue = answers.get(self.path.split("?")[0], [])
            answer = queue[0] if len(queue) == 1 else queue.pop(0) if queue else _status(404)
        with contextlib.suppress(ConnectionError):
            answer(self)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


def _headers(handler, status, length, **more):
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    for name, value in more.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def _status(status, body=b"<html>no</html>", **more):
    def answer(handler):
        _headers(handler, status, len(body), **more)
        if handler.command == "GET":
            handler.wfile.write(body)

    return answer


def _file(content=NPZ, **more):
    return _status(200, content, **more)


def _cut_off(handler):
    _headers(handler, 200, len(NPZ))
    handler.wfile.write(NPZ[: len(NPZ) // 2])
    handler.close_connection = True


def _in_pieces(handler):
    _headers(handler, 200, len(NPZ))
    for begin in range(0, len(NPZ), 1000):
        handler.wfile.write(NPZ[begin : begin + 1000])
        handler.wfile.flush()


def _stalled(handler):
    """Sends half and then nothing until the test is over."""
    _headers(handler, 200, len(NPZ))
    handler.wfile.write(NPZ[: len(NPZ) // 2])
    handler.wfile.flush()
    handler.server.half_way.set()
    handler.server.over.wait(30)
    handler.close_connection = True


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch.core, "time", types.SimpleNamespace(sleep=lambda seconds: None))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.answers, server.requests, server.lock = {}, [], threading.Lock()
    server.half_way, server.over = threading.Event(), threading.Event()
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(server):
    return f"{server.address}/models/vit.npz"


def _assert_whole(path):
    with open(path, "rb") as file:
        assert file.read() == NPZ


def _files_beside(address):
    folder = cached_path(address).parent
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def test_a_file_is_fetched_once(server, address):
    server.answers["/models/vit.npz"] = [_file()]
    path = fetch(address, checksum=CHECKSUM)
    _assert_whole(path)
    assert path == str(cached_path(address)) and path.endswith("/models/vit.npz")
    assert fetch(address) == local_path(address) == path
    assert len(server.requests) == 1
    assert _files_beside(address) == ["vit.npz"]


def test_a_missing_file_is_one_error_with_all_that_helps(server, address):
    with pytest.raises(FileNotFoundError) as error:
        fetch(address, names=("imagenet", "imagenet21k"))
    for part in ("404", address, str(cached_path(address)), "'imagenet', 'imagenet21k'"):
        assert part in str(error.value)
    assert len(server.requests) == 1
    assert _files_beside(address) == []


def test_a_server_that_fails_for_a_moment_is_asked_again(server, address):
    server.answers["/models/vit.npz"] = [_status(500), _status(503), _file()]
    _assert_whole(fetch(address))
    assert len(server.requests) == 3


def test_a_server_that_fails_for_good_is_one_error(server, address):
    server.answers["/models/vit.npz"] = [_status(500)]
    with pytest.raises(ConnectionError, match=r"500.*put by hand"):
        fetch(address)
    assert len(server.requests) == 1 + download.RETRIES
    assert _files_beside(address) == []


def _assert_short(error, address):
    text = str(error.value)
    assert "Connection refused" in text and address in text and "put by hand" in text
    assert len(text) < 200 + len(address) + len(str(cached_path(address)))
    assert error.value.__cause__ is None and error.value.__suppress_context__


def test_a_machine_without_network_is_one_short_error_at_once(server, address, monkeypatch):
    server.shutdown()
    server.server_close()
    monkeypatch.delattr(pooch.core.time, "sleep")  # it is not asked again
    with pytest.raises(ConnectionError) as error:
        fetch(address, names=("imagenet",))
    _assert_short(error, address)


@pytest.mark.parametrize("of_hub", [False, True])
def test_a_server_that_is_not_there_is_found_out_before_anything_is_loaded(
    server, address, monkeypatch, of_hub
):
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    address = "hf://owner/vit" if of_hub else address
    check_reachable(address)  # a status of 404 is an answer
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError) as error:
        check_reachable(address)
    _assert_short(error, address)
    path = cached_path(address)
    path.parent.mkdir(parents=True)
    path.write_bytes(NPZ)
    check_reachable(address)


def test_what_comes_is_named_once_it_comes(server, address, capsys):
    server.answers["/models/vit.npz"] = [_file()]
    fetch(address)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "Download" in line]
    assert line == f"Downloading {address} (0 MB)"


def test_a_slow_server_is_waited_for(server, address):
    server.answers["/models/vit.npz"] = [_in_pieces]
    _assert_whole(fetch(address))


def test_a_server_that_stalls_is_asked_again(server, address, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.2)
    server.answers["/models/vit.npz"] = [_stalled, _file()]
    _assert_whole(fetch(address))


def test_a_cut_off_file_is_fetched_again_and_never_kept(server, address):
    server.answers["/models/vit.npz"] = [_cut_off, _file()]
    _assert_whole(fetch(address))
    other = f"{server.address}/models/cut.npz"
    server.answers["/models/cut.npz"] = [_cut_off]
    with pytest.raises(ConnectionError):
        fetch(other)
    assert _files_beside(other) == ["vit.npz"]


@pytest.mark.parametrize("content", [NPZ[:5000], b"<html>sign in</html>", b"", b"PK\x03\x04"])
def test_what_is_no_checkpoint_is_never_kept(server, address, content):
    server.answers["/models/vit.npz"] = [_file(content)]
    with pytest.raises(ValueError, match="not kept.*put by hand"):
        fetch(address)
    assert _files_beside(address) == []


def test_a_wrong_checksum_is_an_error_and_not_kept(server, address):
    server.answers["/models/vit.npz"] = [_file()]
    with pytest.raises(ValueError, match="not match.*sha256:000.*not kept.*put by hand"):
        fetch(address, checksum="sha256:" + "0" * 64)
    assert _files_beside(address) == []


def test_a_file_put_by_hand_is_taken(server, address):
    path = cached_path(address)
    path.parent.mkdir(parents=True)
    path.write_bytes(NPZ)
    assert fetch(address) == str(path)
    assert server.requests == []


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")


@needs_fork
@pytest.mark.filterwarnings("ignore")
def test_what_a_killed_process_left_is_cleaned_up(server, address):
    server.answers["/models/vit.npz"] = [_stalled, _file()]
    process = multiprocessing.get_context("fork").Process(target=fetch, args=(address,))
    process.start()
    assert server.half_way.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert any("partial" in name for name in _files_beside(address))
    _assert_whole(fetch(address))
    assert _files_beside(address) == ["vit.npz"]


@needs_fork
@pytest.mark.filterwarnings("ignore")
def test_two_processes_at_once_fetch_once(server, address):
    server.answers["/models/vit.npz"] = [_in_pieces]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=fetch, args=(address,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    _assert_whole(cached_path(address))
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_written_says_so(server, address, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_VIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="KERAS_VIT_CACHE"):
        fetch(address)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write everywhere")
def test_a_read_only_cache_gives_what_it_has(server, address, tmp_path):
    path = cached_path(address)
    path.parent.mkdir(parents=True)
    path.write_bytes(NPZ)
    path.parent.chmod(0o500)
    try:
        assert fetch(address) == str(path)
        with pytest.raises(OSError, match="KERAS_VIT_CACHE"):
            fetch(address.replace("vit.npz", "other.npz"))
    finally:
        path.parent.chmod(0o700)


def test_the_cache_is_where_keras_has_its_own(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_VIT_CACHE", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "keras_vit"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".keras" / "keras_vit"


def test_addresses_are_told_from_paths():
    assert is_address("hf://timm/vit") and is_address("gs://vit_models/x.npz")
    assert not is_address("weights/x.npz") and not is_address(None)
    assert local_path("weights/x.npz") == "weights/x.npz"


def test_buckets_are_fetched_over_https():
    path = cached_path("gs://vit_models/sam/ViT-B_16.npz")
    assert path.parts[-4:] == ("storage.googleapis.com", "vit_models", "sam", "ViT-B_16.npz")


@pytest.mark.parametrize(
    "address",
    [
        "https://host", "https://host/../../etc/passwd", "https://host/a/%2e%2e/b",
        "https://host/a%2Fb/c", "hf://owner", "hf://owner/../x", "hf:///x",
    ],
)  # fmt: skip
def test_addresses_that_are_none_or_lead_out_of_the_cache_are_refused(address):
    with pytest.raises(ValueError, match="address"):
        cached_path(address)


# The hub, as far as huggingface_hub asks it.


@pytest.fixture
def hub(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def add(repository, **files):
        for name, content in files.items():
            name = {"config": "config.json"}.get(name, name)
            server.answers[f"/{repository}/resolve/main/{name}"] = [
                _file(
                    content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit="0" * 40
                )
            ]

    def absent(repository, *names, code="EntryNotFound"):
        for name in names:
            server.answers[f"/{repository}/resolve/main/{name}"] = [_status(404, X_Error_Code=code)]

    server.add, server.absent = add, absent
    return server


def _safetensors(**arrays):
    from safetensors.numpy import save

    return save({name: np.full(3, value, "float32") for name, value in arrays.items()})


def test_a_repository_is_fetched_with_its_config(hub):
    content = _safetensors(a=1)
    preparation = {"preprocessor_config.json": b'{"do_resize": true}'}
    hub.add(
        "owner/vit",
        config=b'{"model_type": "vit"}',
        **{"model.safetensors": content, **preparation},
    )
    path = fetch("hf://owner/vit")
    assert open_checkpoint(path).preprocessor == {"do_resize": True}
    assert path.endswith("huggingface.co/owner/vit/model.safetensors")
    with open(os.path.join(os.path.dirname(path), "config.json")) as file:
        assert json.load(file) == {"model_type": "vit"}
    requests = len(hub.requests)
    assert fetch("hf://owner/vit") == path
    assert len(hub.requests) == requests


def test_one_file_of_a_repository_is_fetched(hub):
    hub.add("owner/vit", **{"sub/other.safetensors": _safetensors(a=2)})
    hub.absent("owner/vit", *download.BESIDE)
    path = fetch("hf://owner/vit/sub/other.safetensors")
    assert path.endswith("owner/vit/sub/other.safetensors") and os.path.isfile(path)


def test_a_folder_of_a_repository_is_fetched_or_is_a_path(hub, tmp_path):
    hub.add("owner/adapter", **{"last/a.json": b"{}", "last/b.safetensors": _safetensors(a=2)})
    hub.absent("owner/adapter", *download.BESIDE)
    folder = download.local_folder("hf://owner/adapter/last/", ("a.json", "b.safetensors"))
    assert {"a.json", "b.safetensors"} <= set(os.listdir(folder))
    assert download.local_folder(tmp_path, ("a.json",)) == str(tmp_path)
    hub.absent("owner/adapter", "last/c.json")
    with pytest.raises(FileNotFoundError, match="last/c.json"):
        download.local_folder("hf://owner/adapter/last", ("c.json",))


def test_shards_are_all_fetched(hub):
    weight_map = {"a": "one.safetensors", "b": "two.safetensors"}
    hub.absent("owner/big", "model.safetensors", *download.BESIDE)
    hub.add(
        "owner/big",
        **{
            "model.safetensors.index.json": json.dumps({"weight_map": weight_map}).encode(),
            "one.safetensors": _safetensors(a=1),
            "two.safetensors": _safetensors(b=2),
        },
    )
    path = fetch("hf://owner/big")
    np.testing.assert_array_equal(open_checkpoint(path).read("b"), [2, 2, 2])
    requests = len(hub.requests)
    assert fetch("hf://owner/big") == path and len(hub.requests) == requests


@pytest.mark.parametrize("weight_map", [[1], {"a": "../../x.safetensors"}, {"a": ["b"]}, {}])
def test_an_index_that_leads_elsewhere_is_refused(hub, weight_map):
    hub.absent("owner/odd", "model.safetensors", *download.BESIDE)
    index = json.dumps({"weight_map": weight_map}).encode()
    hub.add("owner/odd", **{"model.safetensors.index.json": index})
    with pytest.raises(ValueError, match=r"index\.json"):
        fetch("hf://owner/odd")
    assert not cached_path("hf://owner/odd").with_name("model.safetensors.index.json").exists()


def test_a_repository_without_the_file_and_no_repository_at_all(hub):
    names = (*download.BESIDE, "model.safetensors", "model.safetensors.index.json")
    hub.absent("owner/empty", *names)
    with pytest.raises(FileNotFoundError, match="hf://owner/empty.*put by hand"):
        fetch("hf://owner/empty")
    hub.absent("owner/none", *names, code="RepoNotFound")
    with pytest.raises(FileNotFoundError, match="hf://owner/none.*put by hand"):
        fetch("hf://owner/none", names=("imagenet",))


def test_a_machine_that_is_offline_says_where_the_file_may_be_put(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="hf://owner/vit.*put by hand"):
        fetch("hf://owner/vit")
    path = cached_path("hf://owner/vit")
    path.write_bytes(_safetensors(a=1))
    assert fetch("hf://owner/vit") == str(path)
    assert hub.requests == []


def test_a_hub_out_of_reach_is_one_short_error_at_once(hub, monkeypatch):
    hub.shutdown()
    hub.server_close()
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None, raising=False)
    with pytest.raises(ConnectionError) as error:
        fetch("hf://owner/vit")
    _assert_short(error, "hf://owner/vit")
