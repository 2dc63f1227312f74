"""Breast Cascade: two-stage breast-image segmentation, the part that runs in production (no torch)."""

import os

__version__ = "0.1.0"

# ONNX Runtime writes a device id and reports home unless told not to before its first import: docs/decisions/004.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
