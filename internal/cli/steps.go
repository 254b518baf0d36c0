package cli

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dynaferry/internal/fault"
	"dynaferry/internal/step"
)

// stepFlags are the steps that items go through; the verbs that have them have the same.
type stepFlags struct {
	list []string
	file string
}

func (f *stepFlags) add(cmd *cobra.Command) {
	p := cmd.Flags()
	p.StringArrayVar(&f.list, "step", nil, "what happens to each item, in order, may be repeated: 'filter price > 10', 'rename id=order_id', 'mask card last=4'; kinds are "+
		strings.Join(step.Kinds(), ", "))
	p.StringVar(&f.file, "steps", "", "file with steps, one a line, # before comments, or a JSON list; they come before those of --step")
}

// texts are the settings of all steps. What is wrong with one is told here, with its line where it stands in a file.
func (f *stepFlags) texts() ([]string, error) {
	var texts []string
	var lines []int64
	if f.file != "" {
		data, err := os.ReadFile(f.file)
		if err != nil {
			return nil, fault.New(fault.User, "--steps: %w", err)
		}
		if texts, lines, err = step.Lines(data); err != nil {
			return nil, fault.At(err, fault.Place{File: f.file})
		}
	}
	texts = append(texts, f.list...)
	if _, err := step.Parse(texts); err != nil {
		if n := step.Number(err); n > 0 && n <= len(lines) {
			return nil, fault.New(fault.User, "%s: %w", fault.Place{File: f.file, Line: lines[n-1]}, err)
		}
		return nil, usage("--step: %w", err)
	}
	return texts, nil
}
