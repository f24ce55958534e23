"""Train one neural network on whatever machines are to hand."""
