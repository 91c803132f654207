// Command tritflow runs ternary language models from the command line.
//
//	flags ─▶ stages.Engine ─▶ tokens ─▶ output ─▶ stdout (the answer, nothing else)
//	              │
//	              └─▶ zerolog ─▶ stderr (everything else)
//
// Every command is one file that turns flags into a call of the packages and
// their results into text; what is more than that lives in internal/. Errors
// travel up to main.go, where exit.go gives each its exit code.
package main
