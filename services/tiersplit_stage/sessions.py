"""How ONNX Runtime sessions are made: the stage that serves and the profiler that measures use the same options.

What a stage then holds is its runtime, 1.0× its weights and one working set, whatever the number of its sessions
(docs/profiling.md has the measurements behind each choice).
"""

import ctypes
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tiersplit_core.quantization.forms import FORM_KEY, RunForm
from tiersplit_core.quantization.packed import MAGIC, PACKED_NAME, is_packed, unpack_weights

PROVIDERS = ("CPUExecutionProvider",)

_GROW_AS_REQUESTED = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD_BYTES = 128 * 1024
_SERVING_MMAP_BYTES, _SERVING_TRIM_BYTES = 8 * 2**20, 16 * 2**20
_FLOAT_ACCURACY = "1"
_registering = threading.Lock()

_IDENTITY = (
    b'\x08\x08\x12\x00:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x11"
)
"""An ONNX model y = x for one float: any run can ask the arena to shrink, this one costs nothing else."""


def session_options(threads: int) -> ort.SessionOptions:
    """Options of every session on a stage.

    Several sessions in one process get in each other's way when their idle threads spin (chained ResNet-50 was 2.5×
    slower, design §5), so nothing spins and each session has a fixed number of threads. With one thread the caller
    computes itself and no pool exists at all. All sessions share one arena: their working sets never exist at the same
    moment for one request. Memory patterns are off: they allocate the sum of all activations of a run in one block,
    up to twice the working set, and save no time here.

    Processors without integer dot products add two products of bytes in 16 bits, which saturates: 8-bit weights then
    cost more accuracy than 6-bit ones (94.4% instead of 98.9% on the digits). The exact kernels are asked for, which
    processors with dot products have anyway. Packed matrices are multiplied with real activations, not with ones that
    ONNX Runtime rounds to 8 bits by itself (1 to 3% off).

    Args:
        threads: intra-op threads, at least 1.
    """
    _share_arena()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", _FLOAT_ACCURACY)
    return options


def open_session(path: Path, threads: int, weights: Sequence[Path] = ()) -> ort.InferenceSession:
    """A session of the model or segment at `path` with the options of a stage.

    Args:
        path: its ONNX file.
        threads: intra-op threads.
        weights: blobs that it reads; those that are packed are unpacked here.

    Raises:
        StatisticsError: a packed blob is malformed.
    """
    return open_with(session_options(threads), path, weights)


def open_with(options: ort.SessionOptions, path: Path, weights: Sequence[Path] = ()) -> ort.InferenceSession:
    """As `open_session`, with other options."""
    unpacked = {f"{PACKED_NAME}{blob.name}": _unpacked(blob) for blob in weights if _is_packed(blob)}
    if unpacked:
        options.add_external_initializers(list(unpacked), list(unpacked.values()))
    return ort.InferenceSession(str(path), options, providers=list(PROVIDERS))


def run_options(session: ort.InferenceSession) -> ort.RunOptions | None:
    """How a session wants to be run; None: as ever.

    Packed weights become real numbers in every run. What that takes is handed back after it, else the arena would keep
    all that packing saves.
    """
    if session.get_modelmeta().custom_metadata_map.get(FORM_KEY) != RunForm.PACKED:
        return None
    return _shrinking()


def _is_packed(blob: Path) -> bool:
    with blob.open("rb") as file:
        return is_packed(file.read(len(MAGIC)))


def _unpacked(blob: Path) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_numpy(unpack_weights(blob.read_bytes()))


def _shrinking() -> ort.RunOptions:
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def bound_heap() -> None:
    """Make the C library hand large blocks back to the system as soon as they are free; call once at process start.

    Without it 30 to 60% of the weights' bytes stay resident again after loading (graph optimisation repacks them) and
    most of them stay after a segment is dropped.
    """
    _set_heap(_THRESHOLD_BYTES, _THRESHOLD_BYTES)


def relax_heap() -> None:
    """Let the C library keep a few freed blocks while requests are served.

    With the bounds of `bound_heap` every message buffer is fetched from the system and zeroed page by page: 800 KB took
    2.1 ms from process to process instead of 0.75. Call `bound_heap` again before loading.
    """
    _set_heap(_SERVING_MMAP_BYTES, _SERVING_TRIM_BYTES)


def _set_heap(mmap_bytes: int, trim_bytes: int) -> None:
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, mmap_bytes)
        library.mallopt(_M_TRIM_THRESHOLD, trim_bytes)
        library.mallopt(_M_ARENA_MAX, 2)


def trim_heap() -> None:
    """Give what the C library keeps back to the system."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def release_unused() -> None:
    """Give memory that no session uses any more back to the system: the arena's free blocks, then the heap's."""
    _identity_session().run(None, {"x": np.zeros(1, np.float32)}, _shrinking())
    trim_heap()


@cache
def _identity_session() -> ort.InferenceSession:
    return ort.InferenceSession(_IDENTITY, session_options(1), providers=list(PROVIDERS))


def _share_arena() -> None:
    with _registering:
        _register_arena()


@cache
def _register_arena() -> None:
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    config = ort.OrtArenaCfg({"arena_extend_strategy": _GROW_AS_REQUESTED})
    ort.create_and_register_allocator(memory, config)
