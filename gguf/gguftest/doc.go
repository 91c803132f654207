// Package gguftest opens GGUF files for tests, and builds them: legal ones, and
// hostile ones with the error that each must give. It writes bytes itself and does
// not use the package's Writer, which refuses to write most of them.
//
//	raw.start ─▶ .kv… ─▶ .info… ─▶ .body ─▶ bytes
package gguftest
