// Package node is the node service: what is attached to one machine is formatted, mounted and grown.
package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
	"storage-tiers.invalid/toolchain/csi/internal/filesystem"
	"storage-tiers.invalid/toolchain/csi/internal/flavour"
)

// Node is the node service of one machine.
type Node struct {
	csi.UnimplementedNodeServer
	Flavour     flavour.Flavour
	Folder      string // of the cloud's state: the links to what is attached are in it
	Name, Zone  string
	AttachLimit int
	mounter     *filesystem.Mounter
}

// New makes it and registers its machine with the cloud.
func New(kind flavour.Flavour, folder, name, zone string, limit int) (*Node, error) {
	if limit == 0 {
		limit = kind.AttachLimit()
	}
	machine := disks.Instance{Name: kind.Instance(name), Zone: zone, Limit: limit}
	node := &Node{Flavour: kind, Folder: folder, Name: name, Zone: zone, AttachLimit: limit, mounter: filesystem.New()}
	return node, disks.Register(folder, machine)
}

// NodeGetInfo says which machine this is.
func (n *Node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{
		NodeId:             n.Flavour.NodeID(n.Name, n.Zone),
		MaxVolumesPerNode:  int64(n.AttachLimit),
		AccessibleTopology: &csi.Topology{Segments: n.Flavour.Topology(n.Zone)},
	}, nil
}

// NodeGetCapabilities names what the service can do.
func (n *Node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	kinds := []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
	}
	if n.Flavour.SingleNodeModes() {
		kinds = append(kinds, csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER)
	}
	answer := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range kinds {
		answer.Capabilities = append(answer.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: kind}},
		})
	}
	return answer, nil
}

// device is the device of a volume that is attached to this machine.
func (n *Node) device(handle string) (string, error) {
	disk := n.Flavour.Disk(handle)
	device, err := os.Readlink(disks.Link(n.Folder, n.Flavour.Instance(n.Name), disk))
	if disk == "" || filepath.Base(disk) != disk || err != nil {
		return "", status.Errorf(codes.NotFound, "volume %s is not attached to %s", handle, n.Name)
	}
	return device, nil
}

func given(values ...string) error {
	if slices.Contains(values, "") {
		return status.Error(codes.InvalidArgument, "a volume ID or a path is missing")
	}
	return nil
}

