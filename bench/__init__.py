"""The bench room: what a node costs, against a bare loop and against peers (docs/benchmarks.md)."""
