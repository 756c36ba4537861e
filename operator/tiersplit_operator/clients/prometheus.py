"""Asking Prometheus: bounded in time and size, and an error in words for whatever is no answer."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any, Self

import httpx

from tiersplit_core.errors import OperationError
from tiersplit_operator.adaptation.samples import Sample

MAX_BYTES = 16 * 2**20
MAX_SAMPLES = 200_000
MAX_TOKEN_BYTES = 64 * 2**10
_SHOWN = 200


class PrometheusClient:
    """Instant queries; an asynchronous context manager.

    Args:
        bearer_file: file with a bearer token, read at every query; empty: none.
    """

    def __init__(self, bearer_file: str = "") -> None:
        self._bearer = Path(bearer_file) if bearer_file else None
        # Who asks bounds how many queries are under way: none waits for a connection that one which hangs keeps.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(follow_redirects=False, trust_env=False, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._http.aclose()

    async def query(self, server: str, promql: str, timeout_s: float) -> list[Sample]:
        """The instant vector that `promql` evaluates to now.

        Args:
            server: base address, without a trailing slash.
            promql: the query.
            timeout_s: for everything, the evaluation included.

        Raises:
            OperationError: no answer in time, too large a one, an error, or no vector.
        """
        form = {"query": promql, "timeout": f"{timeout_s:.3f}"}
        try:
            # httpx limits each wait, not their sum.
            async with asyncio.timeout(timeout_s):
                body, status = await self._post(f"{server}/api/v1/query", form)
        except TimeoutError as error:
            raise OperationError(f"Prometheus does not answer within {timeout_s:g} s") from error
        except UnicodeError as error:
            raise OperationError("the file with Prometheus' bearer token is no text") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise OperationError(f"Prometheus does not answer: {error or type(error).__name__}") from error
        return _vector(body, status)

    async def _post(self, url: str, form: dict[str, str]) -> tuple[bytes, int]:
        # A few compressed bytes could become any number.
        headers = {"Accept-Encoding": "identity"} | self._authorization()
        found = bytearray()
        async with self._http.stream("POST", url, data=form, headers=headers, timeout=None) as answer:
            async for piece in answer.aiter_raw():
                found += piece
                if len(found) > MAX_BYTES:
                    raise OperationError(f"Prometheus answers more than {MAX_BYTES} bytes")
            return bytes(found), answer.status_code

    def _authorization(self) -> dict[str, str]:
        if self._bearer is None:
            return {}
        with self._bearer.open("rb") as file:
            return {"Authorization": f"Bearer {file.read(MAX_TOKEN_BYTES).decode('ascii').strip()}"}


def _vector(body: bytes, status: int) -> list[Sample]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise OperationError(f"Prometheus answers {status} and no JSON") from error
    if not isinstance(value, dict) or value.get("status") != "success":
        said = value.get("error", "") if isinstance(value, dict) else ""
        raise OperationError(f"Prometheus answers {status}: {str(said)[:_SHOWN] or 'no success'}")
    data = value.get("data")
    found = data.get("result") if isinstance(data, dict) and data.get("resultType") == "vector" else None
    if not isinstance(found, list) or len(found) > MAX_SAMPLES:
        raise OperationError("Prometheus answers no vector, or one too long")
    return [_sample(item) for item in found]


def _sample(item: Any) -> Sample:
    try:
        labels, (_, number) = item["metric"], item["value"]
        return Sample({str(name): str(text) for name, text in labels.items()}, float(number))
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return Sample({}, math.nan)
