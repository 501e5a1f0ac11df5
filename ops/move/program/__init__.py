"""The program of a move that runs beside the data."""
