# Reads a model of this program's as the page EMBEDDING.md says, and writes the files beside this one. The
# committed ones were written by Debian 13's python3-torch 2.6.0+dfsg-7 and python3-safetensors 0.5.2-1+b1.
#
#     python3 write.py ../version-0.1/run/model.safetensors .
import sys
import torch
from safetensors import safe_open
from safetensors.torch import save_file

model, folder = sys.argv[1:]
with safe_open(model, framework="pt") as file:
    metadata = file.metadata()
    weights = {name: file.get_tensor(name) for name in file.keys()}
first = torch.nn.Conv3d(1, weights["enc0.conv0.bias"].numel(), kernel_size=3, padding=1)
first.weight.data, first.bias.data = weights["enc0.conv0.weight"], weights["enc0.conv0.bias"]
weights["head.bias"] -= 0.5
save_file(weights, f"{folder}/changed.safetensors", metadata=metadata)

# What PyTorch computes with the weights that it has read.
volume = torch.arange(3 * 4 * 5, dtype=torch.float32).reshape(1, 1, 3, 4, 5).sin()
save_file({"input": volume, "output": first(volume).detach()}, f"{folder}/first-layer.safetensors")
