package dynamo

// DefinitionVersion is the version of the stored form of a Definition.
const DefinitionVersion = 1

// As returns the definition under another name, with what override says taken from there.
func (d Definition) As(name string, override Definition) Definition {
	d.Name = name
	if override.BillingMode != "" {
		d.BillingMode, d.ReadUnits, d.WriteUnits = override.BillingMode, override.ReadUnits, override.WriteUnits
	}
	if !override.Keys.Empty() {
		d.Keys = override.Keys
	}
	return d
}
