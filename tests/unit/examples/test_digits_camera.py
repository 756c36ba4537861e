import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from examples.digits import camera as camera_module
from examples.digits.camera import IN_FLIGHT, Camera, KnownPictures, Reply, latencies
from tests.support.virtual_time import run_virtually

LOGITS = np.eye(10, dtype=np.float32)


def pictures(count: int = 10) -> KnownPictures:
    x = np.zeros((count, 3, 96, 96), np.uint8)
    return KnownPictures(x, np.arange(count) % 10, LOGITS[np.arange(count) % 10])


class Head:
    """Answers like the undivided network, and counts."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s, self.asked, self.now, self.most = wait_s, list[str](), 0, 0

    async def ask(self, request_id: str, picture: NDArray[np.uint8]) -> Reply:
        self.asked.append(request_id)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.wait_s)
        self.now -= 1
        return Reply(request_id, LOGITS[int(request_id) % 10], "sha256:plan")


def send(camera: Camera, period_s: float, seconds: float) -> None:
    """Send in virtual time."""

    async def sending() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        await camera.paced(period_s, stop)

    with pytest.MonkeyPatch.context() as patch:
        run_virtually(sending(), [camera_module], patch)


def test_every_picture_is_sent_once_and_its_answer_judged() -> None:
    head = Head()
    camera = Camera(head.ask, pictures())
    send(camera, 0.01, 0.2)
    assert len(head.asked) == len(set(head.asked)) == len(camera.answers) == camera.sent > 3
    assert all(answer.right and answer.same and answer.plan == "sha256:plan" for answer in camera.answers)


def test_no_more_pictures_are_on_their_way_than_agreed() -> None:
    head = Head(wait_s=0.05)
    send(Camera(head.ask, pictures()), 0.001, 0.3)
    assert head.most == IN_FLIGHT


def test_a_picture_that_had_to_wait_counts_from_when_it_was_due() -> None:
    camera = Camera(Head(wait_s=0.05).ask, pictures())
    send(camera, 0.001, 0.3)
    assert max(latencies(camera.answers)) > 0.15


def test_a_picture_whose_request_fails_is_lost_with_its_reason() -> None:
    async def ask(request_id: str, picture: NDArray[np.uint8]) -> Reply:
        raise ConnectionError("nobody is there")

    answer = asyncio.run(Camera(ask, pictures()).one())
    assert answer.latency_s is None
    assert answer.trouble == "nobody is there"


def test_the_answer_to_another_request_counts_as_lost() -> None:
    async def ask(request_id: str, picture: NDArray[np.uint8]) -> Reply:
        return Reply("77", LOGITS[0], "p")

    answer = asyncio.run(Camera(ask, pictures()).one())
    assert answer.latency_s is None
    assert "'77'" in answer.trouble


def test_an_answer_that_is_not_the_undivided_networks_is_noticed() -> None:
    async def ask(request_id: str, picture: NDArray[np.uint8]) -> Reply:
        return Reply(request_id, LOGITS[0] * 1.1, "p")

    answer = asyncio.run(Camera(ask, pictures()).one())
    assert answer.right
    assert not answer.same
