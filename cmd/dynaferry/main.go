// Command dynaferry carries DynamoDB tables to files and back. See package cli.
package main

import (
	"os"

	"dynaferry/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
