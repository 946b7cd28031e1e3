"""What activation functions are called in the configs of other libraries."""

GELUS = {
    "gelu": "erf",
    "gelu_python": "erf",
    "gelu_erf": "erf",
    "gelu_new": "tanh",
    "gelu_tanh": "tanh",
    "gelu_fast": "tanh",
    "gelu_pytorch_tanh": "tanh",
    "gelu_python_tanh": "tanh",
    "quick_gelu": "quick",
    "quickgelu": "quick",
}
