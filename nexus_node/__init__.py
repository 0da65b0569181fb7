"""Nexus Node: a mesh store-and-forward node and the end-to-end encrypted messenger that runs on it."""

__version__ = "0.1.0"
