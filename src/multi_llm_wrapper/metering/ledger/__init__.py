"""The ledger: one row for each call, kept for as long as its owner likes.

base      what a ledger is, and which one a URL means
writer    a ledger in front of what blocks
run       its queue and its thread
sink      what it writes to, and within which bounds
notes     what the log is told
sqlite    the rows in a file: schema, migrations, several processes
rows      a record as a row
reader    rows, for who reads
parts     a row as what counts of it: the call, and who had which part
summary   the way back: sums by day, hour, model, provider or tag
"""

from .base import Ledger, open_ledger

__all__ = ["Ledger", "open_ledger"]
