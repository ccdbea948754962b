"""The keys of a config that bound what it takes, the same for every type whose origins are servers.

How many connections there are at a time stands with each type, since their origins differ in that.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from streamer.importers.config_values import TEXT, Address, Count
from streamer.settings import TIME_TEXT, Seconds, SecondsOrNever, Size


class LimitKeys(BaseModel):
    """What a model of a config inherits; a `description` says what is allowed."""

    # A waiter costs some kilobytes, and the deadline of its exchange ends it: a thousand are a
    # hundred clients with ten connections each, or a second's worth of small files.
    queue: Count = Field(
        default=1000, ge=0, le=100_000, description="a whole number from 0 to 100000"
    )
    bandwidth_limit: Size | None = Field(
        default=None, ge=1024, description="a size such as 10MiB, per second, from 1KiB"
    )
    connect_timeout: Seconds = Field(default=10.0, le=300, description=f"{TIME_TEXT}, at most 5m")
    # Below what common servers of FTP allow (vsftpd, pyftpdlib 300 s; some mirrors 60 s).
    keep_alive: SecondsOrNever = Field(
        default=30.0, le=3600, description=f"{TIME_TEXT}, at most 1h; or 0"
    )
    max_retries: Count = Field(default=3, ge=0, le=10, description="a whole number from 0 to 10")
    bind_address: Address | None = Field(default=None, description=TEXT)
