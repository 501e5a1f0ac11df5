package node

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
	"storage-tiers.invalid/toolchain/csi/internal/ebs"
)

const name = "node-a"

// machine is a node with a store beside it: both halves of the driver without sockets between them.
type machine struct {
	*testing.T
	store *disks.Store
	node  *Node
	home  string
}

func newMachine(t *testing.T) *machine {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	home := t.TempDir()
	node, err := New(ebs.Flavour{}, home, name, "us-east-1a", 0)
	m := &machine{t, nil, node, home}
	m.must(err)
	m.store, err = disks.Open(home)
	m.must(err)
	return m
}

func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *machine) at(id string) string     { return filepath.Join(m.home, "pods", id) }
func (m *machine) staged(id string) string { return filepath.Join(m.home, "staged", id) }

// attach makes a disk a device of the machine, and detaches it at the test's end.
func (m *machine) attach(id string) {
	m.Helper()
	instance := m.node.Flavour.Instance(name)
	m.must(m.store.Attach(id, instance, false))
	m.Cleanup(func() { m.must(m.store.Detach(id, instance)) })
}

func mounted(fileSystem string, flags ...string) *csi.VolumeCapability {
	return &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Mount{
		Mount: &csi.VolumeCapability_MountVolume{FsType: fileSystem, MountFlags: flags},
	}}
}

// show stages and publishes a volume.
func (m *machine) show(id string, capability *csi.VolumeCapability, about map[string]string) {
	m.Helper()
	_, err := m.node.NodeStageVolume(context.Background(), &csi.NodeStageVolumeRequest{
		VolumeId: id, StagingTargetPath: m.staged(id), VolumeCapability: capability, VolumeContext: about,
	})
	m.must(err)
	m.must(os.MkdirAll(filepath.Dir(m.at(id)), 0o700))
	_, err = m.node.NodePublishVolume(context.Background(), &csi.NodePublishVolumeRequest{
		VolumeId: id, StagingTargetPath: m.staged(id), TargetPath: m.at(id), VolumeCapability: capability,
	})
	m.must(err)
}

// hide takes it away again.
func (m *machine) hide(id string) {
	m.Helper()
	_, err := m.node.NodeUnpublishVolume(context.Background(), &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: m.at(id)})
	m.must(err)
	_, err = m.node.NodeUnstageVolume(context.Background(), &csi.NodeUnstageVolumeRequest{VolumeId: id, StagingTargetPath: m.staged(id)})
	m.must(err)
}

func (m *machine) room(id string) unix.Statfs_t {
	m.Helper()
	var found unix.Statfs_t
	m.must(unix.Statfs(m.at(id), &found))
	return found
}

func (m *machine) mebibytes(id string) int64 {
	m.Helper()
	found := m.room(id)
	return int64(found.Blocks) * found.Bsize >> 20
}

func (m *machine) grow(id, fileSystem string) error {
	_, err := m.node.NodeExpandVolume(context.Background(), &csi.NodeExpandVolumeRequest{
		VolumeId: id, VolumePath: m.at(id), VolumeCapability: mounted(fileSystem),
	})
	return err
}

func eachFileSystem(t *testing.T, test func(m *machine, kind string)) {
	for kind, program := range map[string]string{"ext4": "mkfs.ext4", "ext3": "mkfs.ext3", "xfs": "mkfs.xfs"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skip(err)
			}
			test(newMachine(t), kind)
		})
	}
}

func TestAVolumeHasItsFileSystemItsSizeAndItsMountOptions(t *testing.T) {
	eachFileSystem(t, func(m *machine, kind string) {
		m.must(m.store.CreateDisk(disks.Disk{ID: "vol-1", SizeGiB: 1, Zone: "us-east-1a"}))
		m.attach("vol-1")
		m.show("vol-1", mounted(kind, "noatime", "nodiratime"), nil)
		defer m.hide("vol-1")
		mounts, err := os.ReadFile("/proc/self/mounts")
		m.must(err)
		found := ""
		for _, line := range strings.Split(string(mounts), "\n") {
			if fields := strings.Fields(line); len(fields) > 3 && fields[1] == m.at("vol-1") {
				found = fields[2] + " " + fields[3]
			}
		}
		if !strings.HasPrefix(found, kind+" ") || !strings.Contains(found, "noatime") {
			t.Errorf("mounted as %q", found)
		}
		_, err = os.Stat(filepath.Join(m.at("vol-1"), "lost+found"))
		if there := err == nil; there != (kind != "xfs") {
			t.Errorf("lost+found: %v", there)
		}
		if size := m.mebibytes("vol-1"); size < 900 || size > 1024 {
			t.Errorf("%d MiB", size)
		}
		file, err := os.Create(filepath.Join(m.at("vol-1"), "much"))
		m.must(err)
		defer file.Close()
		// ext3 knows no fallocate: what counts is that writing ends.
		if err := unix.Fallocate(int(file.Fd()), 0, 0, 2<<30); !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("2 GiB on 1 GiB: %v", err)
		}
	})
}

