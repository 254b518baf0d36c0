package cli

import (
	"github.com/spf13/cobra"

	"dynaferry/internal/source"
)

// overlayFlag names incremental exports beside a source.
func overlayFlag(cmd *cobra.Command, into *[]string, usage string) {
	cmd.Flags().StringArrayVar(into, "overlay", nil, usage)
}

func overlaySpecs(addresses []string) []source.Overlay {
	var all []source.Overlay
	for _, address := range addresses {
		all = append(all, source.Overlay{Address: address})
	}
	return all
}
