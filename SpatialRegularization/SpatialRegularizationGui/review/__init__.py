"""Show a result: overlays, comparisons, figures, and applying the transform to more nodes."""
