// Package flavour is what one cloud's driver has of its own.
package flavour

import (
	"github.com/container-storage-interface/spec/lib/go/csi"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

// Flavour is one driver.
type Flavour interface {
	Name() string                           // as classes call it
	Instance(node string) string            // the cloud's name of a node's machine
	NodeID(node, zone string) string        // as the driver calls the node
	Topology(zone string) map[string]string // the node's labels
	Disk(handle string) string              // the disk of a volume handle
	AttachLimit() int                       // disks that a node takes
	SingleNodeModes() bool                  // whether ReadWriteOncePod is known to the driver
	FormatOptions(fileSystem string, context map[string]string) []string
	Controller(store *disks.Store) (csi.ControllerServer, error)
}
