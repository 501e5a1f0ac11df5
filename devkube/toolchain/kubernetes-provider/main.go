// The Kubernetes resource provider for Pulumi, built from its Go module.
//
// The module's own main embeds two files that are generated at release time and are not published with it. They are
// made from two that are: build.py, in the folder above, puts those beside this file in the temporary copy that it builds.
// The schema is what reads of resources (`pulumi import`, `.get()`) take a kind's input properties from.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
