"""Where a twin computes."""

import torch


class DeviceError(ValueError):
    """There is no such device; says what to use instead."""


class DeviceMemoryError(RuntimeError):
    """The device has too little free memory for now; says how to do without."""


def pick_device(device: str) -> torch.device:
    """The device by name, where "auto" is CUDA if there is one.

    Raises DeviceError if CUDA is asked for and absent.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device: 'cuda' was asked for, but torch finds none; use 'auto'")
    return torch.device(device)
