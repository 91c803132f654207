package main

import (
	"github.com/spf13/cobra"
)

const rootHelp = `tritflow runs BitNet b1.58 (ternary) and other models from GGUF files on this
machine, as a pipeline of stages. Without -m it uses a small model that is part
of the program.

  tritflow run --chat -p "What is 27 + 15?"
  tritflow chat -m model.gguf
  tritflow check model.gguf

Standard output carries the answer and nothing else; everything else goes to
standard error, as text on a terminal and as JSON lines elsewhere (NO_COLOR is
honoured).

` + exitHelp + `

batch and check have 3 besides: done, and some lines are error lines; the model
will answer wrongly.`

// newRoot makes the command line; args are those that it will be given.
func newRoot(a *app, args []string) *cobra.Command {
	root := &cobra.Command{
		Use:                        "tritflow",
		Short:                      "Run ternary language models",
		Long:                       rootHelp,
		Version:                    version(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		Args:                       noCommand,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return firstError(a.logging.configure(a), namesNothing(cmd.Flags()))
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetArgs(args)
	root.SetFlagErrorFunc(flagError(args))
	a.logging.add(root.PersistentFlags())
	root.AddCommand(
		a.runCommand(), a.chatCommand(), a.batchCommand(), a.embedCommand(),
		a.inspectCommand(), a.checkCommand(), a.planCommand(), a.devicesCommand(), a.benchCommand(), a.memoryBenchmarkCommand(),
		a.tokenizeCommand(), a.logitsCommand(), a.synthCommand(), a.convertCommand(), a.quantizeCommand(),
		a.perplexityCommand(), a.scoreCommand(), a.validateCommand(), a.crossvalCommand(),
		a.builtinCommand(), a.evalCommand(), a.verifyCommand(),
		a.versionCommand(), a.manCommand(),
	)
	strict(root, args)
	return root
}
