package gce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/GoogleCloudPlatform/k8s-cloud-provider/pkg/cloud/meta"
	"github.com/container-storage-interface/spec/lib/go/csi"
	computev1 "google.golang.org/api/compute/v1"
	"google.golang.org/api/googleapi"
	"sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/common"
	cloud "sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/gce-cloud-provider/compute"
	"sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/parameters"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

// compute answers for Compute. Everything that the driver's own fake would keep in its memory is in
// the store; what has no disk behind it (names, images) is the fake's.
type compute struct {
	*cloud.FakeCloudProvider
	store *disks.Store
}

func newCompute(store *disks.Store) (*compute, error) {
	fake, err := cloud.CreateFakeCloudProvider(project, defaultZone, nil)
	return &compute{fake, store}, err
}

// diskID is the store's name of a disk: a name is a zone's or a region's own.
func diskID(key *meta.Key) string {
	if key.Type() == meta.Regional {
		return key.Region + "~" + key.Name
	}
	return key.Zone + "~" + key.Name
}

func record(disk disks.Disk) (*computev1.Disk, error) {
	read := &computev1.Disk{}
	return read, json.Unmarshal(disk.Record, read)
}

// GetDisk returns a disk.
func (c *compute) GetDisk(_ context.Context, _ string, key *meta.Key) (*cloud.CloudDisk, error) {
	disk, ok := c.store.Disk(diskID(key))
	if !ok {
		return nil, notFound(diskID(key))
	}
	read, err := record(disk)
	return cloud.CloudDiskFromV1(read), err
}

// ListDisks returns all disks.
func (c *compute) ListDisks(context.Context, []googleapi.Field) ([]*computev1.Disk, string, error) {
	all := []*computev1.Disk{}
	for _, disk := range c.store.Disks() {
		read, err := record(disk)
		if err != nil {
			return nil, "", err
		}
		for instance := range disk.Attached {
			read.Users = append(read.Users, c.instanceURI(instance))
		}
		all = append(all, read)
	}
	return all, "", nil
}

// ListDisksWithFilter returns all disks: the driver looks through them itself.
func (c *compute) ListDisksWithFilter(ctx context.Context, fields []googleapi.Field, _ string) ([]*computev1.Disk, string, error) {
	return c.ListDisks(ctx, fields)
}

// InsertDisk makes a disk, or accepts one that is as it was asked for.
func (c *compute) InsertDisk(
	ctx context.Context, project string, key *meta.Key, params parameters.DiskParameters, bytes int64, asked *csi.CapacityRange,
	replicaZones []string, snapshotID, sourceID string, multiWriter bool, accessMode string,
) error {
	if known, err := c.GetDisk(ctx, project, key); err == nil {
		return cloud.ValidateExistingDisk(ctx, known, params, asked.GetRequiredBytes(), asked.GetLimitBytes(), multiWriter, accessMode)
	}
	gib := common.BytesToGbRoundUp(bytes)
	iops, throughput := defaults(params.DiskType, gib, params.ProvisionedIOPSOnCreate, params.ProvisionedThroughputOnCreate)
	if err := check(params.DiskType, gib, iops, throughput); err != nil {
		return err
	}
	disk := disks.Disk{ID: diskID(key), Name: key.Name, Zone: key.Zone, SizeGiB: gib, Shared: multiWriter}
	made := &computev1.Disk{
		Name: key.Name, Zone: key.Zone, Region: key.Region, SizeGb: gib, Status: "READY", Labels: params.Labels,
		Type: c.GetDiskTypeURI(project, key, params.DiskType), SelfLink: c.GetDiskSourceURI(project, key), ReplicaZones: replicaZones,
		ProvisionedIops: iops, ProvisionedThroughput: throughput, AccessMode: accessMode,
		EnableConfidentialCompute: params.EnableConfidentialCompute, SourceSnapshotId: snapshotID, SourceDiskId: sourceID,
	}
	if params.DiskEncryptionKMSKey != "" {
		made.DiskEncryptionKey = &computev1.CustomerEncryptionKey{KmsKeyName: params.DiskEncryptionKMSKey}
	}
	if err := from(&disk, snapshotID, sourceID); err != nil {
		return err
	}
	var err error
	if disk.Record, err = json.Marshal(made); err != nil {
		return err
	}
	return answer(c.store.CreateDisk(disk))
}

// from notes what a disk is made from.
func from(disk *disks.Disk, snapshotID, sourceID string) error {
	if snapshotID != "" {
		_, kind, name, err := common.SnapshotIDToProjectKey(snapshotID)
		if err != nil {
			return err
		}
		if kind != parameters.DiskSnapshotType {
			return refused("a disk from a %s is not rehearsed here: %s", kind, snapshotID)
		}
		disk.Snapshot = name
	}
	if sourceID != "" {
		_, key, err := common.VolumeIDToKey(sourceID)
		if err != nil {
			return err
		}
		disk.Source = diskID(key)
	}
	return nil
}

// answer is the store's refusal as Compute's.
func answer(err error) error {
	switch {
	case errors.Is(err, disks.ErrNotFound):
		return notFound(err.Error())
	case errors.Is(err, disks.ErrInUse):
		return refused("The disk resource is already being used: %v", err)
	case errors.Is(err, disks.ErrFull):
		return refused("Exceeded limit 'maximum_persistent_disks' on resource: %v", err)
	}
	return err
}

// DeleteDisk deletes a disk.
func (c *compute) DeleteDisk(_ context.Context, _ string, key *meta.Key) error {
	return answer(c.store.DeleteDisk(diskID(key)))
}

