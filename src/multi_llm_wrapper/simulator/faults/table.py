"""All faults by name."""

from __future__ import annotations

from . import bodies, connection, refused, streams
from .fault import Fault

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*refused.FAULTS, *connection.FAULTS, *bodies.FAULTS, *streams.FAULTS)
}
