"""Times subjects in turn, so that all of them see the same weather on the machine."""

import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_vit.benchmark.machine import describe_machine
from keras_vit.benchmark.peers import available_peers, uses_torch
from keras_vit.benchmark.subjects import MATRIX_PRODUCT
from keras_vit.benchmark.work import Work
from keras_vit.benchmark.worker import ANSWER
from keras_vit.models.cost import forward_flops


class Worker:
    """A process that holds one subject.

    Args:
        work: what it builds.
        module: whose `serve` runs in the process; it reads and answers as that of `worker.py`.
        order: what `serve` takes; None is the work as JSON.
        environment: variables of the process, beside our own.
    """

    def __init__(
        self,
        work: Any,
        *,
        module: str = "keras_vit.benchmark.worker",
        order: str | None = None,
        environment: Mapping[str, str] | None = None,
    ):
        self.work = work
        if environment is None:
            environment = {"KERAS_BACKEND": "torch"} if uses_torch(work.subject) else {}
        self._errors = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; from {module} import serve; serve(sys.argv[1])",
                order or json.dumps(dataclasses.asdict(work)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # what we find, it finds
                "TF_CPP_MIN_LOG_LEVEL": "3",
                **environment,
            },
        )

    def read(self) -> dict[str, float]:
        """Waits for the next answer.

        Raises:
            RuntimeError: the process ended; the error carries its last words.
        """
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                return json.loads(line[len(ANSWER) :])
        status = self._process.wait()
        self._errors.seek(0)
        words = " ".join(self._errors.read().strip().splitlines()[-1:])
        raise RuntimeError(
            f"The benchmark of {self.work.subject!r} failed with exit status {status}: {words}"
        )

    def ask(self, command: str) -> dict[str, float]:
        """Runs one command and returns its answer."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self.read()

    def kill(self) -> None:
        """Stops the process, so that whoever reads from it comes to the end."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process."""
        self.kill()
        self._process.communicate()
        self._errors.close()


@dataclasses.dataclass
class Figures:
    """What was measured of one subject.

    Attributes:
        subject: a key of `SUBJECTS`, or the name given to it.
        build_s: seconds to build the model, its library imported before.
        first_call_s: seconds of the first inference, compilation included.
        infer_s: seconds of each timed inference.
        train_s: seconds of each timed training step.
        infer_peak_mib: most memory held up to the last inference, in MiB.
        train_peak_mib: most memory held up to the last training step, in MiB.
        failure: why it could not be measured to the end, or None.
    """

    subject: str
    build_s: float = 0.0
    first_call_s: float = 0.0
    infer_s: list[float] = dataclasses.field(default_factory=list)
    train_s: list[float] = dataclasses.field(default_factory=list)
    infer_peak_mib: float = 0.0
    train_peak_mib: float = 0.0
    failure: str | None = None


@dataclasses.dataclass
class Race:
    """Figures that were taken in turn.

    Attributes:
        figures: of each subject, by the name given to it.
        limits: GFLOP/s of the machine's matrix product, once a round.
    """

    figures: dict[str, Figures]
    limits: list[float]


def race(
    works: Mapping[str, Work], commands: Mapping[str, Sequence[str]], *, repeats: int = 5
) -> Race:
    """Times subjects in turn, each in a process of its own, the matrix product beside them.

    Every round runs each subject once, so a slow spell of the machine falls on all. A subject that
    fails is left out from then on, and its figures say why.

    Args:
        works: what is measured, by a name of the caller's; the first sets the type in which the
            matrix product is taken.
        commands: for each name what is timed, of `"infer"` and `"train"`.
        repeats: rounds, after one that only warms up.

    Returns:
        The figures.

    Raises:
        RuntimeError: the matrix product itself cannot be measured.
    """
    first = next(iter(works.values()))
    limit = Worker(Work("matrix_product", dtype=first.dtype))
    workers: dict[str, Worker] = {}
    result = Race({name: Figures(name) for name in works}, [])
    try:
        limit.read()
        limit.ask("infer")
        for name, work in works.items():  # one at a time: building is timed too
            workers[name] = Worker(work)
            with noting_failure(vars(result.figures[name])):
                result.figures[name].build_s = workers[name].read()["build_s"]
                if "infer" in commands[name]:
                    result.figures[name].first_call_s = workers[name].ask("infer")["seconds"]
        for command in ("infer", "train"):
            names = [name for name in works if command in commands[name]]
            if names:
                _rounds(command, {name: workers[name] for name in names}, limit, result, repeats)
    finally:
        for worker in (limit, *workers.values()):
            worker.close()
    return result


