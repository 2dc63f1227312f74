"""Breast Cascade: two-stage breast-image segmentation, the part that runs in production (no torch)."""

__version__ = "0.1.0"
