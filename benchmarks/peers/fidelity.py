"""torch-fidelity, the peer of our metrics, made importable."""

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # PyPI's torchvision for CUDA cannot load its operators beside a PyTorch for CPUs, and fails to
    # describe these two. Nothing here calls them.
    for _name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{_name}", "(Tensor a, Tensor b, float c) -> Tensor")

import torch_fidelity

__all__ = ["torch_fidelity"]
