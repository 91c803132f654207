// Package atomicfile writes files that are either there completely or not at
// all: the bytes go to a temporary file in the target's folder, which takes the
// target's name at the end.
//
//	Create ─▶ Write … ─▶ Commit   (or Abort at any time; a failed Write is one)
//	  │                    └─ sync, close, rename, sync the folder
//	  └─ a link is followed; a pipe or device is refused, or written in place
package atomicfile
