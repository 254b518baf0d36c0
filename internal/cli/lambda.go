package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dynaferry/internal/aws"
	"dynaferry/internal/fault"
	"dynaferry/internal/job"
)

// bootstrap is what Lambda calls the program of a function on an operating system alone (provided.al2023).
const bootstrap = "bootstrap"

// lambdaFile is beside the program.
const lambdaFile = "dynaferry.json"

// lambdaArguments are those of a program that Lambda starts, which gives it none.
func lambdaArguments(program string, given []string) []string {
	if len(given) == 0 && filepath.Base(program) == bootstrap {
		return []string{"lambda"}
	}
	return given
}

func (a *app) lambdaCommand() *cobra.Command {
	var wish job.LambdaWish
	var files deliveryFlags
	cmd := &cobra.Command{
		Use:   "lambda",
		Short: "the same as a Lambda function: batches of a DynamoDB or Kinesis event source → files",
		Long: `lambda runs inside of an AWS Lambda function, behind an event source mapping of a DynamoDB stream or a Kinesis stream, and makes files of
each batch. The program is called bootstrap there, for provided.al2023, and then needs no arguments.

Settings come from the flags, from the environment (DYNAFERRY_DEST for --dest, DYNAFERRY_ERROR_PREFIX for --error-prefix; what may be
repeated has one a line), or from dynaferry.json beside the program ({"dest":"s3://lake/orders","format":"json"}), in this order.

A batch is a set of records. Its files are put if absent under names that are functions of it: a batch that is tried again makes the
same files, and what this process made files of already is left out, by event id. A batch that was cut in two after its files were
made, and comes to another process, is in files twice: readers tell by eventID. What no event brought is missed by nobody here:
who wants to know of gaps uses follow.

What steps refuse, and what cannot be read, goes to the dead letters. When files cannot be made the function fails, or with several
shards in one event answers with batchItemFailures: the mapping should have ReportBatchItemFailures.`,
		Example: `  DYNAFERRY_DEST=s3://lake/orders DYNAFERRY_FORMAT=parquet ./bootstrap
  dynaferry lambda --dest s3://lake/orders --step 'filter status != "draft"'`,
		Args: args(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if err := surroundings(cmd, filepath.Join(filepath.Dir(program), lambdaFile)); err != nil {
				return err
			}
			if wish.Dest == "" {
				return fault.Hint(usage("the function has no destination"), "set DYNAFERRY_DEST=s3://bucket/prefix")
			}
			if wish.Objects, err = files.settings(&wish.Delivery); err != nil {
				return err
			}
			return a.lambda(cmd, wish)
		},
	}
	cmd.Flags().StringVar(&wish.Dest, "dest", "", "where files go: s3://bucket/prefix")
	cmd.Flags().StringVar(&wish.Delivery.Name, "name", "changes", "what names of files begin with")
	files.add(cmd, &wish.Delivery)
	a.sizeFlags(cmd)
	return cmd
}

func (a *app) lambda(cmd *cobra.Command, wish job.LambdaWish) error {
	env, err := a.env()
	if err != nil {
		return err
	}
	wish.Told = func(r job.LambdaReport) { _ = a.printJSON(a.err, r) }
	l, err := job.NewLambda(cmd.Context(), env, wish)
	if err != nil {
		return err
	}
	defer l.Close()
	return aws.ServeLambda(cmd.Context(), l.Invoke)
}

// surroundings sets the flags that were not given: from the environment, else from a file.
func surroundings(cmd *cobra.Command, file string) error {
	set, err := readSurroundings(file)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if cmd.LocalFlags().Lookup(name) == nil {
			return inFile(file, fault.New(fault.User, "lambda has no setting %q", name))
		}
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || err != nil {
			return
		}
		variable := "DYNAFERRY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		values, place := set[f.Name], file
		if text, ok := os.LookupEnv(variable); ok {
			values, place = []string{text}, variable
			if _, many := f.Value.(pflag.SliceValue); many {
				values = strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
			}
		}
		for _, value := range values {
			if failed := cmd.Flags().Set(f.Name, value); failed != nil {
				err = usage("%s: %w", place, failed)
				return
			}
		}
	})
	return err
}

// readSurroundings reads a file of settings: names of flags, with texts, numbers, truth or lists of these. A file that is not
// there sets nothing.
func readSurroundings(file string) (map[string][]string, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return nil, inFile(file, fault.New(fault.User, "it is no JSON object of settings: %w", err))
	}
	set := map[string][]string{}
	for name, value := range members {
		list, many := value.([]any)
		if !many {
			list = []any{value}
		}
		for _, v := range list {
			switch v.(type) {
			case string, bool, json.Number:
				set[name] = append(set[name], fmt.Sprint(v))
			default:
				return nil, inFile(file, fault.New(fault.User, "%s: a setting is a text, a number, true or false, or a list of these", name))
			}
		}
	}
	return set, nil
}
