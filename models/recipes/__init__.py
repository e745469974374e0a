"""Recipes: one module a model; each trains, certifies, scores the integers and saves a package."""
