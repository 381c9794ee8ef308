"""-log p(fixed | warped): how unlike the two images are."""
