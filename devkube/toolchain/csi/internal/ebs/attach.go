package ebs

import (
	"context"
	"errors"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

// ControllerPublishVolume attaches a volume to an instance of its zone.
func (c *Controller) ControllerPublishVolume(_ context.Context, request *csi.ControllerPublishVolumeRequest) (*csi.ControllerPublishVolumeResponse, error) {
	id, node := request.GetVolumeId(), request.GetNodeId()
	if id == "" || node == "" || request.GetVolumeCapability() == nil {
		return nil, status.Error(codes.InvalidArgument, "Volume ID, node ID or volume capability not provided")
	}
	disk, ok := c.store.Disk(id)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "Volume %q not found", id)
	}
	instance, ok := c.store.Instance(node)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "Instance %q not found", node)
	}
	if _, ok := fit([]*csi.VolumeCapability{request.GetVolumeCapability()}, disk.Attributes["type"]); !ok {
		return nil, status.Error(codes.InvalidArgument, "Volume capability not supported")
	}
	if disk.Zone != instance.Zone {
		return nil, status.Errorf(codes.Internal,
			"Could not attach volume %q to node %q: InvalidVolume.ZoneMismatch: The volume is in %s, the instance in %s", id, node, disk.Zone, instance.Zone)
	}
	switch err := c.store.Attach(id, node, false); {
	case errors.Is(err, disks.ErrInUse):
		return nil, status.Errorf(codes.FailedPrecondition, "VolumeInUse: %v", err)
	case errors.Is(err, disks.ErrFull):
		return nil, status.Errorf(codes.ResourceExhausted, "AttachmentLimitExceeded: %v", err)
	case err != nil:
		return nil, internal(err)
	}
	return &csi.ControllerPublishVolumeResponse{PublishContext: map[string]string{"devicePath": "/dev/disk/by-id/" + id}}, nil
}

// ControllerUnpublishVolume detaches a volume. One that isn't there, or not attached, is no fault.
func (c *Controller) ControllerUnpublishVolume(_ context.Context, request *csi.ControllerUnpublishVolumeRequest) (*csi.ControllerUnpublishVolumeResponse, error) {
	if request.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "Volume ID not provided")
	}
	if err := c.store.Detach(request.GetVolumeId(), request.GetNodeId()); err != nil && !errors.Is(err, disks.ErrNotFound) {
		return nil, internal(err)
	}
	return &csi.ControllerUnpublishVolumeResponse{}, nil
}
