// Package input reads the lines of a batch job one at a time, from whatever
// they are kept in, and never holds more than one of them.
//
//	JSONL ───┐
//	text ────┤
//	CSV ─────┼─▶ Source.Next ─▶ Item: line number, text, id, or what is wrong with it
//	Parquet ─┘
//
// What is wrong with one line is told in its Item and does not end the reading.
package input
