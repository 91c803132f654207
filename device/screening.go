package device

// Screener is a device that can answer the largest logits from a low-bit copy
// of the head and a few exact products, with the bits of the full head. Ask a
// Device for it by a type assertion.
type Screener interface {
	// SetScreening chooses how heads that are loaded from now on are screened:
	// ScreenAuto, ScreenSix, ScreenEight, ScreenOff or ScreenNow. The error names
	// another mode.
	SetScreening(mode string) error
	// Screening reads the counters.
	Screening() Screening
}

// Modes of screening.
const (
	ScreenAuto  = "auto" // a copy of 8 bits, made in the background, where that pays; each step reads as many of the bits as it needs
	ScreenSix   = "6"    // the same, but a CPU always reads the six upper bits
	ScreenEight = "8"    // the same, but a CPU always reads all of them
	ScreenOff   = "off"  // the full head always
	ScreenNow   = "now"  // as auto, but made at the first use, before it is answered, whether it pays or not
)

// Screening tells what became of a device's screening copies and of the
// outputs that asked for the largest logits alone.
type Screening struct {
	State    string `json:"state"`            // of the head loaded last: "off", "idle" (not asked for yet), "building", "ready", "failed", or "" without a head
	Reason   string `json:"reason,omitempty"` // why it is off or has failed
	Bytes    int64  `json:"bytes"`            // that bounds are made of: the copies, or heads bounded where they lie with the norms of their rows
	Screened uint64 `json:"screened"`         // outputs answered by screening
	Rescored uint64 `json:"rescored"`         // exact products of these
	Full     uint64 `json:"full"`             // outputs that the full head answered
	Fallback uint64 `json:"fallback"`         // those of Full whose bounds did not separate
	Spared   uint64 `json:"spared,omitempty"` // bytes of Bytes that had not to be read, for each of Screened
}
