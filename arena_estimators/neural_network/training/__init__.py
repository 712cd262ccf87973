"""What exists only while a network is trained."""
