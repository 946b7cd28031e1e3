"""Gets the file behind an address into the cache: whole, checked, and only once.

The cache is the folder `KERAS_VIT_CACHE`, else `keras_vit` in `KERAS_HOME`, else
`~/.keras/keras_vit`. A file that is put there by hand is taken as it is.
"""

import contextlib
import os
import shutil
import sys
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_vit.weights.files.opening import open_checkpoint
from keras_vit.weights.files.safetensors import read_index
from keras_vit.weights.files.suffixes import INDEX, NPZ, SAFETENSORS, WHOLE

SCHEMES = ("https://", "http://", "hf://", "gs://")
TIMEOUT_SECONDS = 60
RETRIES = 3  # after 1, 2 and 3 seconds
_SECONDS_TO_ANSWER = 10
BESIDE = ("config.json", "preprocessor_config.json")


def cache_folder() -> Path:
    """Returns the folder that downloads are kept in; it need not exist."""
    own = os.environ.get("KERAS_VIT_CACHE")
    if own:
        return Path(own).expanduser()
    home = os.environ.get("KERAS_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".keras") / "keras_vit"


def is_address(source: Any) -> bool:
    """Tells an address (`https://`, `hf://`, `gs://`) from a path."""
    return isinstance(source, str) and source.startswith(SCHEMES)


def local_path(source: Any) -> str:
    """Returns the path of a checkpoint, fetching it first where `source` is an address."""
    return fetch(source) if is_address(source) else os.path.expanduser(os.fspath(source))


def local_folder(source: Any, names: Sequence[str]) -> str:
    """Returns the path of a folder; where `source` is an address, its files `names` come first."""
    if not is_address(source):
        return os.path.expanduser(os.fspath(source))
    return os.path.dirname([fetch(f"{source.rstrip('/')}/{name}") for name in names][-1])


def cached_path(address: str) -> Path:
    """Returns where the file behind an address is kept, or may be put by hand.

    Args:
        address: `"https://..."`, `"gs://bucket/..."` or `"hf://owner/repo[/file]"`.

    Raises:
        ValueError: no address of these forms.
    """
    if address.startswith("hf://"):
        owner, repo, file = _hub_parts(address)
        return cache_folder() / "huggingface.co" / owner / repo / file
    parts = urllib.parse.urlsplit(_web_address(address))
    folders = [urllib.parse.unquote(part) for part in parts.path.split("/") if part]
    if (
        not parts.netloc
        or not folders
        or any(part in (".", "..") or "/" in part for part in folders)
    ):
        raise ValueError(f"Expected the address of a file. Received: {address!r}.")
    return cache_folder().joinpath(parts.netloc.replace(":", "_"), *folders)


def fetch(address: str, *, checksum: str | None = None, names: Sequence[str] = ()) -> str:
    """Downloads a checkpoint unless it is in the cache.

    Args:
        address: `"https://..."`, `"gs://bucket/..."`, or `"hf://owner/repo"` for
            `model.safetensors` (or its shards) and `config.json` of a repository of the Hugging
            Face hub, or `"hf://owner/repo/file"`.
        checksum: `"sha256:..."` of the file, or None.
        names: names of weights that there are, for the error.

    Returns:
        The path of the file (the index, for shards). A `config.json` lies beside it where the
        repository has one.

    Raises:
        FileNotFoundError: the address has no such file.
        ConnectionError: the server cannot be reached or fails again and again.
        ValueError: what came is not the file: wrong checksum, cut off, a web page.
        OSError: the cache cannot be written.
    """
    target = cached_path(address)
    hub = address.startswith("hf://")
    for found in (target, target.with_name(INDEX)) if hub else (target,):
        if found.is_file():
            return os.fspath(found)
    with _locked(target):
        if target.is_file():  # another process fetched it meanwhile
            return os.fspath(target)
        if hub:
            return _fetch_hub(address, target, names)
        return _fetch_web(_web_address(address), target, checksum, names)


def check_reachable(address: str) -> None:
    """Refuses an address whose server does not answer, unless its file is in the cache.

    It needs no Keras, so that a command can answer at once, as `fetch` would.

    Args:
        address: as for `fetch`.

    Raises:
        ConnectionError: the server cannot be reached.
    """
    target = cached_path(address)
    hub = address.startswith("hf://")
    if target.is_file() or (hub and target.with_name(INDEX).is_file()):
        return
    import requests

    place = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        requests.head(place if hub else _web_address(address), timeout=_SECONDS_TO_ANSWER)
    except requests.RequestException as error:
        raise _unreachable(address, target, error) from None


def _web_address(address: str) -> str:
    if address.startswith("gs://"):
        return "https://storage.googleapis.com/" + address.removeprefix("gs://")
    return address


def _hub_parts(address: str) -> tuple[str, str, str]:
    parts = address.removeprefix("hf://").split("/", 2)
    if len(parts) < 2 or not all(parts[:2]) or ".." in address:
        raise ValueError(
            f'Expected an address such as "hf://owner/repo" or "hf://owner/repo/file". '
            f"Received: {address!r}."
        )
    return parts[0], parts[1], parts[2] if len(parts) == 3 and parts[2] else WHOLE


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Lets one process at a time fetch a file; makes its folder."""
    import filelock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise OSError(
            f"Expected a cache folder that can be written: {target.parent}. Received: {error}. "
            "Set KERAS_VIT_CACHE to another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _advice(address: str, target: Path, names: Sequence[str] = ()) -> str:
    known = f" Names there are: {', '.join(map(repr, names))}." if names else ""
    return f"Address: {address}. The file may be put by hand at {target}.{known}"


def _unreachable(address: str, target: Path, error: BaseException) -> ConnectionError:
    """Returns the error of a host that does not answer: its cause without all that wraps it.

    It is raised alone: the libraries' own tracebacks are a hundred lines that say no more.
    """
    cause: BaseException | None = error
    while cause is not None and type(cause).__module__ not in ("builtins", "socket", "ssl"):
        cause = cause.__cause__ or cause.__context__
    return ConnectionError(
        f"Expected the server to answer. Received: {cause or error}. {_advice(address, target)}"
    )


def _fetch_web(address: str, target: Path, checksum: str | None, names: Sequence[str]) -> str:
    """Downloads to a folder beside the target, checks the file, and moves it into place."""
    import pooch
    import requests

    partial = target.with_name(f".{target.name}.partial")
    advice = _advice(address, target, names)
    downloads = pooch.create(
        path=partial,
        base_url="",
        registry={target.name: checksum},
        urls={target.name: address},
        retry_if_failed=RETRIES,
    )
    shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
    pooch.get_logger().setLevel("WARNING")  # `_say` names the file, once there is an answer
    try:
        path = downloads.fetch(target.name, downloader=_download)
        if target.suffix in (NPZ, SAFETENSORS):
            open_checkpoint(path)  # so that a bad one never reaches the cache
        os.replace(path, target)
    except ValueError as error:  # of the checksum, or of what came
        raise ValueError(f"{error} It was not kept. {advice}") from error
    except _NoUseError as refused:
        error = refused.__cause__
        if not isinstance(error, requests.HTTPError):
            raise _unreachable(address, target, error) from None
        raise FileNotFoundError(
            f"Expected a file. Received: HTTP status {error.response.status_code}. {advice}"
        ) from error
    except requests.RequestException as error:
        raise ConnectionError(
            f"Expected the file from the server. Received: {error}. {advice}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return os.fspath(target)


class _NoUseError(Exception):
    """What another try would not mend; Pooch repeats only errors of requests and of checksums."""


def _download(address: str, output: Any, downloads: Any) -> None:
    """Pooch's download, which is tried again where that may help."""
    import pooch
    import requests
    from urllib3.exceptions import MaxRetryError

    get = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT_SECONDS, hooks={"response": _say})
    try:
        get(address, output, downloads)
    except requests.HTTPError as error:
        status = error.response.status_code
        if status < 500 and status not in (408, 429):
            raise _NoUseError from error
        raise
    except requests.ConnectionError as error:
        if error.args and isinstance(error.args[0], MaxRetryError):  # there was no connection
            raise _NoUseError from error
        raise


