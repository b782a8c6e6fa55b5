"""Published measurements of files that are exported for them."""
