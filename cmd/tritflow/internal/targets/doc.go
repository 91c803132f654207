// Package targets compares what was measured with what was promised.
//
//	targets file ─ Read ─▶ Set ─┬─▶ Set.Judge ─▶ []Verdict
//	figures by name ────────────┘
package targets
