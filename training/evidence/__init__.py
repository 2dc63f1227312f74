"""Every figure of a card, from rows that are kept: what is measured, how rows become figures, where both are kept."""
