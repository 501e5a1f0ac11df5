// Package ebs is the AWS EBS CSI driver's controller by that driver's own documented rules, and
// EC2's answers by the limits of its API.
package ebs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strconv"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

// Name is what classes call the driver.
const Name = "ebs.csi.aws.com"

const (
	wellKnownZone = "topology.kubernetes.io/zone"
	ownZone       = "topology.ebs.csi.aws.com/zone"
	defaultGiB    = 100
	// An m5.large: 27 places shared with network cards, less the root disk and one card
	// (pkg/cloud/limits/volume_limits_table.go of the driver).
	attachLimit = 25
)

// Flavour is this driver.
type Flavour struct{}

// Name of the driver.
func (Flavour) Name() string { return Name }

// Instance is the EC2 name of a node: always the same one.
func (Flavour) Instance(node string) string {
	digest := sha256.Sum256([]byte(node))
	return "i-" + hex.EncodeToString(digest[:])[:17]
}

// NodeID is the instance's name.
func (f Flavour) NodeID(node, _ string) string { return f.Instance(node) }

// Topology is what a node in a zone is labelled with.
func (Flavour) Topology(zone string) map[string]string {
	return map[string]string{wellKnownZone: zone, ownZone: zone}
}

// Disk is the disk of a volume handle: the same name.
func (Flavour) Disk(handle string) string { return handle }

// AttachLimit is how many disks a node takes.
func (Flavour) AttachLimit() int { return attachLimit }

// SingleNodeModes tells that ReadWriteOncePod is known to the driver.
func (Flavour) SingleNodeModes() bool { return true }

// FormatOptions are mkfs's.
func (Flavour) FormatOptions(fileSystem string, context map[string]string) []string {
	return FormatOptions(fileSystem, context)
}

// Controller makes the controller service.
func (Flavour) Controller(store *disks.Store) (csi.ControllerServer, error) {
	return &Controller{store: store}, nil
}

// Controller is the controller service.
type Controller struct {
	csi.UnimplementedControllerServer
	store *disks.Store
}

func newID(prefix string) string {
	bytes := make([]byte, 9)
	rand.Read(bytes)
	return prefix + hex.EncodeToString(bytes)[:17]
}

// ControllerGetCapabilities names what the service can do.
func (*Controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_PUBLISH_UNPUBLISH_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
		csi.ControllerServiceCapability_RPC_MODIFY_VOLUME,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}},
		})
	}
	return answer, nil
}

// fit tells whether the driver offers these capabilities for a volume type: one node, or several for
// a raw io2 disk (docs/multi-attach.md).
func fit(capabilities []*csi.VolumeCapability, volumeType string) (shared, ok bool) {
	for _, each := range capabilities {
		switch each.GetAccessMode().GetMode() {
		case csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
			csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
			csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER:
		case csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER:
			if each.GetBlock() == nil || volumeType != "io2" {
				return false, false
			}
			shared = true
		default:
			return false, false
		}
	}
	return shared, len(capabilities) > 0
}

// wholeGiB is the size that a range gets: rounded up, as EC2 sells it.
func wholeGiB(asked *csi.CapacityRange) (int64, error) {
	if asked == nil {
		return defaultGiB, nil
	}
	gib := (asked.GetRequiredBytes() + disks.GiB - 1) / disks.GiB
	if limit := asked.GetLimitBytes(); limit > 0 && limit < gib*disks.GiB {
		return 0, status.Error(codes.OutOfRange, "After round-up, volume size exceeds the limit specified")
	}
	return max(gib, 1), nil
}

