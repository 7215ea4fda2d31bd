"""Other clients beside ours, on the same upstream and in the same run: `make bench-peers`.

roster         who is measured, and in which mode
environments   one pinned environment for each, in `.bench/`
worker         the process in such an environment; `adapters/` say how each client is asked
process        how the driver speaks to workers
speed, starts  the measures
faults         what they make of a provider that fails
replay         a server that answers with recorded exchanges
expected       what the recordings say, read by hand
reading        what each client made of them
"""
