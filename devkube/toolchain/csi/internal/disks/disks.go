// Package disks is the cloud that a driver asks: disks and snapshots as sparse files, machines that
// disks are attached to, and a state file that remembers both.
//
// An attached disk is a loop device, and a link instances/<machine>/disks/<disk> to it is what the
// machine's own process sees, as a node sees /dev/disk/by-id.
package disks

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"storage-tiers.invalid/toolchain/csi/internal/files"
	"storage-tiers.invalid/toolchain/csi/internal/loop"
	"storage-tiers.invalid/toolchain/csi/internal/state"
)

// GiB is the unit of sizes: clouds sell no smaller one.
const GiB = int64(1) << 30

// What an operation is refused for.
var (
	ErrNotFound = errors.New("not found")
	ErrInUse    = errors.New("in use")
	ErrFull     = errors.New("no room for another disk")
)

// Disk is one disk. ID is its file's name, so it has no slash.
type Disk struct {
	ID, Name, Zone string
	SizeGiB        int64
	Attributes     map[string]string `json:",omitempty"` // what the flavour says of it
	Snapshot       string            `json:",omitempty"` // what it was made from
	Source         string            `json:",omitempty"`
	Shared         bool              `json:",omitempty"` // it may be attached to several machines
	Attached       map[string]bool   `json:",omitempty"` // machine -> read-only
	Record         json.RawMessage   `json:",omitempty"` // of the cloud's own form
	Created        time.Time
}

// Snapshot is what a disk held at one moment.
type Snapshot struct {
	ID, Name, Disk string
	SizeGiB        int64
	Attributes     map[string]string `json:",omitempty"`
	Created        time.Time
}

type known struct {
	Disks     map[string]*Disk
	Snapshots map[string]*Snapshot
}

// Store holds everything in one folder. One process alone may have it open.
type Store struct {
	folder string
	mutex  sync.Mutex
	known  known
}

// Open reads the folder, takes away what a killed run has left half made, and attaches again what
// was attached: a cloud's disks stay attached while the machine that runs the driver restarts.
func Open(folder string) (*Store, error) {
	store := &Store{folder: folder, known: known{Disks: map[string]*Disk{}, Snapshots: map[string]*Snapshot{}}}
	for _, each := range []string{"disks", "snapshots", "instances"} {
		if err := os.MkdirAll(filepath.Join(folder, each), 0o700); err != nil {
			return nil, err
		}
	}
	if err := state.Load(store.stateFile(), &store.known); err != nil {
		return nil, err
	}
	if err := store.removeUnknown(); err != nil {
		return nil, err
	}
	return store, store.attachAgain()
}

func (s *Store) stateFile() string               { return filepath.Join(s.folder, "state.json") }
func (s *Store) diskFile(id string) string       { return filepath.Join(s.folder, "disks", id) }
func (s *Store) snapshotFile(id string) string   { return filepath.Join(s.folder, "snapshots", id) }
func (s *Store) save() error                     { return state.Save(s.stateFile(), s.known) }
func (s *Store) link(instance, id string) string { return Link(s.folder, instance, id) }

