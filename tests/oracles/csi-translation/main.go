// What Kubernetes' own translation makes of a class of a provisioner that was once built in.
//
// It reads StorageClasses as JSON, one a line, and writes a line for each: all the results that
// there are. There may be several, because the translation goes through a map in any order.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"

	storage "k8s.io/api/storage/v1"
	translation "k8s.io/csi-translation-lib"
	"k8s.io/klog/v2"
)

// How often each class is translated, so that another order is seen if there is one.
const attempts = 9

type expression struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

type result struct {
	Refused     string            `json:"refused"`
	Driver      string            `json:"driver"`
	Parameters  map[string]string `json:"parameters"`
	Expressions []expression      `json:"expressions"`
}

func translate(class *storage.StorageClass) result {
	translator := translation.New()
	got, err := translator.TranslateInTreeStorageClassToCSI(klog.Background(), class.Provisioner, class)
	if err != nil {
		return result{Refused: err.Error()}
	}
	driver, err := translator.GetCSINameFromInTreeName(class.Provisioner)
	if err != nil {
		return result{Refused: err.Error()}
	}
	found := result{Driver: driver, Parameters: got.Parameters, Expressions: []expression{}}
	for _, term := range got.AllowedTopologies {
		for _, each := range term.MatchLabelExpressions {
			found.Expressions = append(found.Expressions, expression{each.Key, each.Values})
		}
	}
	return found
}

func main() {
	in, out := json.NewDecoder(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		var class storage.StorageClass
		if err := in.Decode(&class); err == io.EOF {
			break
		} else if err != nil {
			panic(err)
		}
		var results []json.RawMessage
		seen := map[string]bool{}
		for range attempts {
			line, err := json.Marshal(translate(&class))
			if err != nil {
				panic(err)
			}
			if !seen[string(line)] {
				seen[string(line)] = true
				results = append(results, bytes.Clone(line))
			}
		}
		line, err := json.Marshal(results)
		if err != nil {
			panic(err)
		}
		out.Write(append(line, '\n'))
	}
	out.Flush()
}
