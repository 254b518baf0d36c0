package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// recordPage documents what --json prints, from the structs themselves: those of package job whose first member is
// Type, and the objects of the story.
func recordPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString(`# What --json prints

One object a line, each with a "type"; made from the program. Results are on stdout, the story on stderr. Members without a value
are left out where they say nothing. New members may come; what is here stays.

On stderr: ` + "`message` (`message`), `progress` (`items`, `bytes`, `seconds`, `counters`)" + ` once a minute, and at the end of a run that failed
` + "`error`: `error`, `kind`, `hint`, `exit`, and the place: `file`, `line`, `offset`, `path`" + `.

On stdout, beside the objects below, ` + "`plan` and `task` print `plan` (`plan`, `tasks`) and `result` (`index`, `result`, or\n`plan`, `poison`, `kind`, `hint`, `file`, `line`, `offset`, `path`), `commit` prints `second-round` (`plan`), and `local` prints `local` (`dynamodb`, `s3`, `dir`, `environment`)" + `.
`)
	files, err := filepath.Glob("../job/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources of job: %v", err)
	}
	slices.Sort(files)
	type record struct {
		name string
		doc  *ast.CommentGroup
		of   *ast.StructType
	}
	var records []record
	structs := map[string]*ast.StructType{} // whose members others take over
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				ts := spec.(*ast.TypeSpec)
				if st, ok := ts.Type.(*ast.StructType); ok {
					records, structs[ts.Name.Name] = append(records, record{ts.Name.Name, gen.Doc, st}), st
				}
			}
		}
	}
	for _, r := range records {
		recordOf(&b, r.name, r.doc, r.of, structs)
	}
	return b.String()
}

func recordOf(b *strings.Builder, name string, doc *ast.CommentGroup, st *ast.StructType, structs map[string]*ast.StructType) {
	if len(st.Fields.List) == 0 || len(st.Fields.List[0].Names) == 0 || st.Fields.List[0].Names[0].Name != "Type" ||
		!ast.IsExported(name) || st.Fields.List[0].Comment == nil {
		return
	}
	kind := strings.Trim(strings.TrimSpace(st.Fields.List[0].Comment.Text()), `"`)
	text := strings.TrimSpace(strings.Join(strings.Fields(doc.Text()), " "))
	text = strings.TrimPrefix(text, name+" ")
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| member | is | |\n|---|---|---|\n", kind, firstUpper(text))
	members(b, st.Fields.List[1:], structs)
}

func members(b *strings.Builder, fields []*ast.Field, structs map[string]*ast.StructType) {
	for _, f := range fields {
		if of, ok := structs[shape(f.Type)]; ok && len(f.Names) == 0 {
			members(b, of.Fields.List, structs)
			continue
		}
		if len(f.Names) == 0 {
			fmt.Fprintf(b, "| ... | | the members of %s |\n", shape(f.Type))
			continue
		}
		var tag string
		if f.Tag != nil {
			tag, _, _ = strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", tag, shape(f.Type), strings.TrimSpace(f.Comment.Text()))
	}
}

// shape names a Go type in JSON's words.
func shape(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		switch {
		case e.Name == "string", e.Name == "bool":
			return e.Name
		case strings.HasPrefix(e.Name, "int"), strings.HasPrefix(e.Name, "uint"), strings.HasPrefix(e.Name, "float"):
			return "number"
		case e.Name == "losses":
			return "object of numbers"
		}
		return e.Name
	case *ast.ArrayType:
		return "array of " + shape(e.Elt)
	case *ast.MapType:
		return "object of " + shape(e.Value)
	case *ast.StarExpr:
		return shape(e.X)
	case *ast.SelectorExpr:
		switch name := e.X.(*ast.Ident).Name + "." + e.Sel.Name; name {
		case "json.RawMessage":
			return "any"
		case "time.Time":
			return "time"
		case "item.KeySchema":
			return "keys"
		default:
			return name
		}
	}
	return "object"
}
