"""What each recipe trains: its examples, its loss, and how it is scored."""
