package files

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const mebi = 1 << 20

func blocks(t *testing.T, path string) int64 {
	t.Helper()
	about, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return about.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestACopyHasTheDataAndTheHoles(t *testing.T) {
	source, target := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := Create(source, 64*mebi); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(source, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, place := range []int64{3 * mebi, 40 * mebi, 64*mebi - 5} {
		if _, err := file.WriteAt([]byte("word!"), place); err != nil {
			t.Fatal(err)
		}
	}
	file.Close()
	if err := Copy(source, target, 96*mebi); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(target)
	if err != nil || len(text) != 96*mebi {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	for _, place := range []int{3 * mebi, 40 * mebi, 64*mebi - 5} {
		if !bytes.Equal(text[place:place+5], []byte("word!")) {
			t.Fatalf("nothing at %d", place)
		}
	}
	if bytes.Count(text, []byte{0}) != 96*mebi-15 {
		t.Fatal("the rest is not empty")
	}
	if used := blocks(t, target); used > mebi {
		t.Fatalf("the copy uses %d bytes", used)
	}
}

func TestAFileNeverGetsShorter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := Create(path, 5*mebi); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ ask, is int64 }{{3 * mebi, 5 * mebi}, {9 * mebi, 9 * mebi}} {
		if err := Grow(path, want.ask); err != nil {
			t.Fatal(err)
		}
		if about, _ := os.Stat(path); about.Size() != want.is {
			t.Fatalf("asked for %d, is %d", want.ask, about.Size())
		}
	}
}
