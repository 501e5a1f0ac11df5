package ebs

import (
	"context"
	"strconv"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

// A VolumeSnapshotClass's keys (docs/snapshot.md of the driver). They decide nothing here.
var snapshotKeys = map[string]bool{
	"fastsnapshotrestoreavailabilityzones": true, "fastSnapshotRestoreAvailabilityZones": true, "outpostArn": true, "outpostarn": true,
	"lockMode": true, "lockDuration": true, "lockExpirationDate": true, "lockCoolOffPeriod": true,
}

func (c *Controller) snapshot(is func(disks.Snapshot) bool) (disks.Snapshot, bool) {
	for _, each := range c.store.Snapshots() {
		if is(each) {
			return each, true
		}
	}
	return disks.Snapshot{}, false
}

func described(snapshot disks.Snapshot) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId: snapshot.ID, SourceVolumeId: snapshot.Disk, SizeBytes: snapshot.SizeGiB * disks.GiB,
		CreationTime: timestamp(snapshot), ReadyToUse: true,
	}
}

// CreateSnapshot makes a snapshot, or finds the one that an earlier call of this name has made.
func (c *Controller) CreateSnapshot(_ context.Context, request *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if request.GetName() == "" || request.GetSourceVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "Snapshot name or volume source ID not provided")
	}
	for key := range request.GetParameters() {
		if !snapshotKeys[key] && !isTagKey(key) {
			return nil, status.Errorf(codes.InvalidArgument, "Invalid parameter key %s for CreateSnapshot", key)
		}
	}
	if known, ok := c.snapshot(func(each disks.Snapshot) bool { return each.Name == request.GetName() }); ok {
		if known.Disk != request.GetSourceVolumeId() {
			return nil, status.Errorf(codes.AlreadyExists, "Snapshot %s already exists for different volume (%s)", known.Name, known.Disk)
		}
		return &csi.CreateSnapshotResponse{Snapshot: described(known)}, nil
	}
	made, err := c.store.CreateSnapshot(disks.Snapshot{ID: newID("snap-"), Name: request.GetName(), Disk: request.GetSourceVolumeId()})
	if err != nil {
		return nil, internal(err)
	}
	return &csi.CreateSnapshotResponse{Snapshot: described(made)}, nil
}

// DeleteSnapshot deletes a snapshot. One that isn't there is no fault.
func (c *Controller) DeleteSnapshot(_ context.Context, request *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if request.GetSnapshotId() == "" {
		return nil, status.Error(codes.InvalidArgument, "Snapshot ID not provided")
	}
	return &csi.DeleteSnapshotResponse{}, internal(c.store.DeleteSnapshot(request.GetSnapshotId()))
}

// ListSnapshots lists all, or those of one volume or one id, a page at a time.
func (c *Controller) ListSnapshots(_ context.Context, request *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	entries := []*csi.ListSnapshotsResponse_Entry{}
	for _, each := range c.store.Snapshots() {
		if id := request.GetSnapshotId(); id != "" && id != each.ID {
			continue
		}
		if id := request.GetSourceVolumeId(); id != "" && id != each.Disk {
			continue
		}
		entries = append(entries, &csi.ListSnapshotsResponse_Entry{Snapshot: described(each)})
	}
	first := 0
	if token := request.GetStartingToken(); token != "" {
		var err error
		if first, err = strconv.Atoi(token); err != nil || first < 0 || first > len(entries) {
			return nil, status.Errorf(codes.Aborted, "Invalid starting token %q", token)
		}
	}
	answer := &csi.ListSnapshotsResponse{Entries: entries[first:]}
	if most := int(request.GetMaxEntries()); most > 0 && most < len(answer.Entries) {
		answer.Entries, answer.NextToken = answer.Entries[:most], strconv.Itoa(first+most)
	}
	return answer, nil
}
