package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// arguments checks how many there are beside flags.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %d of what is not a flag and got %d; write: %s", cmd.Name(), least, len(args), cmd.UseLine())
		case len(args) > most:
			return usagef("%s has no place for %q; write: %s", cmd.Name(), args[most], cmd.UseLine())
		case slices.Contains(args, ""):
			return usagef("%s was given a name that is empty; write: %s", cmd.Name(), cmd.UseLine())
		}
		return nil
	}
}

// lookFirst lets a command look at its flags before it looks at its arguments. It comes after cmd.Args is set.
func lookFirst(cmd *cobra.Command, look func(*pflag.FlagSet) error) {
	before := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		return firstError(look(cmd.Flags()), before(cmd, args))
	}
}

// atMostOne refuses flags that contradict each other. It comes after cmd.Args is set.
func atMostOne(cmd *cobra.Command, names ...string) {
	lookFirst(cmd, func(fs *pflag.FlagSet) error {
		var given []string
		for _, name := range names {
			if fs.Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return usagef("%s contradict each other: give one of them", strings.Join(given, " and "))
		}
		return nil
	})
}

// only refuses flags that say nothing unless another is given. It comes after cmd.Args is set.
func only(cmd *cobra.Command, with string, names ...string) {
	lookFirst(cmd, func(fs *pflag.FlagSet) error {
		for _, name := range names {
			if fs.Changed(name) && !fs.Changed(with) {
				return usagef("--%s says nothing without --%s: give both, or leave it out", name, with)
			}
		}
		return nil
	})
}

// noCommand refuses a name that is none of the commands.
func noCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if args[0] == "serve" || args[0] == "server" {
		return usagef("there is no command %q: `tritflow batch` answers files of requests, and the package stages serves programs in Go", args[0])
	}
	return usagef("there is no command %q%s; `tritflow --help` lists them", args[0], didYouMean("", root.SuggestionsFor(args[0])))
}

// strict makes the commands that the library adds refuse names that they do not know;
// they print some help instead, and say that all went well.
func strict(root *cobra.Command, args []string) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd(args...)
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return unknownBelow(found, args)
				}
				return nil
			}
		case "completion":
			c.Args = func(c *cobra.Command, args []string) error {
				if len(args) > 0 {
					return unknownBelow(c, args)
				}
				return nil
			}
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	}
}

// unknownBelow refuses a name that is none of the commands below one.
func unknownBelow(c *cobra.Command, args []string) error {
	if !c.HasParent() {
		return noCommand(c, args)
	}
	return usagef("%s has no command %q; `%s --help` shows what there is", c.CommandPath(), args[len(args)-1], c.CommandPath())
}

func didYouMean(prefix string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (did you mean " + prefix + strings.Join(names, " or "+prefix) + "?)"
}

// flagError says what is wrong with a flag, for somebody who does not know Go.
func flagError(args []string) func(*cobra.Command, error) error {
	return func(cmd *cobra.Command, err error) error {
		if hint := llamaHint(cmd.Flags(), args); hint != "" {
			return usagef("%s", hint)
		}
		return usagef("%s", flagText(cmd, err))
	}
}

func flagText(cmd *cobra.Command, err error) string {
	help := "; `" + cmd.CommandPath() + " --help` lists the flags"
	var (
		unknown *pflag.NotExistError
		bad     *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return "there is no flag -" + name + help
		}
		return "there is no flag --" + name + didYouMean("--", similar(cmd, name)) + help
	case errors.As(err, &missing):
		return flagName(missing.GetFlag()) + " needs a value: " + missing.GetFlag().Usage
	case errors.As(err, &bad):
		return flagName(bad.GetFlag()) + " " + strconv.Quote(bad.GetValue()) + " " + complaint(bad)
	}
	return err.Error()
}

// flagName is what people type.
func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand + ", --" + f.Name
	}
	return "--" + f.Name
}

// complaint says what kind of value was expected.
func complaint(e *pflag.InvalidValueError) string {
	if errors.Is(e, strconv.ErrRange) {
		return "is too large"
	}
	switch e.GetFlag().Value.Type() {
	case "int":
		return "is not a whole number"
	case "uint", "uint64":
		return "is not a whole number of 0 or more"
	case "float32", "float64":
		return "is not a number"
	case "bool":
		return "is neither true nor false"
	case "duration":
		return "is not a time, such as 30s or 5m"
	case "intSlice":
		return "is not a list of whole numbers, such as 15,15"
	}
	return "cannot be used: " + e.Unwrap().Error()
}

// similar finds flags of a command with names like one that it does not have.
func similar(cmd *cobra.Command, name string) []string {
	// cobra knows how to find similar names of commands.
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	return names.SuggestionsFor(name)
}
