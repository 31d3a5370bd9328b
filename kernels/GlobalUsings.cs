// What nearly every file of kernels names.
global using System.Numerics;
global using System.Runtime.CompilerServices;
global using ILGPU;
global using ILGPU.Runtime;
global using MeanShiftGpu.Kernels.Machine;
global using MeanShiftGpu.Kernels.Machine.Real;
global using MeanShiftGpu.Kernels.Machine.Sums;
