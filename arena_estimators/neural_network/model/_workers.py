"""One process or several that share the work: the sums between them."""

import atexit
import multiprocessing
import os

import numpy as np
import torch

from arena_estimators._encoder._run import resolve_device
from arena_estimators.exceptions import ArenaError, MissingExtraError

_BUCKET = 2**26  # numbers summed at once


class Workers:
    """The processes that share one fit or prediction; by default there is only this one."""

    rank, size = 0, 1

    def __init__(self, device):
        self.device = device

    @property
    def is_main(self):
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def sum(self, value):
        """Add up a tensor, an array or a number over all processes."""
        return value

    def sum_gradients(self, parameters):
        """Add up the gradients over all processes, in place."""


class _Several(Workers):
    def __init__(self, accelerator):
        super().__init__(accelerator.device)
        self._accelerator = accelerator
        self.rank, self.size = accelerator.process_index, accelerator.num_processes

    def sum(self, value):
        if torch.is_tensor(value):
            return self._reduce(value)
        return self._reduce(torch.from_numpy(np.array(value)).to(self.device)).cpu().numpy()

    def sum_gradients(self, parameters):
        group, size = [], 0
        for parameter in parameters:
            if not parameter.requires_grad:  # frozen by a callback; a zero gradient would decay it
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            group.append(parameter.grad)
            size += parameter.numel()
            if size >= _BUCKET:
                self._sum_in_place(group)
                group, size = [], 0
        if group:
            self._sum_in_place(group)

    def _sum_in_place(self, tensors):
        flat = self._reduce(torch.cat([t.flatten() for t in tensors]))
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def _reduce(self, tensor):
        try:
            return self._accelerator.reduce(tensor, "sum")
        except RuntimeError as error:
            if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
                raise
            raise ArenaError(
                f"Another process has ended, or does something else ({error}). If it failed, its "
                "own error says why. If not: all processes that `accelerate launch` or torchrun "
                "starts must call `fit` and predict alike; what follows, such as writing a file, "
                "may be left to one."
            ) from error


def join_workers(device):
    """Join the processes that `accelerate launch` or torchrun started; alone, just this one.

    Parameters
    ----------
    device : str
        "auto", or a torch device.

    Returns
    -------
    Workers

    Raises
    ------
    ArenaError
        If this machine has no such device, or if the processes do not find each other.
    MissingExtraError
        If several processes were started and accelerate is not installed.
    """
    device = resolve_device(device)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Workers(device)
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingExtraError(
            f"WORLD_SIZE={size} asks for several processes, which needs accelerate: pip install "
            "accelerate"
        ) from error
    joined = torch.distributed.is_initialized()
    accelerator = Accelerator(cpu=device.type == "cpu")
    if not joined:
        atexit.register(_leave)
    if accelerator.num_processes != size:
        raise ArenaError(
            f"WORLD_SIZE={size}, but accelerate joined {accelerator.num_processes} on "
            f"{accelerator.device}: each process would train on its own. Start them with "
            "`accelerate launch` or torchrun, make no Accelerator before `fit`, and pass "
            "device='cpu' where there is no GPU for each."
        )
    return _Several(accelerator)


def _leave():
    """End gloo's threads while the interpreter lives: one that outlives it aborts the process.

    NCCL has no such threads, and leaving it would wait for the other processes, one of which may
    have failed.
    """
    if torch.distributed.is_initialized() and torch.distributed.get_backend() == "gloo":
        torch.distributed.destroy_process_group()


def refuse_parallel_jobs(device):
    """Refuse a GPU inside a joblib worker: its siblings would fill the same memory."""
    in_worker = type(multiprocessing.current_process()).__name__ == "LokyProcess"
    if in_worker and device.type != "cpu":
        raise ArenaError(
            "BertPairClassifier was asked to use the GPU inside a parallel joblib worker, where "
            "several fits would share its memory and fail. Pass n_jobs=1 to the search or "
            "cross-validation (one fit fills the GPU anyway), or device='cpu' to this estimator."
        )
