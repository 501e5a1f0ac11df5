// Package filesystem formats, mounts and grows what is on a device, by the system's own programs.
package filesystem

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/mount-utils"
	utilexec "k8s.io/utils/exec"
)

// Known are the file systems that both drivers make.
var Known = []string{"ext4", "ext3", "xfs"}

// ErrOnlyUnmounted says that a file system can't be grown while it is mounted, by this process.
var ErrOnlyUnmounted = errors.New("ext grows in use only with CAP_SYS_RESOURCE, which this machine withholds: it grows when the next pod mounts it")

// Mounter formats and mounts.
type Mounter struct {
	*mount.SafeFormatAndMount
	resize *mount.ResizeFs
}

// New makes one that asks no systemd.
func New() *Mounter {
	run := utilexec.New()
	return &Mounter{mount.NewSafeFormatAndMount(mount.NewWithoutSystemd(""), run), mount.NewResizeFs(run)}
}

// Mount mounts a device: formatted first where it is empty, checked and grown to the device where it
// isn't. XFS gets nouuid, as both drivers give it: a restored copy has its source's.
func (m *Mounter) Mount(device, target, kind string, options, formatOptions []string) error {
	if kind == "xfs" {
		options = append(slices.Clone(options), "nouuid")
	}
	found, err := m.GetDiskFormat(device)
	if err != nil {
		return err
	}
	if found == "ext3" || found == "ext4" {
		if err := m.growUnmounted(device); err != nil {
			return err
		}
	}
	if err := m.FormatAndMountSensitiveWithFormatOptions(device, target, kind, options, nil, formatOptions); err != nil {
		return err
	}
	if found == "xfs" && !slices.Contains(options, "ro") {
		return m.Grow(device, target)
	}
	return nil
}

// growUnmounted grows ext to its device before it is mounted. resize2fs wants it checked.
func (m *Mounter) growUnmounted(device string) error {
	if grown, err := extGrown(device); err != nil || grown {
		return err
	}
	said, err := exec.Command("e2fsck", "-f", "-p", device).CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !(errors.As(err, &ended) && ended.ExitCode() == 1) { // 1: mended (e2fsck(8))
		return fmt.Errorf("e2fsck of %s: %w: %s", device, err, said)
	}
	if said, err := exec.Command("resize2fs", device).CombinedOutput(); err != nil {
		return fmt.Errorf("resize2fs of %s: %w: %s", device, err, said)
	}
	return nil
}

// Grow grows a mounted file system to its device. Returns ErrOnlyUnmounted where only the next mount
// can.
func (m *Mounter) Grow(device, mounted string) error {
	kind, err := m.GetDiskFormat(device)
	if err != nil {
		return err
	}
	if kind != "xfs" {
		if grown, err := extGrown(device); err != nil || grown {
			return err
		}
		if !mayUseReserved() {
			return ErrOnlyUnmounted
		}
	}
	_, err = m.resize.Resize(device, mounted)
	return err
}

// mayUseReserved tells whether this process has CAP_SYS_RESOURCE, which EXT4_IOC_RESIZE_FS asks for.
func mayUseReserved() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// Bind makes source appear at target: a folder, or a device's file.
func (m *Mounter) Bind(source, target string, file bool, options []string) error {
	if file {
		made, err := os.OpenFile(target, os.O_CREATE, 0o660)
		if err != nil {
			return err
		}
		made.Close()
	} else if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	return m.Interface.Mount(source, target, "", append([]string{"bind"}, options...))
}

// Mounted tells whether something is mounted there.
func (m *Mounter) Mounted(target string) (bool, error) {
	mounted, err := m.IsMountPoint(target)
	if os.IsNotExist(err) {
		return false, nil
	}
	return mounted, err
}

// Others are the places where what is mounted at a place is mounted too.
func (m *Mounter) Others(place string) ([]string, error) {
	mounted, err := m.Mounted(place)
	if err != nil || !mounted { // a raw device is not mounted there
		return nil, err
	}
	return m.GetMountRefs(place)
}
