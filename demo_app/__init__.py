"""The demo: one page on the loopback address that shows what the runtime does."""