def _say(response: Any, **_: Any) -> None:
    """Names a file that is about to come."""
    if response.status_code == 200:
        size = int(response.headers.get("Content-Length", 0)) / 1e6
        print(f"Downloading {response.url} ({size:,.0f} MB)", file=sys.stderr, flush=True)


def _fetch_hub(address: str, target: Path, names: Sequence[str]) -> str:
    """Fetches one file of a repository, or all shards, with the JSON files beside it."""
    from huggingface_hub import errors, hf_hub_download

    owner, repo, file = _hub_parts(address)
    repository, endpoint = f"{owner}/{repo}", os.environ.get("HF_ENDPOINT")
    folder = target.parents[file.count("/")]
    advice = _advice(address, target, names)

    def get(name: str) -> str:
        try:
            return hf_hub_download(repository, name, local_dir=folder, endpoint=endpoint)
        except errors.LocalEntryNotFoundError as error:  # no connection; an EntryNotFoundError too
            raise _NoUseError from error

    try:
        _ask_hub(repository, file, endpoint)
        # The weights come last: where they lie, all that belongs to them does.
        for name in BESIDE:
            with contextlib.suppress(errors.EntryNotFoundError):
                get(name)
        if file != WHOLE:
            return get(file)
        try:
            return get(WHOLE)
        except errors.EntryNotFoundError:
            return _get_shards(get, folder)
    except _NoUseError as refused:
        raise _unreachable(address, target, refused.__cause__) from None
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"Expected {file} or {INDEX} in the repository. Received: neither is there. If it has "
            "a pickle alone (pytorch_model.bin): fetch the repository to a folder, of which "
            f"`from_checkpoint` says how to convert it. {advice}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise FileNotFoundError(
            f"Expected a repository of the Hugging Face hub that can be read (a gated one needs "
            f"`hf auth login`). Received: {type(error).__name__}. {advice}"
        ) from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise ConnectionError(
            f"Expected the file from the Hugging Face hub. Received: {error}. {advice}"
        ) from error


def _ask_hub(repository: str, file: str, endpoint: str | None) -> None:
    """Asks once for a connection: without one `hf_hub_download` asks again for half a minute."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(repository, file, endpoint=endpoint), endpoint=endpoint)
    except errors.HfHubHTTPError:
        pass  # there is one; what the server has is seen later
    except Exception as error:  # of an HTTP library that changes with the version of the hub's
        raise _NoUseError from error


def _get_shards(get: Any, folder: Path) -> str:
    """Fetches all shards of an index, then the index itself."""
    waiting = folder / ".index"
    index = Path(get(INDEX))
    waiting.mkdir(exist_ok=True)
    os.replace(index, waiting / INDEX)
    for shard in sorted(set(read_index(waiting / INDEX).values())):
        get(shard)
    os.replace(waiting / INDEX, index)
    return os.fspath(index)
