"""Figures for papers, drawn without a screen and the same every time: panels, curves, charts."""
