package loop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestWhatAnotherNamespaceHasMountedIsFrozen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 16<<20); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command("mkfs.ext4", "-q", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	device, err := Attach(file)
	if err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(t.TempDir(), "a b")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	script := `mount "$1" "$2" && touch "$2/ready" && exec sleep 60`
	other := exec.Command("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", device, place)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		other.Process.Kill()
		other.Wait()
		if err := Detach(file); err != nil {
			t.Error(err)
		}
	}()
	places := []string{}
	for late := time.Now().Add(10 * time.Second); len(places) == 0 && time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
		places = mountsOf(device, []int{other.Process.Pid})
	}
	if len(mountsOf(device, nil)) != 0 || len(places) != 1 {
		t.Fatalf("%v", places)
	}
	thaw := Freeze(file, other.Process.Pid)
	if control(places[0], freeze) == nil {
		t.Error("it was not frozen")
	}
	thaw()
	if err := os.WriteFile(filepath.Join(places[0], "written"), []byte("x"), 0o600); err != nil {
		t.Error(err)
	}
}
