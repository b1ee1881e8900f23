"""Coarsening: clusters of neighbouring nodes become the nodes of a smaller graph (Loukas, JMLR 2019)."""
