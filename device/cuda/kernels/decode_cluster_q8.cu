// build: sm_90a
// Attention of decoding by clusters, keys and values as codes.
#include "decode_cluster.cuh"

CLUSTERS(Bytes, _q8)
