"""Commands of the export layer."""
