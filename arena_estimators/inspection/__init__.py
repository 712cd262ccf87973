"""What a fitted model has learned, told in words and pictures."""
