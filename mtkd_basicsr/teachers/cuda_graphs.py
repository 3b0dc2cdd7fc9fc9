"""Frozen networks whose kernels a GPU gets as one CUDA graph."""

from collections.abc import Callable

import torch

from ..host.api import get_root_logger

# Shapes of inputs that are recorded; each takes the memory of one forward pass.
MAX_SHAPES = 4


class RecordedCalls:
    """A function without gradients that is recorded as a CUDA graph for each shape of its input.

    A network of many small kernels takes as long as their launches; a graph launches all of them at
    once. Results agree to the last bits, in which cuDNN's kernels may differ. The first call with a
    shape runs the function, in which cuDNN may choose its kernels; the second one records it. Where
    it cannot be recorded, because it waits for the GPU, say, it is run as before.

    Args:
        function: Takes an image batch and returns one. What it computes may depend on its input and
            on weights alone.

    Shape:
        - Input: Any; on a CPU, and with gradients, the function is run as it is.
        - Output: That of the function; not overwritten by later calls.
    """

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.function = function
        self._seen: set[tuple[object, ...]] = set()
        self._graphs: dict[
            tuple[object, ...], tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]
        ] = {}
        self._fails = False

    def forget(self) -> None:
        """Free all graphs, for weights that have moved or changed their types."""
        self._seen.clear()
        self._graphs.clear()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Run the function."""
        if self._fails or x.device.type != 'cuda' or x.requires_grad:
            return self.function(x)
        key = (x.shape, x.stride(), x.dtype, x.device)
        if key not in self._graphs:
            if len(self._graphs) >= MAX_SHAPES:
                return self.function(x)
            if key not in self._seen:
                self._seen.add(key)
                return self.function(x)
            try:
                self._graphs[key] = self._record(x)
            except RuntimeError as error:
                self._fails = True
                self.forget()
                first = str(error).strip().partition('\n')[0]
                get_root_logger().warning(
                    f'teachers: no CUDA graph can be recorded ({first}); their kernels are '
                    'launched one by one'
                )
                return self.function(x)
        graph, source, result = self._graphs[key]
        source.copy_(x)
        graph.replay()
        return result.clone()

    def _record(self, x: torch.Tensor) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]:
        """Record the function; return the graph with the tensors that it reads and writes."""
        source = x.detach().clone(memory_format=torch.preserve_format)
        stream = torch.cuda.Stream(x.device)
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.no_grad(), torch.cuda.stream(stream):
            self.function(source)  # with the libraries' workspaces for this stream
            graph = torch.cuda.CUDAGraph()
            # Threads that load data go on meanwhile, and may allocate.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode='thread_local'):
                result = self.function(source)
        torch.cuda.current_stream(x.device).wait_stream(stream)
        return graph, source, result
