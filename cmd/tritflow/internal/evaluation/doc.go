// Package evaluation asks a model the questions of the built-in model's card and
// counts the right answers.
//
//	builtin.Questions ─▶ prompts ─▶ stages.Engine (many at once) ─▶ answers ─▶ Report
//	                                                     builtin.Card ─┘
package evaluation
