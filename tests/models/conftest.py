"""Tests may import timm, smp, transformers and torchvision in any order: `models` mends torchvision first."""

import models as models
