"""Pictures drawn by our own code, with exact truth, for what no real picture may be shipped or no real truth exists."""
