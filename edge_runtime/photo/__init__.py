"""Whole photographs: files with all that they say, folders of them, many at once."""
