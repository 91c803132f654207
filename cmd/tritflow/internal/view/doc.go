// Package view draws a pipeline at work on a terminal: the devices and their
// stages, where the time goes, queues, pages, speed, and what would help.
//
//	Source ─▶ snapshots, twice a second ─▶ Picture (text) ─▶ terminal
package view
