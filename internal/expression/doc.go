// Package expression is DynamoDB's expression language: condition, filter, key condition, projection and update
// expressions with their placeholders, checked and evaluated as the service does it.
//
// It hides one decision: how an expression's text becomes something that can be asked of an item. A text is parsed and
// checked once against the names and values of its request (Scope, or Compile for a whole request), with the service's
// own error texts; what comes out is immutable and may be used by many goroutines at once.
//
// Conditions run over decoded items (map[string]item.Value) and, without decoding more than the attributes they name,
// over item.Item tapes. Updates and projections return new items and leave what they were given alone. Numbers compare
// and add exactly at 38 digits.
//
// Errors are of kind fault.User and their text is the message of the service's ValidationException, word for word where
// it is known. Where the service's documentation and its behaviour differ the behaviour wins.
//
// The local world's tables and the filters of export and convert use it. It imports item and fault.
//
//	values := map[string]item.Value{":open": {Type: item.S, Str: "open"}}
//	scope := expression.NewScope(map[string]string{"#s": "status"}, values)
//	filter, err := scope.Condition(expression.Filter, "#s = :open and attribute_exists(lines)")
//	if err == nil {
//		err = scope.Done() // every name and value must have been used
//	}
//	keep := filter.Match(it) // it is an item.Item
package expression
