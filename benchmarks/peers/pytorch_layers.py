#!/usr/bin/env python3
"""Times the layers of the published U-Net, pass by pass, the Dice loss, the binary cross-entropy and a naive mean-shift loss with PyTorch.

Writes records of the same form as `meanshift-gpu bench --json`:
[{name, size, device, variant, precision, medianMs, gflops, peakBytes, peakGflops, percentOfPeak, gigabytesPerSecond, percentOfBandwidth, repeats}].
Needs PyTorch with CUDA (any 2.x). `--device cpu --shrink 7` checks the script in seconds without a GPU. What this PyTorch cannot run is named and left out.
"""

import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

# Edge, input channels, output channels of the 3^3 convolutions; edge of the input and channels of the transposed ones and of the poolings.
CONVOLUTIONS = [
    (56, 1, 32), (56, 32, 32), (28, 32, 48), (28, 48, 48), (14, 48, 64), (14, 64, 64),
    (28, 64, 64), (28, 112, 48), (56, 48, 48), (56, 80, 32),
]
UPSAMPLINGS = [(14, 64), (28, 48)]
POOLINGS = [(56, 32), (28, 48)]
PRECISIONS = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


class Bench:
    """Runs cases and collects their records."""

    def __init__(self, device, batch, seconds, shrink):
        self.device = torch.device(device)
        self.batch = batch
        self.seconds = seconds
        self.shrink = shrink
        self.records = []
        self.name = torch.cuda.get_device_name(self.device) if self.is_cuda else "CPU"
        self.convolutions = "cuDNN" if self.is_cuda else "oneDNN"
        self.items = "" if batch == 1 else f"{batch}×"

    @property
    def is_cuda(self):
        return self.device.type == "cuda"

    def synchronize(self):
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def set_precision(self, precision):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"

    def random(self, *shape, dtype=torch.float32):
        return (torch.rand(*shape, device=self.device) * 2 - 1).to(dtype)

    def volume(self, channels, edge, dtype):
        return self.random(self.batch, channels, edge, edge, edge, dtype=dtype).to(memory_format=torch.channels_last_3d)

    def time(self, name, size, variant, precision, operations, run):
        """Medians; on a GPU as many calls as take a millisecond are queued before each wait, as `bench` does."""
        try:
            for _ in range(3):
                run()
            self.synchronize()
        except RuntimeError as error:
            print(f"{name}, {size}, {variant} {precision}: left out: {str(error).splitlines()[0]}", flush=True)
            return
        peak = 0
        if self.is_cuda:
            before = torch.cuda.memory_allocated(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
            run()
            self.synchronize()
            peak = torch.cuda.max_memory_allocated(self.device) - before
        start = time.perf_counter()
        run()
        self.synchronize()
        once = (time.perf_counter() - start) * 1e3
        calls = min(100, max(1, int(-(-1 // once)) if once < 1 else 1)) if self.is_cuda else 1
        times = []
        begin = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begin < self.seconds:
            start = time.perf_counter()
            for _ in range(calls):
                run()
            self.synchronize()
            times.append((time.perf_counter() - start) * 1e3 / calls)
        median = statistics.median(times)
        self.records.append({
            "name": name, "size": size, "device": self.name, "variant": variant, "precision": precision, "medianMs": median,
            "gflops": operations / median / 1e6, "peakBytes": peak, "peakGflops": None, "percentOfPeak": None,
            "gigabytesPerSecond": None, "percentOfBandwidth": None, "repeats": len(times),
        })
        print(f"{name}, {size}, {variant} {precision}: {median:.3f} ms, {operations / median / 1e6:.0f} GFLOP/s, {peak / 2**20:.1f} MiB", flush=True)


def backward(grad, x, weight, transposed, want_input, padding=1):
    """One backward pass alone: of the input, or of weight and bias."""
    stride, padding = ([2] * 3, [0] * 3) if transposed else ([1] * 3, [padding] * 3)
    bias_sizes = [weight.shape[1] if transposed else weight.shape[0]]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, bias_sizes, stride, padding, [1] * 3, transposed, [0] * 3, 1, [want_input, not want_input, not want_input])


def layers(bench, precision):
    dtype = PRECISIONS[precision]
    with torch.no_grad():
        for edge, inputs, outputs in [(e // bench.shrink, i, o) for e, i, o in CONVOLUTIONS]:
            x = bench.volume(inputs, edge, dtype)
            grad = bench.volume(outputs, edge, dtype)
            weight = bench.random(outputs, inputs, 3, 3, 3, dtype=dtype).to(memory_format=torch.channels_last_3d)
            bias = bench.random(outputs, dtype=dtype)
            y = F.relu(F.conv3d(x, weight, bias, padding=1))
            size = f"{bench.items}{edge}³ {inputs}→{outputs}"
            operations = 2.0 * bench.batch * edge**3 * 27 * inputs * outputs
            # Ours applies the ReLU and its mask in the same kernel, so PyTorch's passes have them too.
            bench.time("conv3d Forward", size, bench.convolutions, precision, operations, lambda: F.relu_(F.conv3d(x, weight, bias, padding=1)))
            bench.time("conv3d BackwardInput", size, bench.convolutions, precision, operations, lambda: backward(grad * (y > 0), x, weight, False, True))
            bench.time("conv3d BackwardWeight", size, bench.convolutions, precision, operations, lambda: backward(grad * (y > 0), x, weight, False, False))
        for edge, channels in [(e // bench.shrink, c) for e, c in UPSAMPLINGS]:
            x = bench.volume(channels, edge, dtype)
            grad = bench.volume(channels, 2 * edge, dtype)
            weight = bench.random(channels, channels, 2, 2, 2, dtype=dtype).to(memory_format=torch.channels_last_3d)
            bias = bench.random(channels, dtype=dtype)
            size = f"{bench.items}{edge}³ {channels}→{channels}"
            operations = 2.0 * bench.batch * edge**3 * 8 * channels * channels
            bench.time("conv-transpose3d Forward", size, bench.convolutions, precision, operations, lambda: F.conv_transpose3d(x, weight, bias, stride=2))
            bench.time("conv-transpose3d BackwardInput", size, bench.convolutions, precision, operations, lambda: backward(grad, x, weight, True, True))
            bench.time("conv-transpose3d BackwardWeight", size, bench.convolutions, precision, operations, lambda: backward(grad, x, weight, True, False))
        for edge, channels in [(e // bench.shrink, c) for e, c in POOLINGS]:
            x = bench.volume(channels, edge, dtype)
            grad = bench.volume(channels, edge // 2, dtype)
            indices = F.max_pool3d(x.float(), 2, return_indices=True)[1]
            size = f"{bench.items}{edge}³ {channels}"
            bench.time("max-pool3d Forward", size, "PyTorch", precision, 0, lambda: F.max_pool3d(x, 2))
            bench.time("max-pool3d Backward", size, "PyTorch", precision, 0, lambda: torch.ops.aten.max_pool3d_with_indices_backward(
                grad, x, [2] * 3, [2] * 3, [0] * 3, [1] * 3, False, indices))
        edge, channels = 56 // bench.shrink, 32
        x = bench.volume(channels, edge, dtype)
        for outputs in 1, 8:
            weight = bench.random(outputs, channels, 1, 1, 1, dtype=dtype)
            bias = bench.random(outputs, dtype=dtype)
            grad = bench.volume(outputs, edge, dtype)
            p = torch.sigmoid(F.conv3d(x, weight, bias))
            size = f"{bench.items}{edge}³ {channels}→{outputs}"
            bench.time("sigmoid-head Forward", size, "PyTorch", precision, 0, lambda: torch.sigmoid(F.conv3d(x, weight, bias)))
            bench.time("sigmoid-head BackwardInput", size, "PyTorch", precision, 0, lambda: backward(grad * p * (1 - p), x, weight, False, True, padding=0))
            bench.time("sigmoid-head BackwardWeight", size, "PyTorch", precision, 0, lambda: backward(grad * p * (1 - p), x, weight, False, False, padding=0))


def binary_cross_entropy(bench):
    edge = 56 // bench.shrink
    p = (torch.rand(bench.batch, edge, edge, edge, device=bench.device) * 0.96 + 0.02).requires_grad_()
    target = (torch.rand(bench.batch, edge, edge, edge, device=bench.device) > 0.9).float()

    def step():
        p.grad = None
        F.binary_cross_entropy(p, target).backward()

    bench.time("binary-cross-entropy Forward + Backward", f"{bench.items}{edge}³", "PyTorch", "float32", 0, step)


def dice(bench):
    edge = 56 // bench.shrink
    p = torch.rand(bench.batch, edge, edge, edge, device=bench.device, requires_grad=True)
    target = (torch.rand(bench.batch, edge, edge, edge, device=bench.device) > 0.9).float()

    def step():
        loss = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
        p.grad = None
        loss.backward()

    bench.time("dice Forward + Backward", f"{bench.items}{edge}³", "PyTorch", "float32", 0, step)


def mean_shift(bench, weighting, iterations=10, seeds=256, bandwidth=4.0, floor=0.05):
    """The loss as one writes it with autograd: every seed against every voxel."""
    edge = 56 // bench.shrink
    axis = torch.arange(edge, dtype=torch.float32, device=bench.device)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    generator = torch.Generator().manual_seed(1)
    centers = (torch.rand(10, 3, generator=generator) * 0.64 + 0.18).to(bench.device) * edge
    starts = centers[torch.arange(seeds) % 10] + ((torch.rand(seeds, 3, generator=generator) * 2 - 1) * 4).to(bench.device)
    scores = torch.rand(edge**3, generator=generator).to(bench.device).requires_grad_()

    def step():
        points = starts
        for _ in range(iterations):
            squared = torch.cdist(points, grid).square() / bandwidth**2
            weight = torch.where(squared < 1, 1 - squared if weighting == "Epanechnikov" else torch.ones_like(squared), torch.zeros_like(squared))
            mass = weight * (scores + floor)
            points = (mass @ grid) / mass.sum(1, keepdim=True).clamp_min(1e-12)
        distances = torch.cdist(centers, points)
        loss = distances.min(1).values.mean() + distances.min(0).values.mean()
        scores.grad = None
        loss.backward()

    size = f"{edge}³, {seeds} seeds, {iterations} iterations, {weighting}"
    bench.time("mean-shift loss, forward and backward", size, "PyTorch naive", "float32", 0, step)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--seconds", type=float, default=1, help="each case is repeated for at least this long")
    parser.add_argument("--shrink", type=int, default=1, help="divide every edge by this, for a check of the script (1, 2 or 7)")
    parser.add_argument("--skip-mean-shift", action="store_true", help="the naive loss needs some 10 GiB and, on a CPU, minutes")
    parser.add_argument("--json", help="where to write the records")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("error: PyTorch finds no CUDA device. Check nvidia-smi and that this PyTorch is built for CUDA, or use --device cpu.")

    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    bench = Bench(options.device, options.batch, options.seconds, options.shrink)
    cudnn = torch.backends.cudnn.version() if bench.is_cuda else None
    print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}, {bench.name}")
    for precision in options.precision:
        bench.set_precision(precision)
        layers(bench, precision)
    bench.set_precision("float32")
    dice(bench)
    binary_cross_entropy(bench)
    if not options.skip_mean_shift:
        for weighting in ("Flat", "Epanechnikov"):
            mean_shift(bench, weighting)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(bench.records, file, ensure_ascii=False, indent=2)


if __name__ == "__main__":
    main()
