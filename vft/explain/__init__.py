"""Where and when a model looks: maps over a clip, their tests against chance, and pictures of them."""
