// Package amx holds generated kernels of quantkern on the tile registers of AMX;
// see quantkern/_gen. They check nothing: only quantkern calls them, where the
// processor and the system allow them.
package amx
