"""`python -m examples.plates`: trains both plate readers, imports them, counts what they read, and draws a picture.

What is counted and drawn is what is served: the imported bundles run in ONNX Runtime.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from examples.plates import store
from examples.plates.evaluate import Result, answers, result_of
from examples.plates.picture import sheet
from examples.plates.reading import texts_of
from examples.plates.scene import HEIGHT, WIDTH, draw_scenes
from examples.plates.train import TEST_FRAMES, TEST_SEED, ensure_trained
from tiersplit_bundle import Bundle
from tiersplit_core.units import format_bytes
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import import_model

FACTORIES = {"small": "plate_reader", "large": "plate_reader_large"}
PICTURED = 16


def main() -> None:
    """Train, import, count and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the results as JSON on stdout")
    parser.add_argument("--picture", type=Path, default=store.folder() / "plates.png", help="where the picture goes")
    options = parser.parse_args()
    ensure_trained(_say)
    results = evaluate({name: imported(name) for name in FACTORIES}, options.picture)
    if options.json:
        sys.stdout.write(json.dumps({name: asdict(result) for name, result in results.items()}) + "\n")
    else:
        sys.stdout.write("\n".join(map(_line, results, results.values())) + f"\npicture: {options.picture}\n")


def imported(name: str) -> Bundle:
    """The bundle of a trained reader."""
    factory = f"examples.plates.model:{FACTORIES[name]}"
    options = ImportOptions(
        inputs=(parse_input(f"frame:FP32:-1x3x{HEIGHT}x{WIDTH}"),),
        wire_uint8=True,
        calibration=store.folder() / store.CALIBRATION,
    )
    made = import_model(factory, store.folder() / f"{name}.bundle", options, lambda text: _say(f"{factory}: {text}"))
    return Bundle.open(made.path)


def evaluate(bundles: dict[str, Bundle], picture: Path) -> dict[str, Result]:
    """Each reader's result on the test frames; the first of these become the picture."""
    test = draw_scenes(TEST_FRAMES, TEST_SEED)
    found = {name: answers(bundle, test.frames) for name, bundle in bundles.items()}
    read = {name: texts_of(answer["characters"], answer["score"]) for name, answer in found.items()}
    reads = [[(name, texts[i]) for name, texts in read.items()] for i in range(PICTURED)]
    boxes = found["large"]["box"]
    page = sheet(test.frames[:PICTURED], boxes[:PICTURED], reads, test.texts[:PICTURED])
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.save(picture)
    return {name: result_of(bundles[name], found[name], test) for name in bundles}


def _line(name: str, result: Result) -> str:
    return (
        f"{name}: {result.accuracy:.1%} of {TEST_FRAMES} plates read rightly, boxes overlap by {result.overlap:.0%}, "
        f"{format_bytes(result.weight_bytes)} of weights ({format_bytes(result.reader_bytes)} in the reader)"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