// NodeStageVolume formats an empty device and mounts it.
func (n *Node) NodeStageVolume(_ context.Context, request *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	handle, target := request.GetVolumeId(), request.GetStagingTargetPath()
	if err := given(handle, target); err != nil {
		return nil, err
	}
	if request.GetVolumeCapability() == nil {
		return nil, status.Error(codes.InvalidArgument, "the volume capability is missing")
	}
	device, err := n.device(handle)
	if err != nil {
		return nil, err
	}
	asked := request.GetVolumeCapability().GetMount()
	if asked == nil { // a raw device is published as it is
		return &csi.NodeStageVolumeResponse{}, nil
	}
	kind := asked.GetFsType()
	if kind == "" {
		kind = "ext4"
	}
	if !slices.Contains(filesystem.Known, kind) {
		return nil, status.Errorf(codes.InvalidArgument, "invalid fstype %s", kind)
	}
	if mounted, err := n.mounter.Mounted(target); err != nil || mounted {
		return &csi.NodeStageVolumeResponse{}, err
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	options := n.Flavour.FormatOptions(kind, request.GetVolumeContext())
	if err := n.mounter.Mount(device, target, kind, asked.GetMountFlags(), options); err != nil {
		return nil, status.Errorf(codes.Internal, "could not format %q and mount it at %q: %v", device, target, err)
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// NodeUnstageVolume unmounts.
func (n *Node) NodeUnstageVolume(_ context.Context, request *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if err := given(request.GetVolumeId(), request.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeUnstageVolumeResponse{}, n.unmount(request.GetStagingTargetPath())
}

// NodePublishVolume shows the mounted file system, or the raw device, to a pod.
func (n *Node) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	handle, staged, target := request.GetVolumeId(), request.GetStagingTargetPath(), request.GetTargetPath()
	if err := given(handle, staged, target); err != nil {
		return nil, err
	}
	if request.GetVolumeCapability() == nil {
		return nil, status.Error(codes.InvalidArgument, "the volume capability is missing")
	}
	device, err := n.device(handle)
	if err != nil {
		return nil, err
	}
	if mounted, err := n.mounter.Mounted(target); err != nil || mounted {
		return &csi.NodePublishVolumeResponse{}, err
	}
	if request.GetVolumeCapability().GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER {
		others, err := n.mounter.Others(staged)
		if err != nil || len(others) > 0 {
			return nil, status.Errorf(codes.FailedPrecondition, "volume %s is for one pod, and published at %v already: %v", handle, others, err)
		}
	}
	options := []string{}
	if request.GetReadonly() {
		options = append(options, "ro")
	}
	raw := request.GetVolumeCapability().GetBlock() != nil
	source := staged
	if raw {
		source = device
	}
	if err := n.mounter.Bind(source, target, raw, options); err != nil {
		return nil, status.Errorf(codes.Internal, "could not mount %q at %q: %v", source, target, err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume takes it away from the pod.
func (n *Node) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := given(request.GetVolumeId(), request.GetTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, n.unmount(request.GetTargetPath())
}

func (n *Node) unmount(target string) error {
	if err := mount.CleanupMountPoint(target, n.mounter.Interface, true); err != nil {
		return status.Errorf(codes.Internal, "could not unmount %q: %v", target, err)
	}
	return nil
}

// NodeExpandVolume grows the file system to its device.
func (n *Node) NodeExpandVolume(_ context.Context, request *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	if err := given(request.GetVolumeId(), request.GetVolumePath()); err != nil {
		return nil, err
	}
	device, err := n.device(request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	about, err := os.Stat(request.GetVolumePath())
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "volume path: %v", err)
	}
	if about.IsDir() && request.GetVolumeCapability().GetBlock() == nil {
		err := n.mounter.Grow(device, request.GetVolumePath())
		if errors.Is(err, filesystem.ErrOnlyUnmounted) {
			return nil, status.Error(codes.FailedPrecondition, err.Error())
		}
		if err != nil {
			return nil, status.Errorf(codes.Internal, "could not grow %q: %v", device, err)
		}
	}
	size, err := deviceSize(device)
	return &csi.NodeExpandVolumeResponse{CapacityBytes: size}, err
}

// NodeGetVolumeStats says how full a volume is.
func (n *Node) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if err := given(request.GetVolumeId(), request.GetVolumePath()); err != nil {
		return nil, err
	}
	about, err := os.Stat(request.GetVolumePath())
	if err != nil {
		return nil, status.Errorf(codes.NotFound, "volume path: %v", err)
	}
	if !about.IsDir() {
		size, err := deviceSize(request.GetVolumePath())
		return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{{Unit: csi.VolumeUsage_BYTES, Total: size}}}, err
	}
	var stats unix.Statfs_t
	if err := unix.Statfs(request.GetVolumePath(), &stats); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	block := stats.Bsize
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{
			Unit: csi.VolumeUsage_BYTES, Total: int64(stats.Blocks) * block, Available: int64(stats.Bavail) * block,
			Used: int64(stats.Blocks-stats.Bfree) * block,
		},
		{Unit: csi.VolumeUsage_INODES, Total: int64(stats.Files), Available: int64(stats.Ffree), Used: int64(stats.Files - stats.Ffree)},
	}}, nil
}

func deviceSize(device string) (int64, error) {
	opened, err := os.Open(device)
	if err != nil {
		return 0, status.Error(codes.Internal, err.Error())
	}
	defer opened.Close()
	return opened.Seek(0, 2)
}
