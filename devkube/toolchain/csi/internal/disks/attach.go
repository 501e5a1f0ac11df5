package disks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"storage-tiers.invalid/toolchain/csi/internal/loop"
	"storage-tiers.invalid/toolchain/csi/internal/state"
)

// Instance is a machine that disks can be attached to. Its own process registers it.
type Instance struct {
	Name, Zone string
	Limit      int // disks that can be attached to it
	Process    int // what sees its mounts
}

// Link is where an attached disk is found by the machine that it is attached to.
func Link(folder, instance, id string) string {
	return filepath.Join(folder, "instances", instance, "disks", id)
}

// Register makes a machine known. This process is the one that sees its mounts.
func Register(folder string, instance Instance) error {
	home := filepath.Join(folder, "instances", instance.Name)
	if err := os.MkdirAll(filepath.Join(home, "disks"), 0o700); err != nil {
		return err
	}
	instance.Process = os.Getpid()
	return state.Save(filepath.Join(home, "instance.json"), instance)
}

// Instance returns what is known of a machine.
func (s *Store) Instance(name string) (Instance, bool) {
	var instance Instance
	if name == "" || filepath.Base(name) != name {
		return instance, false
	}
	err := state.Load(filepath.Join(s.folder, "instances", name, "instance.json"), &instance)
	return instance, err == nil && instance.Name == name
}

// Instances returns every machine.
func (s *Store) Instances() []Instance {
	all := []Instance{}
	entries, _ := os.ReadDir(filepath.Join(s.folder, "instances"))
	for _, entry := range entries {
		if instance, ok := s.Instance(entry.Name()); ok {
			all = append(all, instance)
		}
	}
	return all
}

// Attach makes a disk a device of a machine. A disk is attached to one machine, unless it is shared
// or all of them only read it.
func (s *Store) Attach(id, instance string, readOnly bool) error {
	machine, ok := s.Instance(instance)
	if !ok {
		return fmt.Errorf("machine %s: %w", instance, ErrNotFound)
	}
	return s.Change(id, func(disk *Disk) error {
		for other, reads := range disk.Attached {
			if other != instance && !disk.Shared && !(reads && readOnly) {
				return fmt.Errorf("disk %s is already attached to %s: %w", id, other, ErrInUse)
			}
		}
		if _, attached := disk.Attached[instance]; !attached && s.attachedTo(instance) >= machine.Limit {
			return fmt.Errorf("machine %s has %d disks: %w", instance, machine.Limit, ErrFull)
		}
		if err := s.plug(id, instance); err != nil {
			return err
		}
		if disk.Attached == nil {
			disk.Attached = map[string]bool{}
		}
		disk.Attached[instance] = readOnly
		return nil
	})
}

// Detach takes a disk from a machine. One that isn't attached is no fault. Returns an error while
// something has it mounted.
func (s *Store) Detach(id, instance string) error {
	return s.Change(id, func(disk *Disk) error {
		if _, attached := disk.Attached[instance]; !attached {
			return nil
		}
		if len(disk.Attached) > 1 { // the others still have the device
			delete(disk.Attached, instance)
			return ignoreMissing(os.Remove(s.link(instance, id)))
		}
		if err := s.unplug(id, instance); err != nil {
			return err
		}
		delete(disk.Attached, instance)
		return nil
	})
}

// mounters are the processes that see the mounts of the machines that have a disk.
func (s *Store) mounters(disk *Disk) []int {
	processes := []int{}
	for name := range disk.Attached {
		if instance, ok := s.Instance(name); ok {
			processes = append(processes, instance.Process)
		}
	}
	return processes
}

// attachedTo counts the disks of a machine. The mutex must be held.
func (s *Store) attachedTo(instance string) int {
	count := 0
	for _, disk := range s.known.Disks {
		if _, attached := disk.Attached[instance]; attached {
			count++
		}
	}
	return count
}

// plug makes the device and the machine's link to it.
func (s *Store) plug(id, instance string) error {
	device, err := loop.Attach(s.diskFile(id))
	if err != nil {
		return err
	}
	link := s.link(instance, id)
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		return err
	}
	unfinished := link + ".new"
	if err := ignoreMissing(os.Remove(unfinished)); err != nil {
		return err
	}
	if err := os.Symlink(device, unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, link)
}

func (s *Store) unplug(id, instance string) error {
	if err := loop.Detach(s.diskFile(id)); err != nil {
		return err
	}
	if instance == "" {
		return nil
	}
	return ignoreMissing(os.Remove(s.link(instance, id)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
