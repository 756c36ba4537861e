"""Runs the benchmark scripts of this folder and writes RESULTS.md.

Each script prints one JSON document as the last thing on stdout:
{"name", "note", "rows": [{"what", "target", "measured", "unit", "p50", "p95", "p99", "ci95", "repeats", "passed",
"reason"}]}; all but `what` and `measured` may be missing.
A target that is missed is a result; a script that crashes is a failure.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS, PAGE = "results.json", "RESULTS.md"
LOCAL = (
    "planner",
    "surface",
    "serving",
    "transport",
    "transmission",
    "residency",
    "memory",
    "packed_memory",
    "run_forms",
    "quantised_run",
    "prediction",
    "moves",
    "demo_trace",
)
CLUSTER = ("cluster_prediction", "cluster_adaptive", "cluster_moves", "cluster_scale")
"""They need what `make cluster-up` needs, and an hour or two; they run when they are asked for."""
NAMES = (*LOCAL, *CLUSTER)
TIMEOUT_S = 7200
VERSIONS = ("tiersplit", "onnxruntime", "torch", "numpy", "scipy", "grpcio", "onnx")
HEAD = ("what", "target", "measured", "p50", "p95", "p99", "95% interval", "repeats", "verdict")


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Run the chosen scripts and write the results; 1 if one of them crashed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [name for name in NAMES if (folder / f"{name}.py").exists()]
    parser.add_argument("--only", action="append", choices=known, metavar="NAME", help=f"one of {', '.join(known)}")
    chosen = parser.parse_args(arguments).only or [name for name in known if name not in CLUSTER]
    results = read_results(folder)
    crashed = [name for name in chosen if not run_one(folder, name, results)]
    for name in crashed:
        print(f"bench: {name} crashed; its earlier rows stay", file=sys.stderr)
    print_summary({name: results[name] for name in chosen if name in results})
    return 1 if crashed else 0


def read_results(folder: Path) -> dict[str, Any]:
    """What earlier runs found, by script."""
    path = folder / RESULTS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def run_one(folder: Path, name: str, results: dict[str, Any]) -> bool:
    """Run one script and keep its document; written at once, so that a later crash loses nothing.

    Of a script that breaks off the rows that it got to are kept where none are known, and marked.
    """
    print(f"bench: {name} …", file=sys.stderr, flush=True)
    started, load = time.monotonic(), round(os.getloadavg()[0], 1)
    document, ended = document_of(folder / f"{name}.py")
    if document is None or (not ended and name in results):
        return False
    took, date = time.monotonic() - started, time.strftime("%Y-%m-%d")
    own = {"command": f"python benchmarks/{name}.py", "seconds": round(took, 1), "date": date, "load": load}
    results[name] = {**document, "machine": machine(), **own, **({} if ended else {"broken_off": True})}
    write(folder / RESULTS, json.dumps(results, indent=1) + "\n")
    write(folder / PAGE, page(results))
    print(f"bench: {name} took {took:.0f} s", file=sys.stderr)
    return ended


def document_of(script: Path) -> tuple[dict[str, Any] | None, bool]:
    """What a script printed last, None where that is no document, and whether it ended well; its stderr is shown."""
    command, home, pipe = [sys.executable, str(script)], script.parents[1], subprocess.PIPE
    try:
        done = subprocess.run(command, check=False, stdout=pipe, text=True, cwd=home, timeout=TIMEOUT_S)
        printed, ended = done.stdout, done.returncode == 0
    except subprocess.TimeoutExpired as error:
        print(f"bench: {script.name} ran longer than {TIMEOUT_S} s", file=sys.stderr)
        printed, ended = (error.stdout or b"").decode(errors="replace"), False
    document = whole_document(printed)
    well_formed = isinstance(document, dict) and isinstance(document.get("rows"), list)
    return (document, ended) if well_formed else (None, False)


def whole_document(text: str) -> Any:
    """The JSON from the first brace on, or of the last line that is not empty."""
    start = text.find("{")
    try:
        return json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        return last_line_document(text)


def last_line_document(text: str) -> Any:
    """The JSON of the last line that is not empty."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None


def machine() -> dict[str, str]:
    """What ran the benchmark."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in VERSIONS),
    }


def processor() -> str:
    """The processor's model name and, where known, its int8 dot products (they matter for quantised segments)."""
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    found = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    name = found[0] if found else platform.processor() or platform.machine()
    return f"{name}{' with AVX512-VNNI' if 'avx512_vnni' in text else ''}"


def version(name: str) -> str:
    """The installed version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "–"


def page(results: Mapping[str, Any]) -> str:
    """RESULTS.md."""
    ordered = [name for name in NAMES if name in results] + [name for name in results if name not in NAMES]
    rows = [row for name in ordered for row in results[name]["rows"]]
    judged = [row["passed"] for row in rows if row.get("passed") is not None]
    lines = [
        "# Results",
        "",
        "Written by `make bench` (one part: `make bench ONLY=planner`). Ratios were measured side by side in one run.",
        f"{sum(judged)} of {len(judged)} targets were reached.",
    ]
    for name in ordered:
        lines += ["", f"## {results[name].get('name', name)}", "", *section(results[name])]
    return "\n".join(lines) + "\n"


def section(document: Mapping[str, Any]) -> list[str]:
    """One script's part of the page."""
    ran = document["machine"]
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in document["rows"]]
    lines += ["", f"`{document['command']}`, {document['date']}, {document['seconds']} s, on {ran['processor']},"]
    load = f", at a load average of {document['load']} before" if "load" in document else ""
    lines += [f"{ran['cores']} cores, {ran['memory']}, {ran['system']}; {ran['versions']}{load}."]
    lines += ["", "It broke off after these rows."] if document.get("broken_off") else []
    return [*lines, "", document["note"]] if document.get("note") else lines


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row's cells as text."""
    unit = str(row.get("unit") or "")
    spread = row.get("ci95")
    interval = f"{number(spread[0])} – {number(spread[1])}" if spread else "–"
    quantiles = [number(row.get(key)) for key in ("p50", "p95", "p99")]
    measured = f"{number(row['measured'])} {unit}".strip()
    target = str(row["target"]) if row.get("target") is not None else "–"
    return [str(row["what"]), target, measured, *quantiles, interval, number(row.get("repeats")), verdict(row)]


def number(value: Any) -> str:
    """A number with four significant digits; texts as they are; nothing as a dash."""
    if value is None:
        return "–"
    return f"{float(f'{value:.4g}'):.15g}" if isinstance(value, float) else str(value)


def verdict(row: Mapping[str, Any]) -> str:
    """Passed, missed with its reason, or a dash where there is no target."""
    passed = row.get("passed")
    if passed is None:
        return "–"
    return "passed" if passed else f"missed: {row.get('reason') or 'no reason given'}"


def print_summary(results: Mapping[str, Any]) -> None:
    """One line per row on stdout."""
    for name, document in results.items():
        for row in document["rows"]:
            what, target, measured, *_ = cells(row)
            print(f"{name}: {what}: {measured} (target {target}): {verdict(row)}")


def write(path: Path, text: str) -> None:
    """Write a file so that no reader sees half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