// removeUnknown deletes the files that the state doesn't name: a disk's file is made before the disk
// is remembered, and deleted after it was forgotten.
func (s *Store) removeUnknown() error {
	for kind, named := range map[string]func(string) bool{
		"disks":     func(id string) bool { return s.known.Disks[id] != nil },
		"snapshots": func(id string) bool { return s.known.Snapshots[id] != nil },
	} {
		entries, err := os.ReadDir(filepath.Join(s.folder, kind))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if named(entry.Name()) {
				continue
			}
			file := filepath.Join(s.folder, kind, entry.Name())
			if err := errors.Join(loop.Detach(file), os.Remove(file)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) attachAgain() error {
	for _, disk := range s.known.Disks {
		loop.Thaw(s.diskFile(disk.ID), s.mounters(disk)...) // a snapshot may have been cut off
		for instance := range disk.Attached {
			if err := s.plug(disk.ID, instance); err != nil {
				return err
			}
		}
		if len(disk.Attached) == 0 { // a detach was cut off before its device was freed
			s.unplug(disk.ID, "")
		}
	}
	return nil
}

func (d *Disk) copy() Disk {
	copied := *d
	copied.Attributes, copied.Attached = maps.Clone(d.Attributes), maps.Clone(d.Attached)
	return copied
}

// Disk returns what is known of a disk.
func (s *Store) Disk(id string) (Disk, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if disk := s.known.Disks[id]; disk != nil {
		return disk.copy(), true
	}
	return Disk{}, false
}

// Disks returns all disks, in the order of their ids.
func (s *Store) Disks() []Disk {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := []Disk{}
	for _, id := range slices.Sorted(maps.Keys(s.known.Disks)) {
		all = append(all, s.known.Disks[id].copy())
	}
	return all
}

// Snapshots returns all snapshots, in the order of their ids.
func (s *Store) Snapshots() []Snapshot {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := []Snapshot{}
	for _, id := range slices.Sorted(maps.Keys(s.known.Snapshots)) {
		all = append(all, *s.known.Snapshots[id])
	}
	return all
}

// CreateDisk makes a disk: empty, or with what its snapshot or its source disk holds.
func (s *Store) CreateDisk(disk Disk) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	file, size := s.diskFile(disk.ID), disk.SizeGiB*GiB
	var err error
	switch {
	case disk.Snapshot != "":
		if s.known.Snapshots[disk.Snapshot] == nil {
			return fmt.Errorf("snapshot %s: %w", disk.Snapshot, ErrNotFound)
		}
		err = files.Copy(s.snapshotFile(disk.Snapshot), file, size)
	case disk.Source != "":
		if s.known.Disks[disk.Source] == nil {
			return fmt.Errorf("disk %s: %w", disk.Source, ErrNotFound)
		}
		err = s.atOneMoment(disk.Source, func() error { return files.Copy(s.diskFile(disk.Source), file, size) })
	default:
		err = files.Create(file, size)
	}
	if err == nil {
		err = state.SyncFolder(filepath.Dir(file))
	}
	if err != nil {
		os.Remove(file)
		return err
	}
	disk.Created = time.Now().UTC()
	s.known.Disks[disk.ID] = &disk
	return s.save()
}

// DeleteDisk deletes a disk; one that isn't there is no fault.
func (s *Store) DeleteDisk(id string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	disk := s.known.Disks[id]
	if disk == nil {
		return nil
	}
	if len(disk.Attached) > 0 {
		return fmt.Errorf("disk %s is attached to %v: %w", id, slices.Sorted(maps.Keys(disk.Attached)), ErrInUse)
	}
	if err := loop.Detach(s.diskFile(id)); err != nil {
		return err
	}
	delete(s.known.Disks, id)
	if err := s.save(); err != nil {
		return err
	}
	return os.Remove(s.diskFile(id))
}

// GrowDisk makes a disk bigger; it never makes one smaller. An attached device shows it at once.
func (s *Store) GrowDisk(id string, gib int64) error {
	return s.Change(id, func(disk *Disk) error {
		if gib <= disk.SizeGiB {
			return nil
		}
		file := s.diskFile(id)
		if err := errors.Join(files.Grow(file, gib*GiB), loop.Grown(file)); err != nil {
			return err
		}
		disk.SizeGiB = gib
		return nil
	})
}

// Change changes what is known of a disk, whole or not at all.
func (s *Store) Change(id string, change func(*Disk) error) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	disk := s.known.Disks[id]
	if disk == nil {
		return fmt.Errorf("disk %s: %w", id, ErrNotFound)
	}
	changed := disk.copy()
	if err := change(&changed); err != nil {
		return err
	}
	s.known.Disks[id] = &changed
	return s.save()
}

// CreateSnapshot keeps what a disk holds now.
func (s *Store) CreateSnapshot(snapshot Snapshot) (Snapshot, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	disk := s.known.Disks[snapshot.Disk]
	if disk == nil {
		return snapshot, fmt.Errorf("disk %s: %w", snapshot.Disk, ErrNotFound)
	}
	snapshot.SizeGiB, snapshot.Created = disk.SizeGiB, time.Now().UTC()
	file := s.snapshotFile(snapshot.ID)
	err := s.atOneMoment(disk.ID, func() error { return files.Copy(s.diskFile(disk.ID), file, 0) })
	if err == nil {
		err = state.SyncFolder(filepath.Dir(file))
	}
	if err != nil {
		os.Remove(file)
		return snapshot, err
	}
	s.known.Snapshots[snapshot.ID] = &snapshot
	return snapshot, s.save()
}

// DeleteSnapshot deletes a snapshot; one that isn't there is no fault.
func (s *Store) DeleteSnapshot(id string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.known.Snapshots[id] == nil {
		return nil
	}
	delete(s.known.Snapshots, id)
	if err := s.save(); err != nil {
		return err
	}
	return os.Remove(s.snapshotFile(id))
}

// atOneMoment runs a copy while nothing can write to the disk's file system.
func (s *Store) atOneMoment(id string, copy func() error) error {
	thaw := loop.Freeze(s.diskFile(id), s.mounters(s.known.Disks[id])...)
	defer thaw()
	return copy()
}
