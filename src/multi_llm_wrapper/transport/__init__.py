"""Moving bytes: the HTTP transport, its protocol, and the watch that limits waiting."""

from .base import MAX_REPLY_BYTES, HTTPRequest, HTTPResponse, Transport

__all__ = ["MAX_REPLY_BYTES", "HTTPRequest", "HTTPResponse", "Transport"]
