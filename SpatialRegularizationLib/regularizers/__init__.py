"""-log p(u | λ): how rough the deformation is, weighted by λ(p)."""
