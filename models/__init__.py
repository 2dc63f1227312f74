"""Architectures in torch, one a file; each is built whole by its constructor and gives logits at the input's size."""

from models.torchvision_cpu import mend

# timm, segmentation-models-pytorch and transformers import torchvision as soon as it is installed.
mend()
