// Package gce is the GCE PD CSI driver's own controller on Compute made of files.
package gce

import (
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/common"
	driver "sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/gce-pd-csi-driver"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

// Name is what classes call the driver.
const Name = "pd.csi.storage.gke.io"

const (
	project     = "rehearsal"
	defaultZone = "us-central1-a"
	// Of a machine that isn't small (pkg/gce-pd-csi-driver/node.go of the driver).
	attachLimit = 127
)

// Flavour is this driver.
type Flavour struct{}

// Name of the driver.
func (Flavour) Name() string { return Name }

// Instance has the node's name, as on GKE.
func (Flavour) Instance(node string) string { return node }

// NodeID is the instance's full name.
func (Flavour) NodeID(node, zone string) string { return common.CreateNodeID(project, zone, node) }

// Topology is what a node in a zone is labelled with: the one key that the driver knows.
func (Flavour) Topology(zone string) map[string]string {
	return map[string]string{"topology.gke.io/zone": zone}
}

// Disk is the disk of a volume handle; empty where it is none.
func (Flavour) Disk(handle string) string {
	_, key, err := common.VolumeIDToKey(handle)
	if err != nil {
		return ""
	}
	return diskID(key)
}

// AttachLimit is how many disks a node takes.
func (Flavour) AttachLimit() int { return attachLimit }

// SingleNodeModes tells that the driver doesn't know them: ReadWriteOncePod is the kubelet's alone.
func (Flavour) SingleNodeModes() bool { return false }

// FormatOptions are none: the driver has no parameters for mkfs.
func (Flavour) FormatOptions(string, map[string]string) []string { return nil }

// Controller makes the driver's own controller service.
func (Flavour) Controller(store *disks.Store) (csi.ControllerServer, error) {
	compute, err := newCompute(store)
	if err != nil {
		return nil, err
	}
	made := driver.GetGCEDriver()
	server := driver.NewControllerServer(
		made, compute, 200*time.Millisecond, 5*time.Second, nil, false, false,
		driver.MultiZoneVolumeHandleConfig{}, driver.ListVolumesConfig{UseInstancesAPIForPublishedNodes: true},
		// What GKE's own manifests set (--supports-dynamic-iops-provisioning and -throughput-).
		driver.ProvisionableDisksConfig{
			SupportsIopsChange:       []string{"hyperdisk-balanced", "hyperdisk-extreme"},
			SupportsThroughputChange: []string{"hyperdisk-balanced", "hyperdisk-throughput", "hyperdisk-ml"},
		},
		true, &driver.GCEControllerServerArgs{},
	)
	return server, made.SetupGCEDriver(Name, "rehearsal", map[string]string{}, map[string]string{}, driver.NewIdentityServer(made), server, nil)
}
