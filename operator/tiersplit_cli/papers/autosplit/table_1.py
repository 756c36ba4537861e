"""Table 1: the simulated hardware."""

from tiersplit_cli.papers.autosplit.simulated import UPLINK_MBPS
from tiersplit_cli.papers.rows import Row
from tiersplit_core.profile.systolic import ARRAYS, SystolicArray

_ID = "autosplit/1"


def rows() -> list[Row]:
    """What both arrays are given."""
    edge, cloud = ARRAYS["eyeriss"], ARRAYS["tpu"]
    one = "168 multiply-accumulates at 202 MHz, counted as one operation each; Eyeriss's published clock is 200 MHz"
    two = "65,536 multipliers at 700 MHz are 46 T multiply-accumulates: the paper's TOPs count two operations in each"
    return [
        Row(f"{_ID}/eyeriss/on-chip", "Eyeriss, on-chip memory", "192 KB", f"{edge.on_chip_bytes // 2**10} KiB"),
        Row(f"{_ID}/eyeriss/off-chip", "Eyeriss, off-chip memory", "4 GB", f"{edge.off_chip_bytes // 2**30} GiB"),
        Row(f"{_ID}/eyeriss/bandwidth", "Eyeriss, bandwidth", "1 GB/sec", f"{edge.bandwidth / 1e9:g} GB/s"),
        Row(
            f"{_ID}/eyeriss/performance",
            "Eyeriss, performance",
            "34 GOPs",
            f"{_operations(edge, 1) / 1e9:.0f} GOPs",
            note=one,
        ),
        Row(f"{_ID}/tpu/on-chip", "TPU, on-chip memory", "28 MB", f"{cloud.on_chip_bytes // 2**20} MiB"),
        Row(f"{_ID}/tpu/off-chip", "TPU, off-chip memory", "16 GB", f"{cloud.off_chip_bytes // 2**30} GiB"),
        Row(f"{_ID}/tpu/bandwidth", "TPU, bandwidth", "13 GB/sec", f"{cloud.bandwidth / 1e9:g} GB/s"),
        Row(
            f"{_ID}/tpu/performance",
            "TPU, performance",
            "96 TOPs",
            f"{_operations(cloud, 2) / 1e12:.0f} TOPs",
            note=two,
        ),
        Row(f"{_ID}/uplink", "uplink", "3 Mbps", f"{UPLINK_MBPS:g} Mbps"),
    ]


def _operations(hardware: SystolicArray, in_each: int) -> float:
    """Operations per second, so many in each multiply-accumulate."""
    return hardware.rows * hardware.columns * hardware.clock_hz * in_each
