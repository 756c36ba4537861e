"""Trains the demo's network, seeded, in about 40 seconds on 2 cores: `python -m examples.digits.train`.

Pictures of half the size first, which costs a quarter, then full size. Writes the weights, the calibration, validation
and test data; a repeat finds them and does nothing.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from examples.digits import store
from examples.digits.data import Pictures, load_pictures
from examples.digits.model import DigitNet, weights_of

SEED = 0
HALF_SIZE_EPOCHS, FULL_SIZE_EPOCHS = 4, 2
BATCH = 32
RATE = 4e-3
SHIFT = 8
CALIBRATION_PICTURES = 128
REQUIRED_ACCURACY = 0.97


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far a training is: `number` of `total` epochs done, the last batch's loss, seconds since it began."""

    number: int
    total: int
    loss: float
    seconds: float


def train(pictures: Pictures, report: Callable[[Epoch], None]) -> DigitNet:
    """A network trained on `pictures`; the same one each time on the same machine."""
    torch.manual_seed(SEED)
    model = DigitNet().to(memory_format=torch.channels_last)
    epochs = HALF_SIZE_EPOCHS + FULL_SIZE_EPOCHS
    steps = epochs * -(-len(pictures.y) // BATCH)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    began = time.monotonic()
    for number in range(epochs):
        for x, y in _batches(pictures, half_size=number < HALF_SIZE_EPOCHS):
            loss = functional.cross_entropy(model(x), y, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        report(Epoch(number + 1, epochs, loss.item(), time.monotonic() - began))
    return model.eval()


def _batches(pictures: Pictures, *, half_size: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """The pictures in random order, each batch moved a little, so that where a digit stands does not matter."""
    order = torch.randperm(len(pictures.y)).numpy()
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        x = brightness(pictures.x[chosen])
        shift = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
        x = torch.roll(x, shift, (2, 3))
        x = functional.avg_pool2d(x, 2) if half_size else x
        yield x.to(memory_format=torch.channels_last), torch.from_numpy(pictures.y[chosen])


def brightness(pixels: NDArray[np.uint8]) -> Tensor:
    """Bytes as the network reads them: 0 to 1. The import makes this the first layer of the divided network."""
    return torch.from_numpy(pixels).float() / 255


@torch.inference_mode()
def logits(model: nn.Module, pictures: Pictures) -> NDArray[np.float32]:
    """N×10 answers of the whole, undivided network: what every split has to answer too."""
    parts = [model(brightness(pictures.x[i : i + 60])) for i in range(0, len(pictures.y), 60)]
    answers: NDArray[np.float32] = torch.cat(parts).numpy()
    return answers


def ensure_trained(report: Callable[[Epoch], None]) -> store.Training:
    """The training on disk; where there is none that fits, train and write it."""
    found = store.finished()
    return found if found is not None else _train_and_write(report)


def _train_and_write(report: Callable[[Epoch], None]) -> store.Training:
    began = time.monotonic()
    learn, test = load_pictures(SEED)
    model = train(learn, report)
    answers = logits(model, test)
    accuracy = float((answers.argmax(1) == test.y).mean())
    if accuracy < REQUIRED_ACCURACY:
        raise SystemExit(
            f"the network reads only {accuracy:.1%} of the test pictures; {REQUIRED_ACCURACY:.0%} is wanted"
        )
    parameters = sum(value.numel() for value in model.parameters())
    store.write_atomically(store.folder() / store.WEIGHTS, save(weights_of(model)))
    store.save_arrays(store.folder() / store.CALIBRATION, {"x": learn.x[:CALIBRATION_PICTURES]})
    store.save_arrays(store.folder() / store.VALIDATION, {"x": test.x, "y": test.y})
    store.save_arrays(store.folder() / store.TEST, {"x": test.x, "y": test.y, "logits": answers})
    training = store.Training(store.training_key(), accuracy, len(test.y), parameters, time.monotonic() - began)
    store.write_record(training)
    return training


def main() -> None:
    """Train if needed; each epoch and the result are a line on stdout, as JSON with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print lines of JSON")
    as_json = parser.parse_args().json
    training = ensure_trained(partial(_say_epoch, as_json))
    if as_json:
        _say({"accuracy": training.accuracy, "seconds": training.seconds})
    else:
        sys.stdout.write(f"{training.accuracy:.1%} of {training.pictures} test pictures; written to {store.folder()}\n")


def _say_epoch(as_json: bool, epoch: Epoch) -> None:
    if as_json:
        _say({"epoch": epoch.number, "epochs": epoch.total, "loss": epoch.loss, "seconds": epoch.seconds})
    else:
        sys.stdout.write(f"epoch {epoch.number} of {epoch.total}: loss {epoch.loss:.3f} after {epoch.seconds:.0f} s\n")
        sys.stdout.flush()


def _say(value: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
