// One module of all kernels.
#include "norm.cu"
#include "pack.cu"
#include "ternary_few.cu"
#include "ternary_many.cu"
