package item

import (
	"bytes"

	"dynaferry/internal/fault"
)

// The limits of DynamoDB's items (Developer Guide, "Quotas" and "Constraints").
const (
	ItemBytesMax     = 400 << 10
	NestingMax       = 32 // levels; the value of a top-level attribute is level 1
	HashKeyBytesMax  = 2048
	RangeKeyBytesMax = 1024
	NameBytesMax     = 65535
)

// Validate tells whether DynamoDB would take the item as a put into a table with key schema k (nil: keys are not looked
// at). Errors are of kind User, speak DynamoDB's words and name the attribute's path.
func Validate(it Item, k *KeySchema) error {
	if k != nil {
		for n, attr := range k.Attrs() {
			if err := validateKey(it, attr, n); err != nil {
				return fault.At(err, fault.Place{Path: attr.Name})
			}
		}
	}
	if err := ValidateValues(it); err != nil {
		return err
	}
	if Size(it) > ItemBytesMax {
		return fault.New(fault.User, "Item size has exceeded the maximum allowed size")
	}
	return nil
}

// ValidateValues is Validate without keys and without a bound for the whole item: for those who measure it anyway.
func ValidateValues(it Item) error {
	if at, err := validateMembers(it, 0, 0); err != nil {
		return fault.At(err, fault.Place{Path: it.Path(at)})
	}
	return nil
}

// validateKey checks the n-th attribute of a key.
func validateKey(it Item, attr KeyAttr, n int) error {
	i, err := attr.find(it)
	if err != nil {
		return err
	}
	size := SizeOf(it, i)
	switch {
	case size == 0 && attr.Type == S:
		return fault.New(fault.User, "One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", attr.Name)
	case size == 0:
		return fault.New(fault.User, "One or more parameter values are not valid. "+
			"The AttributeValue for a key attribute cannot contain an empty binary value. Key: %s", attr.Name)
	case n == 0 && size > HashKeyBytesMax:
		return fault.New(fault.User, "One or more parameter values were invalid: "+
			"Size of hashkey has exceeded the maximum size limit of%d bytes", HashKeyBytesMax) // their spelling
	case n == 1 && size > RangeKeyBytesMax:
		return fault.New(fault.User, "One or more parameter values were invalid: "+
			"Aggregated size of all range keys has exceeded the size limit of %d bytes", RangeKeyBytesMax)
	}
	return nil
}

// validateMembers checks the children of the map or list at index i, whose own level is given; at names the culprit.
func validateMembers(it Item, i, level int) (at int, err error) {
	token := &it.Tape[i]
	for at, end := i+1, i+int(token.Skip); at < end; at += int(it.Tape[at].Skip) {
		if token.Type == M {
			if it.textBytes(&it.Tape[at]) > NameBytesMax {
				return i, fault.New(fault.User,
					"One or more parameter values were invalid: "+
						"Attribute name is too large, must be less than 65536 bytes")
			}
			at++
		}
		if level+1 > NestingMax {
			return at, ErrNesting()
		}
		if culprit, err := validateValue(it, at, level+1); err != nil {
			return culprit, err
		}
	}
	return 0, nil
}

// ErrNesting is the refusal of a value below the deepest level.
func ErrNesting() error {
	return fault.New(fault.User, "Nesting Levels have exceeded supported limits: "+
		"Attributes in the item have nested levels beyond supported limit")
}

func validateValue(it Item, i, level int) (at int, err error) {
	switch it.Tape[i].Type {
	case N:
		return i, validateNumber(it, i)
	case L, M:
		return validateMembers(it, i, level)
	case SS, NS, BS:
		return i, validateSet(it, i)
	}
	return i, nil
}

// validateNumber looks at numbers that are not known to be well-formed.
func validateNumber(it Item, i int) error {
	if it.Tape[i].Flags&Normal != 0 {
		return nil
	}
	_, err := takeApart(it.Text(i))
	return err
}

var emptySet = map[Type]string{
	SS: "An string set  may not be empty", // their spelling and spacing
	NS: "An number set  may not be empty",
	BS: "Binary sets should not be empty",
}

func validateSet(it Item, i int) error {
	t := it.Tape[i].Type
	if it.Tape[i].Skip == 1 {
		return fault.New(fault.User, "One or more parameter values were invalid: %s", emptySet[t])
	}
	if t == NS {
		for at := i + 1; at < i+int(it.Tape[i].Skip); at++ {
			if err := validateNumber(it, at); err != nil {
				return err
			}
		}
	}
	members := it.sortedSet(i)
	for n := 1; n < len(members); n++ {
		if compareMembers(members[n-1], members[n]) == 0 {
			return errDuplicateMembers(it, i)
		}
	}
	return nil
}

// duplicatesShownMax bounds how much of a set an error repeats.
const duplicatesShownMax = 256

func errDuplicateMembers(it Item, i int) error {
	t := it.Tape[i].Type
	if t == NS {
		return fault.New(fault.User, "Input collection contains duplicates")
	}
	var shown bytes.Buffer
	for at := i + 1; at < i+int(it.Tape[i].Skip); at++ {
		if at > i+1 {
			shown.WriteString(", ")
		}
		shown.Write(it.Text(at))
		if shown.Len() > duplicatesShownMax {
			shown.Truncate(duplicatesShownMax)
			shown.WriteString("...")
			break
		}
	}
	if t == BS {
		return fault.New(fault.User,
			"One or more parameter values were invalid: Input collection [%s]of type BS contains duplicates.",
			shown.Bytes())
	}
	return fault.New(fault.User,
		"One or more parameter values were invalid: Input collection [%s] contains duplicates.", shown.Bytes())
}
