"""The command line `multi-llm`: thin commands over the library. Needs the extra `[cli]` (click and rich).

A command's module imports click alone when it is loaded; the library and rich come when the command runs, so that
`--version`, `--help` and completion are quick.
"""
