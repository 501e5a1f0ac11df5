"""The commands of `python -m ops`: what each is called with, and what it prints."""
