"""Trains both plate readers on frames that it draws itself, seeded: `python -m examples.plates.train`.

The detector and the large reader learn together until plates are found; then each reader learns alone behind the same
stem, which stays as it is, so that its features are computed once. Writes weights, calibration and validation data; a
repeat finds them and does nothing.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from examples.plates import store
from examples.plates.model import (
    BLANK,
    COLUMNS,
    MARGIN,
    STRIDE,
    PlateReader,
    Reader,
    boxes_of,
    cut_out,
    large,
    likeliest,
    small,
)
from examples.plates.reading import accuracy, texts_of
from examples.plates.scene import HEIGHT, WIDTH, Scenes, draw_scenes

SEED, VALIDATION_SEED, TEST_SEED = 1, 3, 4
"""Of what frames are drawn: to learn from, to choose plans by, to count results on. Those of seed 2 settled the epochs,
the rates and how strings are made, so that they count no more."""
FRAMES, CALIBRATION_FRAMES, VALIDATION_FRAMES, TEST_FRAMES = 3000, 64, 500, 500
EPOCHS, READER_EPOCHS = 7, {"small": 14, "large": 7}
BATCH = 32
RATE = 4e-3
READER_RATE = {"small": 4e-3, "large": 2e-3}
REQUIRED_ACCURACY = 0.7
WITHIN = 0.3
"""A column belongs to a character when it is nearer to its middle than this share of the pitch."""
_BOX_SCALE = torch.tensor([1 / 8, 1 / 8, 1 / 16, 1 / 4, 10.0])
_SHAKE = torch.tensor([0.03, 0.06, 0.05, 0.1, 0.03])

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the scenes as tensors, see `Scenes`.

    `given` are the frames' brightnesses, or their features where the stem stays as it is; `shown` says which of the
    frames have a plate.
    """

    given: Tensor
    boxes: Tensor
    characters: Tensor
    centres: Tensor
    pitches: Tensor
    shown: Tensor


