"""Metrics, one kind a file: overlap, classes, surfaces, lesions, calibration, shape, and comparisons of methods.

What is used everywhere is re-exported here; `training.metrics.surface` alone imports MONAI.
"""

from training.metrics.classify import auroc
from training.metrics.compare import bootstrap_interval
from training.metrics.overlap import dice, dice_per_image, iou

__all__ = ["auroc", "bootstrap_interval", "dice", "dice_per_image", "iou"]
