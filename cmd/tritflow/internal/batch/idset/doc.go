// Package idset remembers which ids a job has seen, and on which line, in a
// fixed amount of memory.
//
// An id becomes 16 bytes: 80 bits of its SHA-256 and 48 bits of the line. They
// stand in a hash table of 4 KiB pages that is at most seven tenths full, so an
// id costs 23 to 46 bytes. The first 45,000 ids are kept in memory (1 MiB);
// beyond that the table is a temporary file that doubles as it fills, and the
// process holds one page of it. Looking up and adding is then one read and one
// small write, which the system's cache answers. Two different ids among a
// billion are taken for the same with a probability of 4e-7.
package idset
