// What local-path-provisioner makes of a pathPattern, for one claim.
//
// The provisioner is a program without packages that could be imported, so these are the same steps
// as its pathFromPattern of 0.0.33 and newer, with the same data: Go's text/template without
// functions of its own, a claim's metadata, and the beginning that a path must have.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type question struct {
	Pattern string
	PVName  string
	PVC     metav1.ObjectMeta
}

type answer struct {
	Error string
	Path  string
	Taken bool
}

func main() {
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		if err := out.Encode(path(asked)); err != nil {
			panic(err)
		}
	}
}

func path(asked question) answer {
	parsed, err := template.New("pathPattern").Parse(asked.Pattern)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var made strings.Builder
	claim := struct {
		PVName string
		PVC    metav1.ObjectMeta
	}{asked.PVName, asked.PVC}
	if err := parsed.Execute(&made, claim); err != nil {
		return answer{Error: err.Error()}
	}
	beginning := filepath.Join(asked.PVC.Namespace, asked.PVC.Name) + string(filepath.Separator)
	return answer{Path: made.String(), Taken: strings.HasPrefix(made.String(), beginning)}
}