// CreateVolume makes a volume, or finds the one that an earlier call of this name has made.
func (c *Controller) CreateVolume(_ context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if request.GetName() == "" {
		return nil, status.Error(codes.InvalidArgument, "Volume name not provided")
	}
	fileSystem := "ext4"
	for _, each := range request.GetVolumeCapabilities() {
		if name := each.GetMount().GetFsType(); name != "" {
			fileSystem = name
		}
	}
	parameters, err := Read(request.GetParameters(), fileSystem)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	shared, ok := fit(request.GetVolumeCapabilities(), parameters.Type)
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "Volume capabilities not provided or not supported")
	}
	gib, err := wholeGiB(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	volume := parameters.asked(gib)
	if mutable := request.GetMutableParameters(); len(mutable) > 0 {
		if volume, err = Modify(volume, mutable); err != nil && !isRefusal(err) {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	disk := disks.Disk{ID: newID("vol-"), Name: request.GetName(), SizeGiB: gib, Shared: shared}
	if err := c.takeSource(&disk, request); err != nil {
		return nil, err
	}
	for _, known := range c.store.Disks() {
		if known.Name == disk.Name {
			if known.SizeGiB != gib || known.Snapshot != disk.Snapshot || known.Source != disk.Source {
				return nil, status.Errorf(codes.AlreadyExists, "Volume %q already exists with other parameters", disk.Name)
			}
			return c.created(known, request), nil
		}
	}
	if volume, err = Decide(volume); err != nil {
		return nil, refusedCreation(disk.Name, err)
	}
	disk.Attributes = attributes(volume, parameters)
	if err := c.store.CreateDisk(disk); err != nil {
		return nil, status.Errorf(codes.Internal, "Could not create volume %q: %v", disk.Name, err)
	}
	return c.created(disk, request), nil
}

// takeSource notes what the disk is made from, and its zone.
func (c *Controller) takeSource(disk *disks.Disk, request *csi.CreateVolumeRequest) error {
	disk.Zone = c.pickZone(request.GetAccessibilityRequirements())
	source := request.GetVolumeContentSource()
	var least int64
	switch {
	case source.GetSnapshot() != nil:
		snapshot, ok := c.snapshot(func(each disks.Snapshot) bool { return each.ID == source.GetSnapshot().GetSnapshotId() })
		if !ok {
			return status.Errorf(codes.NotFound, "snapshot %s not found", source.GetSnapshot().GetSnapshotId())
		}
		disk.Snapshot, least = snapshot.ID, snapshot.SizeGiB
	case source.GetVolume() != nil:
		from, ok := c.store.Disk(source.GetVolume().GetVolumeId())
		if !ok {
			return status.Errorf(codes.NotFound, "source volume %s not found", source.GetVolume().GetVolumeId())
		}
		disk.Source, disk.Zone, least = from.ID, from.Zone, from.SizeGiB
	}
	if disk.SizeGiB < least {
		return status.Errorf(codes.OutOfRange, "InvalidParameterValue: The volume size %dGiB is less than the source's %dGiB", disk.SizeGiB, least)
	}
	return nil
}

// pickZone takes the zone that is preferred, else one that is allowed, else any that has a machine.
func (c *Controller) pickZone(asked *csi.TopologyRequirement) string {
	for _, list := range [][]*csi.Topology{asked.GetPreferred(), asked.GetRequisite()} {
		for _, each := range list {
			for _, key := range []string{wellKnownZone, ownZone} {
				if zone := each.GetSegments()[key]; zone != "" {
					return zone
				}
			}
		}
	}
	for _, instance := range c.store.Instances() {
		return instance.Zone
	}
	return ""
}

func (c *Controller) created(disk disks.Disk, request *csi.CreateVolumeRequest) *csi.CreateVolumeResponse {
	parameters, _ := Read(request.GetParameters(), "ext4")
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:           disk.ID,
		CapacityBytes:      disk.SizeGiB * disks.GiB,
		VolumeContext:      maps.Clone(parameters.Format),
		ContentSource:      request.GetVolumeContentSource(),
		AccessibleTopology: []*csi.Topology{{Segments: map[string]string{wellKnownZone: disk.Zone}}},
	}}
}

func attributes(volume Volume, parameters Parameters) map[string]string {
	kept := map[string]string{
		"type": volume.Type, "iops": strconv.FormatInt(volume.IOPS, 10), "throughput": strconv.FormatInt(volume.Throughput, 10),
		"encrypted": strconv.FormatBool(parameters.Encrypted),
	}
	if parameters.KMSKey != "" {
		kept["kmsKeyId"] = parameters.KMSKey
	}
	for key, value := range parameters.Tags {
		kept["tag:"+key] = value
	}
	return kept
}

