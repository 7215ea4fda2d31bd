"""What the client costs, measured beside a raw HTTP client: `make bench`."""
