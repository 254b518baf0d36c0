package cli

import "dynaferry/internal/world"

// newWorld opens addresses for one run of the program; builds for fault tests decorate it.
var newWorld = world.New
