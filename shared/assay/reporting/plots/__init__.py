"""Plots as inline SVG, drawn by hand: the same values give the same text, and the page's style colours them."""
