"""What ran the measurement, for the profile and for those who compare two of them."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_RUNTIME = "onnxruntime"
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp")


def describe_machine() -> dict[str, str]:
    """CPU model and vector features, cores, system, runtime and version."""
    info = _cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "features": " ".join(name for name in _FEATURES if name in flags),
        "cores": str(os.cpu_count() or 1),
        "system": f"{platform.system()} {platform.machine()}",
        "runtime": _RUNTIME,
        "runtime_version": version(_RUNTIME),  # the runtime itself would take room from what is measured
    }


def _cpu_info() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in reversed(list(pairs))}
