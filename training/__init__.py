"""Offline training, evaluation and export of every network the service runs."""
