"""How good the vectors of a table are, beside controls that the same code judges.

Input: `features` and `labels` of a root, and the same videos decoded again. Does: frozen probe, kNN, retrieval,
effective rank, PSNR and SSIM, for the model and its controls. Output: `<root>/evaluations/<version>`, an MLflow run.

probe, retrieval, intervals, judge, pca and fidelity need numpy, scikit-learn and torch only.
"""