def _rounds(
    command: str, workers: dict[str, Worker], limit: Worker, result: Race, repeats: int
) -> None:
    """Runs one command in all rounds and adds what it took to the figures."""
    for count in range(repeats + 1):
        seconds = limit.ask("infer")["seconds"]
        if count:
            result.limits.append(matrix_product_flops() / seconds / 1e9)
        for name, worker in workers.items():
            figures = result.figures[name]
            if figures.failure:
                continue
            with noting_failure(vars(figures)):
                answer = worker.ask(command)
                setattr(figures, f"{command}_peak_mib", answer["peak_mib"])
                if count:
                    getattr(figures, f"{command}_s").append(answer["seconds"])


@contextlib.contextmanager
def noting_failure(figures: dict[str, Any]) -> Iterator[None]:
    """Writes down as `failure` why something could not be measured, and goes on."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        figures["failure"] = str(error)


def measure(
    model: str,
    *,
    dtype: str = "float32",
    batch_size: int = 8,
    image_size: int | None = None,
    repeats: int = 5,
    train: bool = True,
    peers: list[str] | None = None,
) -> dict[str, Any]:
    """Measures one model, its peers and the machine's matrix product in one run, interleaved.

    Args:
        model: name of a variant.
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; the latter two as Keras's mixed policies.
        batch_size: images a batch.
        image_size: side in pixels; None is the variant's own.
        repeats: timed inferences and training steps of each subject, after one warm-up.
        train: whether training steps are timed too.
        peers: subjects beside ours; None takes those that are installed.

    Returns:
        A dictionary that JSON can hold: the work, the machine and the figures of each subject.

    Raises:
        RuntimeError: our own model cannot be measured.
    """
    peers = available_peers(model, dtype) if peers is None else peers
    works = {
        name: Work(name, model, dtype, batch_size, image_size=image_size)
        for name in ("keras_vit", *peers)
    }
    commands = {name: commands_of(name, train=train) for name in works}
    return measure_works(works, commands, repeats=repeats)


def measure_works(
    works: Mapping[str, Work], commands: Mapping[str, Sequence[str]], *, repeats: int = 5
) -> dict[str, Any]:
    """Races works of one model, and says under which conditions.

    Arguments are those of `race`, what is returned and raised that of `measure`; the first work is
    ours and says model, type, batch and image size.
    """
    first_name, first = next(iter(works.items()))
    result = race(works, commands, repeats=repeats)
    if result.figures[first_name].failure:
        raise RuntimeError(result.figures[first_name].failure)
    return {
        "model": first.model,
        "dtype": first.dtype,
        "batch_size": first.batch_size,
        "image_size": first.config.image_size,
        "gflop_per_image": forward_flops(first.config) / 1e9,
        "machine": describe_machine(),
        "matrix_product_gflops": statistics.median(result.limits),
        "subjects": [dataclasses.asdict(figures) for figures in result.figures.values()],
    }


def commands_of(subject: str, *, train: bool = True) -> tuple[str, ...]:
    """Returns what can be timed of a subject: runtimes of exported files do not train."""
    can_train = subject in ("keras_vit", "keras_hub", "timm", "timm_compiled", "transformers")
    return ("infer", "train") if train and can_train else ("infer",)


def matrix_product_flops() -> int:
    """Returns the operations of one `infer` of the subject `matrix_product`."""
    rows, inner, columns = MATRIX_PRODUCT
    return 8 * 2 * rows * inner * columns
