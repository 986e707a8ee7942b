"""The measured work itself; imported as ``bench.kernels``. Nothing here knows of the harness."""
