"""`spec.tls`: how stages and clients recognise each other."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from tiersplit_api.v1alpha1.base import ApiModel, ShortText, off_as_word


class TlsMode(StrEnum):
    """Whether connections are encrypted."""

    MUTUAL = "Mutual"
    OFF = "Off"


class Tls(ApiModel):
    """Certificates of the stages, in cert-manager's layout."""

    mode: Annotated[TlsMode, BeforeValidator(off_as_word)] = Field(
        default=TlsMode.MUTUAL,
        description="mode is Mutual (stages check each other, clients check the head), or Off for plain text.",
    )
    secret_name: ShortText | None = Field(
        default=None,
        description="secretName is the Secret with tls.crt, tls.key and ca.crt; the resource's name and -tls if unset.",
    )
