"""Rows of the documents that benchmarks print."""

import json
import sys

import numpy as np
from scipy.stats import t as student


def interval(values):
    """The mean and its 95% interval by Student's t, of independent repeats."""
    found = np.asarray(values, dtype=float)
    half = student.ppf(0.975, len(found) - 1) * np.std(found, ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


def row(what, values, unit, target=None, passed=None):
    """A row about repeats of one figure, with their spread where there are several."""
    if len(values) == 1:
        return {"what": what, "target": target, "measured": round(values[0], 2), "unit": unit, "passed": passed}
    mean, low, high = interval(values)
    percentiles = {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 95, 99)}
    about = {"what": what, "target": target, "measured": round(mean, 2), "unit": unit, "passed": passed}
    return {**about, **percentiles, "ci95": [round(low, 2), round(high, 2)], "repeats": len(values)}


def count(what, found, unit="requests", target="0"):
    """A row about something that must not happen."""
    return {"what": what, "target": target, "measured": found, "unit": unit, "passed": found == 0}


def publish(name, rows, note):
    """Print the document, alone on its line and at once: who breaks off later has said so much."""
    sys.stdout.write(json.dumps({"name": name, "rows": rows, "note": note}) + "\n")
    sys.stdout.flush()
