using NUnit.Framework;

// The machine's cores belong to the kernels under test; parallel fixtures would only compete for them.
[assembly: NonParallelizable]
