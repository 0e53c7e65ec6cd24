"""What watches a running server, and the choice of PyTorch for `make`."""
