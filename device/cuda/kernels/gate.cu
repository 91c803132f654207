// build: compute_80 sm_90a
// The activation of gates that were not computed together with what they let through.
#include "common.cuh"

// gate_rows combines gate and up, which stand side by side: grid (columns/256, rows).
extern "C" __global__ void gate_rows(float *dst, const float *both, int64_t ffn, int64_t act) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    pdl_release();
    pdl_wait();
    if (i >= ffn) return;
    float gate = both[blockIdx.y * 2 * ffn + i], up = both[blockIdx.y * 2 * ffn + ffn + i];
    float y;
    if (act == 1) {
        float r = gate <= 0.f ? 0.f : gate;
        y = __fmul_rn(__fmul_rn(r, r), up);
    } else {
        y = __fmul_rn(__fdiv_rn(gate, 1.f + expf(-gate)), up);
    }
    dst[blockIdx.y * ffn + i] = y;
}
