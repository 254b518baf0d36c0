package column_test

import (
	"fmt"

	"dynaferry/internal/codec/ddbjson"
	"dynaferry/internal/column"
	"dynaferry/internal/item"
)

func Example() {
	s := column.NewShredder(column.ShredOptions{})
	for _, line := range []string{`{"id":{"N":"1"},"price":{"N":"9.90"}}`, `{"id":{"N":"2"},"price":{"S":"free"}}`, `{"id":{"N":"3"},"price":{"N":"12"}}`} {
		it, err := ddbjson.ParseItem([]byte(line))
		if err != nil {
			panic(err)
		}
		if err := s.Append(it); err != nil {
			panic(err)
		}
	}
	slab := s.Slab()
	for _, v := range slab.Vectors {
		fmt.Printf("%v %v %v %v %q\n", v.Leaf.Path, v.Leaf.Field.Kind, v.Def, v.Longs, v.Bytes)
	}
	fmt.Println(slab.Misfits)
	var out item.Batch
	if err := column.NewAssembler(slab.Schema).Items(slab, &out); err != nil {
		panic(err)
	}
	fmt.Println(string(out.Item(1).Raw()))
	// Output:
	// [id] long [] [1 2 3] ""
	// [price] decimal(18) [1 0 1] [99 120] ""
	// [_extra] json [0 1 0] [] "{\"/price\":{\"S\":\"free\"}}"
	// [{/price conflict 1}]
	// {"id":{"N":"2"},"price":{"S":"free"}}
}