func volumeOf(disk disks.Disk) Volume {
	iops, _ := strconv.ParseInt(disk.Attributes["iops"], 10, 64)
	throughput, _ := strconv.ParseInt(disk.Attributes["throughput"], 10, 64)
	return Volume{Type: disk.Attributes["type"], SizeGiB: disk.SizeGiB, IOPS: iops, Throughput: throughput}
}

func isRefusal(err error) bool {
	var refusal *Refusal
	return errors.As(err, &refusal)
}

// refusedCreation is what the driver makes of EC2's refusals: one alone is final, all others are
// tried again for ever.
func refusedCreation(name string, err error) error {
	var refusal *Refusal
	code := codes.Aborted
	if errors.As(err, &refusal) && refusal.Code == "InvalidParameterCombination" {
		code = codes.InvalidArgument
	}
	return status.Errorf(code, "Could not create volume %q: could not create volume in EC2: operation error EC2: CreateVolume, api error %v", name, err)
}

// DeleteVolume deletes a volume. One that isn't there is no fault.
func (c *Controller) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "Volume ID not provided")
	}
	err := c.store.DeleteDisk(request.GetVolumeId())
	if errors.Is(err, disks.ErrInUse) {
		return nil, status.Errorf(codes.FailedPrecondition, "VolumeInUse: %v", err)
	}
	return &csi.DeleteVolumeResponse{}, internal(err)
}

// ValidateVolumeCapabilities confirms what fits.
func (c *Controller) ValidateVolumeCapabilities(_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if request.GetVolumeId() == "" || len(request.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "Volume ID or capabilities not provided")
	}
	disk, ok := c.store.Disk(request.GetVolumeId())
	if !ok {
		return nil, status.Error(codes.NotFound, "Volume not found")
	}
	answer := &csi.ValidateVolumeCapabilitiesResponse{}
	if _, ok := fit(request.GetVolumeCapabilities(), disk.Attributes["type"]); ok {
		answer.Confirmed = &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: request.GetVolumeCapabilities()}
	}
	return answer, nil
}

// ControllerExpandVolume makes a volume bigger. Its file system is the node's to grow.
func (c *Controller) ControllerExpandVolume(_ context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	if request.GetVolumeId() == "" || request.GetCapacityRange() == nil {
		return nil, status.Error(codes.InvalidArgument, "Volume ID or capacity range not provided")
	}
	gib, err := wholeGiB(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	disk, ok := c.store.Disk(request.GetVolumeId())
	if !ok {
		return nil, status.Error(codes.NotFound, "Volume not found")
	}
	volume := volumeOf(disk)
	volume.SizeGiB = max(gib, disk.SizeGiB)
	if _, err := Decide(volume); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "Could not resize volume %q: %v", disk.ID, err)
	}
	if err := c.store.GrowDisk(disk.ID, gib); err != nil {
		return nil, internal(err)
	}
	return &csi.ControllerExpandVolumeResponse{
		CapacityBytes:         volume.SizeGiB * disks.GiB,
		NodeExpansionRequired: request.GetVolumeCapability().GetBlock() == nil,
	}, nil
}

// ControllerModifyVolume changes type, iops and throughput. What EC2 refuses is an InvalidArgument,
// which the resizer calls Infeasible.
func (c *Controller) ControllerModifyVolume(_ context.Context, request *csi.ControllerModifyVolumeRequest) (*csi.ControllerModifyVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "Volume ID not provided")
	}
	err := c.store.Change(request.GetVolumeId(), func(disk *disks.Disk) error {
		changed, err := Modify(volumeOf(*disk), request.GetMutableParameters())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "Could not modify volume %q: %v", disk.ID, err)
		}
		disk.Attributes["type"] = changed.Type
		disk.Attributes["iops"] = strconv.FormatInt(changed.IOPS, 10)
		disk.Attributes["throughput"] = strconv.FormatInt(changed.Throughput, 10)
		return nil
	})
	return &csi.ControllerModifyVolumeResponse{}, internal(err)
}

// internal gives an error without a code one.
func internal(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.Internal
	if errors.Is(err, disks.ErrNotFound) {
		code = codes.NotFound
	}
	return status.Error(code, err.Error())
}

func timestamp(snapshot disks.Snapshot) *timestamppb.Timestamp {
	return timestamppb.New(snapshot.Created)
}
