"""Public downloads turned into what training reads, each step resumable."""
