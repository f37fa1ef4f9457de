"""Pixels become codes, and codes pixels.

input   float (B, C, T, H, W) in [-1, 1]
does    a spatio-temporal convolutional residual autoencoder, in the article's form or ours, and its checkpoint folders
output  a reconstruction, a spatial code z, one vector per time step and their mean: the embedding

Needs nothing but torch, numpy and safetensors. docs/model.md has the figures.
"""
