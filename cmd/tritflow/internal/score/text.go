package score

import _ "embed"

// Text is what `tritflow perplexity` reads when it is given nothing: nine
// stories of the kind that the built-in model tells, made by the generator of
// its corpus from combinations that the corpus does not have.
//
//go:embed text.txt
var Text string
