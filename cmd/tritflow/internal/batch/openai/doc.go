// Package openai speaks the lines of OpenAI's batch files.
//
//	{"custom_id": …, "method": "POST", "url": …, "body": {…}}  ─▶ Parse ─▶ *Call ─▶ one stages.Request a choice
//	                                                                 └──▶ *Fault
//	*Call and its Choices, or *Fault  ─▶ Line ─▶  {"id": …, "custom_id": …, "response": …, "error": …}
//
// A line is understood whole or refused: a field that is not known, or that asks
// for what cannot be done, makes a Fault as the API would answer it. Ids are
// made from the input and "created" is 0, so that the same input gives the same
// bytes.
package openai
