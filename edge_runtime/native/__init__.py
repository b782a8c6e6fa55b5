"""The C++ interface to ExecuTorch's runtime."""
