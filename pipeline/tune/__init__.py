"""Which settings of training make the best vectors, found by trying.

input   a catalog, and a small space of settings that is declared
does    trains a trial for each point drawn from it, stops the poor ones early, scores all on videos kept from training
output  a table of trials, and the best settings as options of `sora train`

trials, space and scores need no Ray.
"""
