// build: sm_90a
// Attention of decoding by clusters, keys and values as halves.
#include "decode_cluster.cuh"

#define CLUSTERS(N, BLOCKS, HEADS) CLUSTER(N, BLOCKS, 64, HEADS, Halves, ) CLUSTER(N, BLOCKS, 128, HEADS, Halves, )

CLUSTERS(8, 4, 4)
CLUSTERS(6, 4, 4)
CLUSTERS(5, 4, 4)
CLUSTERS(5, 5, 4)
CLUSTERS(4, 5, 4)
CLUSTERS(8, 4, 16)
CLUSTERS(6, 4, 16)
CLUSTERS(5, 4, 16)
CLUSTERS(4, 4, 16)
