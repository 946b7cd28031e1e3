"""What a TF Serving container needs beside the versions of a model: its settings and a how-to."""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_vit.files import replacing

_MODELS_CONFIG = """\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
  }}
}}
"""

_COMPOSE = """\
services:
  serving:
    image: tensorflow/serving:latest
    command:
      - --model_config_file=/models/{name}/models.config
      - --enable_batching=true
      - --batching_parameters_file=/models/{name}/batching_parameters.txt
    ports:
      - "8500:8500"
      - "8501:8501"
    volumes:
      - .:/models/{name}:ro
    restart: unless-stopped
"""

_BATCHING = """\
# Requests that arrive within this time are run together.
batch_timeout_micros { value: 2000 }
max_batch_size { value: 32 }
# Further requests are refused, so that a client hears soon.
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
"""

_HOW_TO = """\
# Serving {name}

Written by keras_vit beside the versions of the model. These commands follow the documentation of TF
Serving; the project's own tests load the model through TensorFlow's C library, as the server does,
but do not run the server itself.

## Start the server

    docker run --rm -p 8500:8500 -p 8501:8501 \\
      --mount type=bind,source="$PWD",target=/models/{name} \\
      tensorflow/serving:latest \\
      --model_config_file=/models/{name}/models.config \\
      --enable_batching=true \\
      --batching_parameters_file=/models/{name}/batching_parameters.txt

Run it in this folder, or `docker compose up`. Port 8500 speaks gRPC, port 8501 REST. The newest
version is served; the server takes a new one up when its folder appears. TensorFlow 2.19 or newer
reads WebP.

    curl http://localhost:8501/v1/models/{name}/metadata
{classify}
## Prepared images

`serving_default` takes `images`, float32 {shape}, prepared as `preprocessing` in `metadata.json`
says, and gives {outputs}{embed}.

    curl -X POST http://localhost:8501/v1/models/{name}:predict \\
      -d '{{"signature_name": "serving_default", "instances": [...]}}'
"""

_CLASSIFY = """
## Classify a photo

`classify_bytes` takes encoded images (JPEG, PNG, GIF, BMP, WebP; up to 32 MiB and 80 million
pixels) and gives `classes`, `scores` and `labels`, best first, and `valid`. An image that cannot be
decoded has `valid` false, class -1, score 0 and label "".

REST:

    curl -X POST http://localhost:8501/v1/models/{name}:predict -d @- <<END
    {{"signature_name": "classify_bytes",
      "inputs": {{"image_bytes": [{{"b64": "$(base64 < photo.jpg | tr -d '\\n')"}}]}}}}
    END

gRPC, with `pip install tensorflow-serving-api`:

    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "{name}"
    request.model_spec.signature_name = "classify_bytes"
    image = open("photo.jpg", "rb").read()
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image]))
    channel = grpc.insecure_channel("localhost:8500")
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 10.0)
    print(tf.make_ndarray(answer.outputs["labels"]))
"""


def served_name(path: str | os.PathLike) -> str:
    """Returns the name to serve a folder of versions under: its own, with plain characters."""
    name = pathlib.Path(os.path.abspath(path)).name
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_") or "model"


def write_deployment(
    path: str | os.PathLike, shape: Sequence[int | None], metadata: Mapping[str, Any]
) -> None:
    """Writes what TF Serving and its user need beside the versions; a file there is kept.

    They are `models.config`, `batching_parameters.txt`, `compose.yaml` and `SERVING.md`.

    The folder is that of the versions, the shape (batch, height, width, channels).
    """
    path = pathlib.Path(path)
    name = served_name(path)
    sides = ", ".join("any" if side is None else str(side) for side in shape[1:])
    how_to = _HOW_TO.format(
        name=name,
        shape=f"(batch, {sides})",
        outputs=" and ".join(f"`{output}`" for output in metadata["outputs"]),
        embed=", and `embed` gives `features`" if "embed" in metadata["signatures"] else "",
        classify=_CLASSIFY.format(name=name) if "classify_bytes" in metadata["signatures"] else "",
    )
    files = {
        "models.config": _MODELS_CONFIG.format(name=name),
        "batching_parameters.txt": _BATCHING,
        "compose.yaml": _COMPOSE.format(name=name),
        "SERVING.md": how_to,
    }
    for file, text in files.items():
        if not (path / file).exists():  # somebody may have changed it
            with replacing(path / file) as temporary:
                temporary.write_text(text, "utf-8")
