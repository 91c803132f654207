// Package compare measures how far numbers are from those of a reference:
// rows go in, one after the other, and figures come out. Nothing is kept but
// sums, so that any number of rows may be compared.
package compare
