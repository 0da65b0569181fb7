"""The control protocol, from the side of those who ask (docs/control.md).

`sync` and `async_` are its two ends; nothing is imported here, so that each face loads only its own.
"""
