"""-log p(λ): what is believed of the weight map, each with the closed-form λ where one exists."""
