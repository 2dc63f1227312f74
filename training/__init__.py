"""Offline training, evaluation and export of every network the service runs."""

import service  # noqa: F401 - switches ONNX Runtime's reports off before anything here imports it
