"""Speed, memory and pictures, each beside a peer in the same run where there is one.

Every file with a `main` is a program, `python -m benchmarks.NAME --help`; what they measured is in
RESULTS.md. `timing`, `peers` and `killing` have what they are made of.
"""
