"""Answers once: the cache in front of a call.

cache       the way of a call through it
key         what makes two requests the same
entry       what is kept of an answer, in bytes
flight      one request for all who ask the same at the same time
broadcast   the same for streams
store       which store a URL means: memory, sqlite or redis
guard       time limit and rest for a store that is slow or down
thread      where a file is read and written
"""

from .cache import Cache
from .entry import Entry
from .flight import Shared
from .key import Question

__all__ = ["Cache", "Entry", "Question", "Shared"]
