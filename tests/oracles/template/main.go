// What Go's text/template makes of a template, with the functions of the EBS driver.
//
// It reads JSON texts, one a line, each a template. For each it writes a line of JSON: whether Go
// parses it, and whether it can be executed with a claim's data.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"text/template"
)

type props struct{ PVCName, PVCNamespace, PVName string }

type answer struct {
	Parsed, Executed bool
	Said             string
}

func off(...any) (string, error) { return "", errors.New("turned off") }

// The same names and signatures as the driver's (pkg/util/template/funcs.go).
var functions = template.FuncMap{
	"html": off, "js": off, "call": off, "urlquery": off,
	"toUpper": strings.ToUpper, "toLower": strings.ToLower,
	"contains":  func(part, text string) bool { return strings.Contains(text, part) },
	"index":     func(part, text string) int { return strings.Index(text, part) },
	"lastIndex": func(part, text string) int { return strings.LastIndex(text, part) },
	"substring": func(start, end int, text string) string { return text[max(start, 0):min(max(end, 0), len(text))] },
	"field": func(mark string, number int, text string) (string, error) {
		parts := strings.Split(text, mark)
		if number >= len(parts) {
			return "", errors.New("no such part")
		}
		return parts[number], nil
	},
}

func main() {
	in, out := json.NewDecoder(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var text string
		if err := in.Decode(&text); err == io.EOF {
			break
		} else if err != nil {
			panic(err)
		}
		said := answer{}
		parsed, err := template.New("tmpl").Funcs(functions).Parse(text)
		if err == nil {
			said.Parsed = true
			err = parsed.Execute(io.Discard, &props{"data-kafka-0", "prod-eu-1", "pvc-1234"})
			said.Executed = err == nil
		}
		if err != nil {
			said.Said = err.Error()
		}
		line, _ := json.Marshal(said)
		out.Write(append(line, '\n'))
	}
	out.Flush()
}
