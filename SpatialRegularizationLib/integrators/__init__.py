"""From the unknown (a velocity) to the displacement u: how p(u | λ) and p(f | m∘φ) speak of the same map."""
