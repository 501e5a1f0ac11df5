package loop

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAFileIsADeviceUntilItIsDetached(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	device, err := Attach(file)
	if err != nil {
		t.Fatal(err)
	}
	defer Detach(file)
	if again, err := Attach(file); err != nil || again != device {
		t.Fatalf("%s became %s, %v", device, again, err)
	}
	if err := os.Truncate(file, 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := Grown(file); err != nil {
		t.Fatal(err)
	}
	opened, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := opened.Seek(0, 2); err != nil || size != 2<<20 {
		t.Fatalf("the device has %d bytes, %v", size, err)
	}
	if err := Detach(file); !errors.Is(err, ErrInUse) {
		t.Fatalf("a device in use was detached: %v", err)
	}
	opened.Close()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := Detach(file); err != nil {
		t.Fatal(err)
	}
	if left := Find(file); left != "" {
		t.Fatalf("%s is left", left)
	}
}