def batches(scenes: Scenes, given: Callable[[NDArray[np.int64]], Tensor]) -> Iterator[Batch]:
    """All scenes in random order; `given` makes a batch's tensor from the positions of its scenes."""
    for chosen in torch.randperm(len(scenes)).numpy()[: len(scenes) // BATCH * BATCH].reshape(-1, BATCH):
        boxes = torch.from_numpy(scenes.boxes[chosen])
        yield Batch(
            given(chosen),
            boxes,
            torch.from_numpy(scenes.characters[chosen]),
            torch.from_numpy(scenes.centres[chosen]),
            torch.from_numpy(scenes.pitches[chosen]),
            boxes[:, 2] > 0,
        )


def brightness(frames: NDArray[np.uint8]) -> Tensor:
    """Bytes as the network reads them: 0 to 1. The import makes this the first layer of the divided network."""
    return torch.from_numpy(frames).float() / 255


def train_together(model: PlateReader, scenes: Scenes, say: Say) -> None:
    """Train detector and reader on `scenes`."""
    model.train()

    def loss_of(batch: Batch) -> Tensor:
        features = model.stem(batch.given)
        return detector_loss(model.detector(features), batch) + reader_loss(model.reader, features, batch)

    def epoch() -> Iterator[Tensor]:
        return map(loss_of, batches(scenes, lambda chosen: brightness(scenes.frames[chosen])))

    _descend(model, epoch, EPOCHS, RATE, say)


def train_reader(reader: Reader, features: Tensor, scenes: Scenes, name: str, say: Say) -> None:
    """Train a reader on the features of all scenes, for as long and as fast as is set for its name."""
    reader.train()

    def epoch() -> Iterator[Tensor]:
        some = batches(scenes, lambda chosen: features[torch.from_numpy(chosen)].float())
        return (reader_loss(reader, batch.given, batch) for batch in some)

    _descend(reader, epoch, READER_EPOCHS[name], READER_RATE[name], say)


@torch.inference_mode()
def features_of(model: PlateReader, scenes: Scenes) -> Tensor:
    """What the stem makes of all scenes, in half precision to save memory."""
    parts = range(0, len(scenes), BATCH)
    return torch.cat([model.stem(brightness(scenes.frames[i : i + BATCH])).half() for i in parts])


def _descend(module: nn.Module, epoch: Callable[[], Iterator[Tensor]], epochs: int, rate: float, say: Say) -> None:
    """Follow the losses' gradients through `epochs` epochs of batches."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=1e-3)
    steps = epochs * (FRAMES // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.2)
    began = time.monotonic()
    for number in range(1, epochs + 1):
        losses = []
        for loss in epoch():
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        say(f"epoch {number} of {epochs}: loss {np.mean(losses):.3f} after {time.monotonic() - began:.0f} s")


def detector_loss(cells: Tensor, batch: Batch) -> Tensor:
    """Whether the right cell is sure, the others are not, and the boxes around the plate's middle fit.

    Cells beside the right one may be sure or not; their boxes have to fit, because `likeliest` may take them in.
    """
    seen, boxes = boxes_of(cells)
    apart = _cells_apart(batch.boxes)
    shown = batch.shown[:, None]
    right, near = shown & (apart < 1), shown & (apart < 2)
    unsure = functional.binary_cross_entropy_with_logits(seen, right.float(), reduction="none")
    unsure = unsure[right | ~near].sum() / len(seen)
    misplaced = _misplaced(boxes, batch.boxes[:, None].expand_as(boxes))[near]
    of_all = _misplaced(likeliest(seen, boxes), batch.boxes)[batch.shown]
    return 0.3 * unsure + misplaced.mean() + of_all.mean()


def _cells_apart(boxes: Tensor) -> Tensor:
    """N×160: how many cells each is away from the one with the plate's middle, in rows or columns."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT // STRIDE), torch.arange(WIDTH // STRIDE), indexing="ij")
    column, row = boxes[:, :1] // STRIDE, boxes[:, 1:2] // STRIDE
    return torch.maximum((columns.flatten() - column).abs(), (rows.flatten() - row).abs())


def _misplaced(found: Tensor, wanted: Tensor) -> Tensor:
    return functional.smooth_l1_loss(found * _BOX_SCALE, wanted * _BOX_SCALE, reduction="none").sum(-1)


def reader_loss(reader: Reader, features: Tensor, batch: Batch) -> Tensor:
    """How wrong the columns of the plates are, cut out a little beside their true places."""
    boxes = shaken(batch.boxes[batch.shown])
    logits = reader(cut_out(features[batch.shown], boxes))
    return functional.cross_entropy(logits.flatten(0, 1), column_classes(boxes, batch).flatten(), label_smoothing=0.02)


def shaken(boxes: Tensor) -> Tensor:
    """The boxes as a detector might have found them."""
    width, height = boxes[:, 2:3], boxes[:, 3:4]
    unit = torch.cat([width, height, width, height, torch.ones_like(width)], dim=1)
    return boxes + torch.randn_like(boxes) * unit * _SHAKE / 1.5


def column_classes(boxes: Tensor, batch: Batch) -> Tensor:
    """N×40: which character's middle each column of `boxes` lies at. The example drew the plates, so it knows.

    Args:
        boxes: what is cut out, for the frames with a plate.
        batch: where plates and characters really are.
    """
    true_x, true_y, true_width, _, true_tilt = (value[:, None] for value in batch.boxes[batch.shown].unbind(1))
    x, y, width, _, tilt = (value[:, None] for value in boxes.unbind(1))
    along = torch.linspace(-1, 1, COLUMNS) * MARGIN[0] * width / 2
    right, down = x + along * torch.cos(tilt) - true_x, y + along * torch.sin(tilt) - true_y
    places = (right * torch.cos(true_tilt) + down * torch.sin(true_tilt)) * 2 / true_width
    apart, nearest = (places[..., None] - batch.centres[batch.shown][:, None]).abs().min(-1)
    classes = batch.characters[batch.shown].gather(1, nearest)
    return torch.where(apart < WITHIN * batch.pitches[batch.shown][:, None], classes, BLANK)


@torch.inference_mode()
def read_all(model: nn.Module, scenes: Scenes) -> list[str]:
    """What the undivided network reads."""
    texts: list[str] = []
    for i in range(0, len(scenes), BATCH):
        answer = model(brightness(scenes.frames[i : i + BATCH]))
        texts += texts_of(answer["characters"].numpy(), answer["score"].numpy())
    return texts


def ensure_trained(say: Say) -> store.Training:
    """The training on disk; where there is none that fits, train and write it."""
    found = store.finished()
    return found if found is not None else _train_and_write(say)


def _train_and_write(say: Say) -> store.Training:
    began = time.monotonic()
    torch.manual_seed(SEED)
    say(f"drawing {FRAMES} frames")
    scenes, test = draw_scenes(FRAMES, SEED), draw_scenes(TEST_FRAMES, TEST_SEED)
    say("training the detector and the large reader")
    models = {"small": small(), "large": large()}
    train_together(models["large"], scenes, say)
    models["small"].stem, models["small"].detector = models["large"].stem, models["large"].detector
    features = features_of(models["large"].eval(), scenes)
    for name, model in models.items():
        say(f"training the {name} reader alone")
        train_reader(model.reader, features, scenes, name, say)
    right = {name: accuracy(read_all(model.eval(), test), test.texts) for name, model in models.items()}
    if min(right.values()) < REQUIRED_ACCURACY:
        raise SystemExit(f"too few plates are read rightly: {right}; {REQUIRED_ACCURACY:.0%} is wanted")
    _write(models, scenes)
    training = store.Training(store.training_key(), time.monotonic() - began, right)
    store.write_record(training)
    return training


def _write(models: dict[str, PlateReader], scenes: Scenes) -> None:
    for name, model in models.items():
        weights = {key: value.contiguous() for key, value in model.state_dict().items()}
        store.write_atomically(store.weights_file(name), save(weights))
    store.save_arrays(store.folder() / store.CALIBRATION, {"x": scenes.frames[:CALIBRATION_FRAMES]})
    validation = draw_scenes(VALIDATION_FRAMES, VALIDATION_SEED)
    store.save_arrays(store.folder() / store.VALIDATION, {"x": validation.frames, "y": validation.characters})


def main() -> None:
    """Train if needed; epochs and the result are lines on stdout."""
    training = ensure_trained(_say)
    for name, share in training.accuracy.items():
        _say(f"{name} reader: {share:.1%} of {TEST_FRAMES} test frames; written to {store.weights_file(name)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
