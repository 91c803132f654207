// Package journal is the append-only record of a batch job: what was read, what
// was answered, and that it is done. It is the truth; the output file can be
// made again from it at any time.
//
//	file   = record*
//	record = length u32 │ CRC-32C u32 │ kind u8, payload     (little-endian; both over kind and payload)
//
//	H  the job as JSON: model, cache, defaults …             first, once
//	I  index u64, then 8 bytes a line                        digests of consecutive input lines
//	L  index u64, tokens in u32, out u32, failed u8, bytes   the finished output line of an input line
//	D  the totals as JSON                                    last, once
//
// Digests of all lines up to n are written before the answer of line n, so an
// input that changed is always noticed. Answers stand in the order in which
// they were finished.
//
// A record counts when its length is possible and its checksum is right. Scan
// stops at the first that does not count: a write that was torn, or what was
// not on the disk yet when the power went. Everything behind it is cut off. A
// line that is lost that way is computed again and comes out the same, so
// syncing decides how much work a loss of power can cost and never what the
// output holds.
package journal