func TestAClassesFormatOptionsAreTheFileSystems(t *testing.T) {
	m := newMachine(t)
	m.must(m.store.CreateDisk(disks.Disk{ID: "vol-1", SizeGiB: 1, Zone: "us-east-1a"}))
	m.attach("vol-1")
	m.show("vol-1", mounted("ext4"), map[string]string{"blocksize": "1024", "numberofinodes": "2048"})
	defer m.hide("vol-1")
	if found := m.room("vol-1"); found.Bsize != 1024 || found.Files < 2048 || found.Files > 4096 {
		t.Errorf("blocks of %d bytes, %d inodes", found.Bsize, found.Files)
	}
}

func TestAGrownDiskIsGrownInUseOrAtTheNextMount(t *testing.T) {
	eachFileSystem(t, func(m *machine, kind string) {
		m.must(m.store.CreateDisk(disks.Disk{ID: "vol-1", SizeGiB: 1, Zone: "us-east-1a"}))
		m.attach("vol-1")
		m.show("vol-1", mounted(kind), nil)
		m.must(os.WriteFile(filepath.Join(m.at("vol-1"), "kept"), []byte("kept"), 0o600))
		m.must(m.store.GrowDisk("vol-1", 2))
		err := m.grow("vol-1", kind)
		if status.Code(err) == codes.FailedPrecondition && kind != "xfs" {
			if size := m.mebibytes("vol-1"); size > 1024 {
				t.Errorf("refused, and has %d MiB", size)
			}
			m.hide("vol-1")
			m.show("vol-1", mounted(kind), nil)
		} else {
			m.must(err)
		}
		defer m.hide("vol-1")
		if size := m.mebibytes("vol-1"); size < 1900 {
			t.Errorf("%d MiB", size)
		}
		m.must(m.grow("vol-1", kind)) // once more is no fault
		if kept, err := os.ReadFile(filepath.Join(m.at("vol-1"), "kept")); string(kept) != "kept" {
			t.Errorf("%q, %v", kept, err)
		}
	})
}

func TestASnapshotOfAMountedVolumeIsMountedBesideItAndBigger(t *testing.T) {
	eachFileSystem(t, func(m *machine, kind string) {
		m.must(m.store.CreateDisk(disks.Disk{ID: "vol-1", SizeGiB: 1, Zone: "us-east-1a"}))
		m.attach("vol-1")
		m.show("vol-1", mounted(kind), nil)
		defer m.hide("vol-1")
		// Not synced: what the snapshot freezes is written out.
		m.must(os.WriteFile(filepath.Join(m.at("vol-1"), "before"), []byte("before"), 0o600))
		made, err := m.store.CreateSnapshot(disks.Snapshot{ID: "snap-1", Disk: "vol-1"})
		m.must(err)
		m.must(os.WriteFile(filepath.Join(m.at("vol-1"), "after"), []byte("after"), 0o600))
		m.must(m.store.CreateDisk(disks.Disk{ID: "vol-2", SizeGiB: 2, Zone: "us-east-1a", Snapshot: made.ID}))
		m.attach("vol-2")
		m.show("vol-2", mounted(kind), nil)
		defer m.hide("vol-2")
		if read, err := os.ReadFile(filepath.Join(m.at("vol-2"), "before")); string(read) != "before" {
			t.Errorf("%q, %v", read, err)
		}
		if _, err := os.Stat(filepath.Join(m.at("vol-2"), "after")); err == nil {
			t.Error("it has what was written after it")
		}
		if size := m.mebibytes("vol-2"); size < 1900 {
			t.Errorf("%d MiB", size)
		}
	})
}

func TestARawVolumeIsTheDevice(t *testing.T) {
	m := newMachine(t)
	m.must(m.store.CreateDisk(disks.Disk{ID: "vol-1", SizeGiB: 1, Zone: "us-east-1a"}))
	m.attach("vol-1")
	raw := &csi.VolumeCapability{AccessType: &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}}
	m.show("vol-1", raw, nil)
	if size, err := deviceSize(m.at("vol-1")); size != disks.GiB || err != nil {
		t.Errorf("%d bytes, %v", size, err)
	}
	m.hide("vol-1")
	if _, err := os.Lstat(m.at("vol-1")); err == nil {
		t.Error("its file is left")
	}
}

func TestWhatIsNotAttachedIsNotThere(t *testing.T) {
	m := newMachine(t)
	m.must(m.store.CreateDisk(disks.Disk{ID: "vol-1", SizeGiB: 1, Zone: "us-east-1a"}))
	for _, id := range []string{"vol-1", "vol-2", "../vol-1", "..", "."} {
		_, err := m.node.NodeStageVolume(context.Background(), &csi.NodeStageVolumeRequest{
			VolumeId: id, StagingTargetPath: m.staged("x"), VolumeCapability: mounted("ext4"),
		})
		if status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v", id, err)
		}
	}
	m.attach("vol-1")
	_, err := m.node.NodeStageVolume(context.Background(), &csi.NodeStageVolumeRequest{
		VolumeId: "vol-1", StagingTargetPath: m.staged("x"), VolumeCapability: mounted("ntfs"),
	})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("ntfs: %v", err)
	}
}
