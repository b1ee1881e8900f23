"""Data-Genie (arXiv:2201.04768, section 5): which sampler will keep the ranking of recommenders on this dataset?"""
