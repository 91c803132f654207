// Package suites looks at a model and this machine from all sides and makes one table
// of what it found.
//
//	Suites(Options) ─▶ Run ─▶ []Check of each Suite ─▶ Report ─▶ table, JSON
//
// A suite knows nothing of the others and owns the engine that it opens. What one
// cannot do is a failed check, so that the others still have their say.
package suites
