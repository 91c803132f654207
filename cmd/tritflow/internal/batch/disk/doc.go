// Package disk is the little that a batch job asks of a file system, so that
// tests can put one below it that fills up, tears writes and loses what was
// not synced.
package disk
