// build: sm_90a
// Attention of decoding by clusters, keys and values as halves.
#include "decode_cluster.cuh"

CLUSTERS(Halves, )