// change changes a disk's record.
func (c *compute) change(key *meta.Key, change func(*computev1.Disk) error) error {
	return answer(c.store.Change(diskID(key), func(disk *disks.Disk) error {
		read, err := record(*disk)
		if err != nil {
			return err
		}
		if err := change(read); err != nil {
			return err
		}
		disk.Record, err = json.Marshal(read)
		return err
	}))
}

func typeOf(disk *computev1.Disk) string { return disk.Type[strings.LastIndex(disk.Type, "/")+1:] }

// UpdateDisk changes IOPS and throughput.
func (c *compute) UpdateDisk(_ context.Context, _ string, key *meta.Key, _ *cloud.CloudDisk, params parameters.ModifyVolumeParameters) error {
	return c.change(key, func(disk *computev1.Disk) error {
		if params.IOPS != nil && *params.IOPS != 0 {
			disk.ProvisionedIops = *params.IOPS
		}
		if params.Throughput != nil && *params.Throughput != 0 {
			disk.ProvisionedThroughput = *params.Throughput
		}
		return check(typeOf(disk), disk.SizeGb, disk.ProvisionedIops, disk.ProvisionedThroughput)
	})
}

// ResizeDisk makes a disk bigger.
func (c *compute) ResizeDisk(_ context.Context, _ string, key *meta.Key, bytes int64) (int64, error) {
	gib := common.BytesToGbRoundUp(bytes)
	err := c.change(key, func(disk *computev1.Disk) error {
		return check(typeOf(disk), max(gib, disk.SizeGb), disk.ProvisionedIops, disk.ProvisionedThroughput)
	})
	if err == nil {
		err = answer(c.store.GrowDisk(diskID(key), gib))
	}
	if err == nil {
		err = c.change(key, func(disk *computev1.Disk) error {
			disk.SizeGb = max(gib, disk.SizeGb)
			gib = disk.SizeGb
			return nil
		})
	}
	return gib, err
}

// SetDiskAccessMode changes who may use a disk.
func (c *compute) SetDiskAccessMode(_ context.Context, _ string, key *meta.Key, accessMode string) error {
	return c.change(key, func(disk *computev1.Disk) error {
		disk.AccessMode = accessMode
		return nil
	})
}

// SetDiskLabels changes a disk's labels.
func (c *compute) SetDiskLabels(_ context.Context, _ string, key *meta.Key, _ *cloud.CloudDisk, labels map[string]string) error {
	return c.change(key, func(disk *computev1.Disk) error {
		disk.Labels = labels
		return nil
	})
}

// --- machines -------------------------------------------------------------------------------------

func (c *compute) instanceURI(name string) string {
	instance, _ := c.store.Instance(name)
	return fmt.Sprintf("%sprojects/%s/zones/%s/instances/%s", cloud.BasePath, project, instance.Zone, name)
}

func (c *compute) described(instance disks.Instance) *computev1.Instance {
	found := &computev1.Instance{Name: instance.Name, Zone: instance.Zone, SelfLink: c.instanceURI(instance.Name)}
	for _, disk := range c.store.Disks() {
		readOnly, attached := disk.Attached[instance.Name]
		read, err := record(disk)
		if !attached || err != nil {
			continue
		}
		device, mode := disk.Name, "READ_WRITE"
		if read.Region != "" {
			device += "_regional"
		}
		if readOnly {
			mode = "READ_ONLY"
		}
		found.Disks = append(found.Disks, &computev1.AttachedDisk{DeviceName: device, Mode: mode, Source: read.SelfLink, Type: "PERSISTENT"})
	}
	return found
}

// GetInstanceOrError returns a machine with the disks that it has.
func (c *compute) GetInstanceOrError(_ context.Context, _, zone, name string) (*computev1.Instance, error) {
	instance, ok := c.store.Instance(name)
	if !ok || instance.Zone != zone {
		return nil, notFound(zone + "/" + name)
	}
	return c.described(instance), nil
}

// ListInstances returns every machine.
func (c *compute) ListInstances(context.Context, []googleapi.Field) ([]*computev1.Instance, string, error) {
	all := []*computev1.Instance{}
	for _, instance := range c.store.Instances() {
		all = append(all, c.described(instance))
	}
	return all, "", nil
}

// ListZones returns the zones of a region that have a machine.
func (c *compute) ListZones(_ context.Context, region string) ([]string, error) {
	zones := []string{}
	for _, instance := range c.store.Instances() {
		if strings.HasPrefix(instance.Zone, region+"-") && !slices.Contains(zones, instance.Zone) {
			zones = append(zones, instance.Zone)
		}
	}
	return zones, nil
}

// AttachDisk attaches a disk to a machine of its zone.
func (c *compute) AttachDisk(_ context.Context, _ string, key *meta.Key, mode, _, zone, name string, _ bool) error {
	if key.Type() == meta.Zonal && key.Zone != zone {
		return refused("The disk %s is in zone %s, the instance %s in %s.", key.Name, key.Zone, name, zone)
	}
	return answer(c.store.Attach(diskID(key), name, mode == "READ_ONLY"))
}

// DetachDisk takes a disk from a machine.
func (c *compute) DetachDisk(_ context.Context, _, device, _, name string) error {
	for _, disk := range c.store.Disks() {
		if _, attached := disk.Attached[name]; attached && disk.Name == strings.TrimSuffix(device, "_regional") {
			return answer(c.store.Detach(disk.ID, name))
		}
	}
	return nil
}
