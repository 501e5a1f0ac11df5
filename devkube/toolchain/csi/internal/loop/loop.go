// Package loop makes block devices of files (loop(4)).
package loop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	major       = 7 // of loop devices, Documentation/admin-guide/devices.txt of Linux
	endsWithin  = 5 * time.Second
	deletedMark = " (deleted)"
)

// ErrInUse says that something has the device mounted or open for itself.
var ErrInUse = errors.New("the device is in use")

// Attach makes a block device of a file, or finds the one that it has; it returns its path.
func Attach(file string) (string, error) {
	if device := Find(file); device != "" {
		return device, nil
	}
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("no free loop device: %w", err)
		}
		device, err := node(number)
		if err != nil {
			return "", err
		}
		err = configure(device, backing)
		if errors.Is(err, unix.EBUSY) { // somebody else was faster
			continue
		}
		return device, err
	}
}

// node returns the path of a loop device, and makes its node where no udev does.
func node(number int) (string, error) {
	device := fmt.Sprintf("/dev/loop%d", number)
	if _, err := os.Stat(device); err == nil {
		return device, nil
	}
	err := unix.Mknod(device, unix.S_IFBLK|0o660, int(unix.Mkdev(major, uint32(number))))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return "", fmt.Errorf("%s can't be made: %w", device, err)
	}
	return device, nil
}

func configure(device string, backing *os.File) error {
	opened, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer opened.Close()
	// Sectors of 512 bytes, which is what no size says, as both clouds' disks have: a file system of
	// smaller blocks than a sector can't be mounted.
	config := unix.LoopConfig{Fd: uint32(backing.Fd())}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], backing.Name())
	return unix.IoctlLoopConfigure(int(opened.Fd()), &config)
}

// Find returns the device of a file; empty where it has none.
func Find(file string) string {
	for device, backing := range Devices() {
		if backing == file {
			return device
		}
	}
	return ""
}

// Devices returns the file of every loop device in use, by the device. A file that has been deleted
// keeps its name.
func Devices() map[string]string {
	found := map[string]string{}
	names, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil { // detached in this moment
			continue
		}
		number := strings.TrimPrefix(strings.Split(name, "/")[3], "loop")
		if _, err := strconv.Atoi(number); err == nil {
			found["/dev/loop"+number] = strings.TrimSuffix(strings.TrimSpace(string(text)), deletedMark)
		}
	}
	return found
}

// Detach frees the device of a file, and waits until it is free: the kernel answers at once even
// where something still has it open. Returns ErrInUse while it is mounted, in any mount namespace.
func Detach(file string) error {
	device := Find(file)
	if device == "" {
		return nil
	}
	opened, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s of %s: %w", device, file, ErrInUse)
	}
	if err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(opened.Fd()), unix.LOOP_CLR_FD, 0)
	opened.Close()
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s can't be detached: %w", device, err)
	}
	for late := time.Now().Add(endsWithin); Find(file) != ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			return fmt.Errorf("%s of %s: %w", device, file, ErrInUse)
		}
	}
	return nil
}

// Grown tells the device of a file, if it has one, that the file has become longer.
func Grown(file string) error {
	device := Find(file)
	if device == "" {
		return nil
	}
	opened, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer opened.Close()
	return unix.IoctlSetInt(int(opened.Fd()), unix.LOOP_SET_CAPACITY, 0)
}
