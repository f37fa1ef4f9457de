"""Training from a packed clip file, without Ray: numpy, torch, scikit-learn and safetensors are enough."""
