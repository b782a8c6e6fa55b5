"""The runtime that runs on the device: numpy, Pillow and one engine."""

__version__ = "0.1.0"
