"""Tables 4 to 7: what the appendix says about transmission.

Tables 4 and 7 need a server, pictures and codecs: their rows are those that `benchmarks/transmission.py` measured, read
from `benchmarks/results.json` of a checkout. Table 6 is measured at once.
"""

import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import numpy as np

from tiersplit_cli.papers.rows import Row, percent
from tiersplit_core.codec.bitpack import pack, pack_channels, packed_bytes, unpack, unpack_channels
from tiersplit_core.codec.frame import encode_tensor

RESULTS = Path(__file__).parents[4] / "benchmarks" / "results.json"
_COMMAND = "python benchmarks/transmission.py"
_MEASURED = re.compile(r"^table (?P<table>\d+), (?P<what>.*?)(?: \(paper: (?P<paper>[^)]*)\))?$")
_IN_WORDS = {"activation 36×64×256 at 4 bits, 288 KB: XML-RPC in text": "1130 ms"}
"""What the appendix's text prints, not its tables."""
_WHY = {
    "our stream": "a whole stage that parses the frame and answers, beside a bare socket that reads bytes",
    "over socket": "the ratio follows the socket's fraction of a millisecond, 0.27 ms in the paper",
    "signal to noise": "no trained YOLOv3 is at hand: the signal to noise ratio stands in place of its mAP",
    "picture as": "parts of two photographs, much of them out of focus, shrink more; latency without the layers",
    "features": "values of a ResNet-50 with random weights, not of a trained detector; latency without the layers",
}
"""Why rows differ from the paper's, by the first of these words that they have."""
_JPEG_60, _FEATURES = "picture as jpeg-60: normalised latency", "features of 2 bits as jpeg: normalised latency"
_IMAGE, _SHAPE, _BITS, _ROUNDS = (432, 768, 3), (1, 256, 36, 64), 4, 20
_PRINTED = {
    "4": {"Cloud-Only, RPC over socket": "3566", "Auto-Split, RPC over socket": "3981"},
    "7": {
        "CLOUD-ONLY, without loss: ratio, mAP, latency": "2×, 0.39, 0.56",
        "CLOUD-ONLY, JPEG at 80: ratio, mAP, latency": "5×, 0.38, 0.23",
        "CLOUD-ONLY, JPEG at 60: ratio, mAP, latency": "8×, 0.35, 0.15",
        "CLOUD-ONLY, JPEG at 40: ratio, mAP, latency": "10×, 0.29, 0.13",
        "CLOUD-ONLY, JPEG at 20: ratio, mAP, latency": "17×, 0.22, 0.09",
        "AUTO-SPLIT, without loss: ratio, mAP, latency": "15×, 0.35, 0.08",
    },
}


def table_4() -> list[Row]:
    """XML-RPC against sockets, and the bytes that are sent."""
    image, activation = math.prod(_IMAGE), packed_bytes(math.prod(_SHAPE), _BITS)
    return [
        Row("autosplit/4/Cloud-Only/KB", "Cloud-Only, 432 × 768 × 3: KB", "972", f"{image / 2**10:g} KiB"),
        Row(
            "autosplit/4/Auto-Split/KB", "Auto-Split, 36 × 64 × 256 at 4 bits: KB", "288", f"{activation / 2**10:g} KiB"
        ),
        *measured_rows("4"),
    ]


def table_5() -> list[Row]:
    """What is sent beside an activation, and where that stands in a frame of `tiersplit.wire.v1`."""
    frame = encode_tensor("x", np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 2, 2, 2), _BITS)
    fields = (
        ("activation", "Bytes (int8)", f"payload: {len(frame.payload)} bytes for 8 elements of {_BITS} bits"),
        ("scale", "Float32", f"scale: {type(frame.scale).__name__}, in double precision"),
        ("zero-point", "Float32", f"zero_point: {type(frame.zero_point).__name__}, since it is one of the integers"),
        ("shape", "List(int32)", f"shape {frame.shape}: the activation's; the input's stands in the manifest"),
        ("bits", "Int8", f"bits: {frame.bits}"),
    )
    return [Row(f"autosplit/5/{key}", f"sent: {key}", paper, ours) for key, paper, ours in fields]


def table_6() -> list[Row]:
    """Packing 4 bits of an activation of (36, 64, 256) along height and width, and along channels."""
    values = np.random.default_rng(0).integers(0, 2**_BITS, _SHAPE, dtype=np.uint8)
    one_by_one = "vectorised here; the paper's 1.45 s tell of a loop over elements"
    by_channels = (
        "numpy in both: contiguous bytes on another processor; along height and width is the faster order here"
    )
    along = {
        "Height-Width": ("1.45 s", one_by_one, lambda: unpack(pack(values, _BITS), values.size, _BITS)),
        "Channel": ("0.01 s", by_channels, lambda: unpack_channels(pack_channels(values, _BITS), _SHAPE, _BITS)),
    }
    return [
        Row(f"autosplit/6/{order}", f"pack and unpack 4 bits, {order}", paper, f"{_seconds(work):.2g} s", note=note)
        for order, (paper, note, work) in along.items()
    ]


def table_7() -> list[Row]:
    """Pictures and features as JPEG, and the gap between the two (appendix B)."""
    found = measured_rows("7")
    return [*found, *_gap({row.quantity: row.ours for row in found})]


def _gap(ours: Mapping[str, str]) -> Iterator[Row]:
    if _JPEG_60 in ours and _FEATURES in ours:
        gap = percent(1 - float(ours[_FEATURES]) / float(ours[_JPEG_60]))
        quantity = f"{_FEATURES} below that of a picture at 60"
        yield Row("autosplit/7/gap", quantity, "47%", gap, False, f"{_WHY['picture as']}; {_WHY['features']}")


def measured_rows(table: str, results: Path = RESULTS) -> list[Row]:
    """The rows of one table that the transmission benchmark has measured; the paper's alone where it has not run."""
    found = list(_read(table, results))
    if found:
        return found
    note = f"measured by {_COMMAND}, whose results are not at hand"
    return [
        Row(f"autosplit/{table}/{what}", what, paper, "not measured here", False, note)
        for what, paper in _PRINTED[table].items()
    ]


def _read(table: str, results: Path) -> Iterator[Row]:
    if not results.is_file():
        return
    document = json.loads(results.read_text()).get("transmission", {"rows": []})
    for row in document["rows"]:
        match = _MEASURED.match(row["what"])
        if match and match["table"] == table:
            what = match["what"]
            note = f"{_why(what)}from benchmarks/results.json ({_COMMAND})"
            ours = f"{row['measured']:g} {row['unit']}".strip()
            paper = match["paper"] or _IN_WORDS.get(what, "not printed")
            yield Row(f"autosplit/{table}/{what}", what, paper, ours, table == "4", note)


def _why(what: str) -> str:
    return next((f"{why}; " for words, why in _WHY.items() if words in what), "")


def _seconds(work: Callable[[], object]) -> float:
    work()
    taken = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return median(taken)
