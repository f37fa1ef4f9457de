"""Clips become a trained network.

input   batches of uint8 frames and label indices, a TrainConfig
does    corrupts the clips, rebuilds them, classifies those that have a label; one step at a time, on one device or many
output  weights, optimizer state, and numbers per step
"""
