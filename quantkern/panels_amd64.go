//go:build !noasm

package quantkern

import "tritflow/quantkern/amx"

// boundPanels is panels.bound:
//
//	codes of 8 groups × 64 ─ unpack ─ left tiles ─┐
//	activations of 16 rows × 64, right tiles ─────┴─ dots [rows of codes][32] ─ turn, end ─ dst
//
// Codes come from memory once: other 32 rows of activations find them in the second cache.
func boundPanels(dst []float32, stride int, s *Screen, g0, g1 int, y *screenRowsOf, rows int) {
	const together = panelRows / screenRows
	var dots [panelRows * panelRows]int32
	var turned [actTileRows * actTileRows]int32
	var room [4 * actTile]byte
	chunks := uintptr(s.chunks)
	for g := g0; g < g1; g += together {
		n := min(together, g1-g)
		six, low := &s.six[g*s.chunks*sixBytes], &s.low[g*s.chunks*lowBytes]
		for i := 0; i < rows; i += panelRows {
			acts := &y.bytes[i*y.stride]
			if rows-i > actTileRows {
				amx.CoarsePanelx2(&dots[0], six, low, uintptr(n), acts, uintptr(actTileRows*y.stride), chunks, &room[0])
			} else {
				amx.CoarsePanelx1(&dots[0], six, low, uintptr(n), acts, 0, chunks, &room[0])
			}
			for r := 0; r < n*screenRows; r += actTileRows {
				mask := uint32(1<<min(actTileRows, n*screenRows-r) - 1)
				for k := i; k < min(rows, i+panelRows); k += actTileRows {
					amx.CoarseEnd(&dst[k*stride+(g-g0)*screenRows+r], uintptr(4*stride), &dots[r*panelRows+k-i], &turned[0], uintptr(min(actTileRows, rows-k)), mask,
						&y.bases[bitChoices-1][k], &s.coefs[bitChoices-1][g*screenCoefs+r*3], &y.widths[2*k])
				}
			}
		}
	}
}
