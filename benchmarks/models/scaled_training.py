"""Trains the scaled digits network, seeded, in a few minutes on 2 cores: `python -m benchmarks.models.scaled_training`.

Of the pictures that the example learns from, some are kept back as validation data: bit widths are chosen by those, and
what is reported is counted on the test pictures, which neither training nor planning has seen.
"""

import sys
import time
from collections.abc import Iterator

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from benchmarks.models import scaled_store as store
from benchmarks.models.scaled_digits import ScaledDigitNet
from examples import artefacts
from examples.digits.data import Pictures, load_pictures
from examples.digits.model import weights_of
from examples.digits.train import brightness, logits

SEED = 0
SIDES = (48, 48, 48, 96, 96, 96)
"""The pictures' side in each epoch: half of it first, which costs a quarter."""
BATCH = 32
RATE = 2e-3
CALIBRATION_PICTURES, VALIDATION_PICTURES = 128, 300
REQUIRED_ACCURACY = 0.95


def ensure_trained() -> store.Training:
    """The training on disk; where there is none that fits, train and write it."""
    return store.finished() or _train_and_write()


def _train_and_write() -> store.Training:
    began = time.monotonic()
    seen, test = load_pictures(SEED)
    validation = Pictures(seen.x[:VALIDATION_PICTURES], seen.y[:VALIDATION_PICTURES])
    learn = Pictures(seen.x[VALIDATION_PICTURES:], seen.y[VALIDATION_PICTURES:])
    network = train(learn)
    answers = logits(network, test)
    accuracy = float((answers.argmax(1) == test.y).mean())
    if accuracy < REQUIRED_ACCURACY:
        raise SystemExit(f"the network reads {accuracy:.1%} of the test pictures; {REQUIRED_ACCURACY:.0%} is wanted")
    artefacts.write_atomically(store.WEIGHTS, save(weights_of(network)))
    artefacts.save_arrays(store.CALIBRATION, {"x": learn.x[:CALIBRATION_PICTURES]})
    artefacts.save_arrays(store.VALIDATION, {"x": validation.x, "y": validation.y})
    artefacts.save_arrays(store.TEST, {"x": test.x, "y": test.y, "logits": answers})
    training = store.Training(store.training_key(), accuracy, time.monotonic() - began)
    store.write_record(training)
    return training


def train(pictures: Pictures) -> ScaledDigitNet:
    """A network trained on `pictures`; the same one each time on the same machine."""
    torch.manual_seed(SEED)
    network = ScaledDigitNet().to(memory_format=torch.channels_last)
    steps = len(SIDES) * -(-len(pictures.y) // BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    began = time.monotonic()
    for number, side in enumerate(SIDES, 1):
        for x, y in _batches(pictures, side):
            loss = functional.cross_entropy(network(x), y, label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        _say(f"epoch {number} of {len(SIDES)}: loss {loss.item():.3f} after {time.monotonic() - began:.0f} s")
    return network.eval()


def _batches(pictures: Pictures, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The pictures in random order, each batch moved a little, so that where a digit stands does not matter."""
    reach = pictures.x.shape[-1] // 12
    for chosen in torch.randperm(len(pictures.y)).split(BATCH):
        shift = torch.randint(-reach, reach + 1, (2,)).tolist()
        x = torch.roll(brightness(pictures.x[chosen.numpy()]), shift, (2, 3))
        x = functional.adaptive_avg_pool2d(x, side).contiguous(memory_format=torch.channels_last)
        yield x, torch.from_numpy(pictures.y[chosen.numpy()])


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    _say(f"{ensure_trained().accuracy:.1%} of the test pictures; written to {store.FOLDER}")
