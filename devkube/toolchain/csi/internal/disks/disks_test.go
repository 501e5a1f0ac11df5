package disks

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, folder string) *Store {
	t.Helper()
	store, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsKnownOutlivesTheProcess(t *testing.T) {
	folder := t.TempDir()
	store := open(t, folder)
	must(t, store.CreateDisk(Disk{ID: "d1", Name: "pvc-1", Zone: "z1", SizeGiB: 2, Attributes: map[string]string{"type": "gp3"}}))
	must(t, store.GrowDisk("d1", 3))
	must(t, store.GrowDisk("d1", 1)) // never smaller
	again := open(t, folder)
	disk, ok := again.Disk("d1")
	if !ok || disk.SizeGiB != 3 || disk.Attributes["type"] != "gp3" || disk.Name != "pvc-1" {
		t.Fatalf("%v %+v", ok, disk)
	}
	about, err := os.Stat(filepath.Join(folder, "disks", "d1"))
	if err != nil || about.Size() != 3*GiB {
		t.Fatalf("%v %v", about.Size(), err)
	}
}

func TestWhatAKilledRunLeftIsTakenAway(t *testing.T) {
	folder := t.TempDir()
	must(t, open(t, folder).CreateDisk(Disk{ID: "kept", SizeGiB: 1}))
	for _, left := range []string{"disks/half", "snapshots/half"} {
		must(t, os.WriteFile(filepath.Join(folder, left), nil, 0o600))
	}
	open(t, folder)
	found, _ := filepath.Glob(filepath.Join(folder, "*s", "*"))
	if len(found) != 1 || filepath.Base(found[0]) != "kept" {
		t.Fatalf("left: %v", found)
	}
}

func TestASnapshotKeepsWhatTheDiskHeld(t *testing.T) {
	folder := t.TempDir()
	store := open(t, folder)
	must(t, store.CreateDisk(Disk{ID: "d1", SizeGiB: 1}))
	write := func(text string) {
		file, err := os.OpenFile(filepath.Join(folder, "disks", "d1"), os.O_WRONLY, 0)
		must(t, err)
		_, err = file.WriteAt([]byte(text), 1000)
		must(t, errors.Join(err, file.Close()))
	}
	write("before")
	_, err := store.CreateSnapshot(Snapshot{ID: "s1", Disk: "d1"})
	must(t, err)
	write("after!")
	must(t, store.DeleteDisk("d1"))
	must(t, store.CreateDisk(Disk{ID: "d2", SizeGiB: 2, Snapshot: "s1"}))
	file, err := os.Open(filepath.Join(folder, "disks", "d2"))
	must(t, err)
	defer file.Close()
	text := make([]byte, 6)
	if _, err := file.ReadAt(text, 1000); err != nil || !bytes.Equal(text, []byte("before")) {
		t.Fatalf("%q %v", text, err)
	}
	must(t, store.DeleteSnapshot("s1"))
	must(t, store.DeleteSnapshot("s1"))
	if err := store.CreateDisk(Disk{ID: "d3", SizeGiB: 2, Snapshot: "s1"}); !errors.Is(err, ErrNotFound) {
		t.Fatalf("%v", err)
	}
}

func TestAttaching(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	folder := t.TempDir()
	store := open(t, folder)
	for _, name := range []string{"m1", "m2"} {
		must(t, Register(folder, Instance{Name: name, Zone: "z1", Limit: 1}))
	}
	for _, id := range []string{"d1", "d2"} {
		must(t, store.CreateDisk(Disk{ID: id, SizeGiB: 1}))
	}
	must(t, store.Attach("d1", "m1", false))
	defer store.Detach("d1", "m1")
	must(t, store.Attach("d1", "m1", false))
	for _, wrong := range []struct {
		id, instance string
		because      error
	}{{"d1", "m2", ErrInUse}, {"d2", "m1", ErrFull}, {"d2", "m3", ErrNotFound}, {"d2", "../m1", ErrNotFound}, {"d3", "m1", ErrNotFound}} {
		if err := store.Attach(wrong.id, wrong.instance, false); !errors.Is(err, wrong.because) {
			t.Fatalf("%+v: %v", wrong, err)
		}
	}
	if err := store.DeleteDisk("d1"); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
	before, err := os.Readlink(Link(folder, "m1", "d1"))
	must(t, err)
	must(t, os.Remove(Link(folder, "m1", "d1")))
	store = open(t, folder)
	if after, err := os.Readlink(Link(folder, "m1", "d1")); err != nil || after != before {
		t.Fatalf("%s became %s, %v", before, after, err)
	}
	must(t, store.Detach("d1", "m1"))
	must(t, store.Detach("d1", "m1"))
	if _, err := os.Lstat(Link(folder, "m1", "d1")); !os.IsNotExist(err) {
		t.Fatal("the link is left")
	}
	must(t, store.Attach("d1", "m2", false))
	must(t, store.Detach("d1", "m2"))
	must(t, store.DeleteDisk("d1"))
}
