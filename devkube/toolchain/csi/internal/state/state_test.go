package state

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSavedIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := Save(path, map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	var loaded map[string]int
	if err := Load(path, &loaded); err != nil || loaded["a"] != 1 {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
}

func TestNoFileIsNoFault(t *testing.T) {
	kept := map[string]int{"a": 1}
	if err := Load(filepath.Join(t.TempDir(), "none.json"), &kept); err != nil || kept["a"] != 1 {
		t.Fatalf("loaded %v, %v", kept, err)
	}
}

func TestHalfANewFileChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := Save(path, 7); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(`{"hal`), 0o600); err != nil {
		t.Fatal(err)
	}
	var loaded int
	if err := Load(path, &loaded); err != nil || loaded != 7 {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	if err := Save(path, 8); err != nil {
		t.Fatal(err)
	}
	if err := Load(path, &loaded); err != nil || loaded != 8 {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
}

func TestABrokenFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var loaded int
	if err := Load(path, &loaded); err == nil {
		t.Fatal("a broken file was taken")
	}
}
